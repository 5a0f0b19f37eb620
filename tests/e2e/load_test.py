"""What a service does with its cores: nothing when it is idle, and something for everyone when requests hog them."""

import glob
import os
import threading
import time
import unittest

from harness import Showcase, eventually

# "address,undefined" or "thread": what the service was built with.
SANITIZERS = os.environ.get("GENEVER_SANITIZERS", "")


def cpu_seconds(pid):
    """The CPU time of all threads, to the nanosecond."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with open(path, encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e9


class Idle(unittest.TestCase):
    def test_an_idle_service_leaves_the_cores_alone(self):
        service = Showcase(GENEVER_WORKERS="2")
        self.addCleanup(service.kill)
        service.get("/ping")
        time.sleep(0.5)  # until the monitor has gone to sleep, too
        before = cpu_seconds(service.process.pid)
        time.sleep(3)
        used = cpu_seconds(service.process.pid) - before
        # Its heartbeat beats ten times a second meanwhile. A sanitizer's own thread and checks are not the service's
        # use of the core: there, only a loop that spins is told.
        self.assertLess(used / 3, 0.05 if SANITIZERS else 0.005, "of a core")


class Hogs(unittest.TestCase):
    def test_requests_that_burn_every_core_do_not_stop_the_others(self):
        service = Showcase(GENEVER_WORKERS=2, GENEVER_LOG="warning")
        self.addCleanup(service.kill)
        answers = []
        enough = threading.Event()

        def burn():
            # The next one at once: some of them are at it throughout.
            while not enough.is_set():
                answers.append(service.request("GET", "/work?us=3000000", timeout=120).status)

        hogs = [threading.Thread(target=burn) for _ in range(8)]
        for hog in hogs:
            hog.start()
        try:
            eventually(lambda: "has kept its thread" in service.log(), "a report of the stall", 30)
            pings = [service.get("/ping").status for _ in range(200)]
        finally:
            enough.set()
        for hog in hogs:
            hog.join()
        self.assertEqual(set(pings), {200})
        self.assertEqual(set(answers), {200})
        burnt = len(answers)
        self.assertGreaterEqual(burnt, 2, "hogs, one for each core")
        eventually(lambda: service.log().count("has kept its thread") == burnt, "one report for each stall", 30)
        # ThreadSanitizer delivers a signal only when the thread calls into it, and by then the stack is another.
        if "thread" not in SANITIZERS:
            self.assertIn("showcase::", service.log(), "the report names the function")
        service.send_sigterm()
        self.assertEqual(service.wait(), 0)


if __name__ == "__main__":
    unittest.main()
