"""Faults of the processor in handlers: what can be an exception costs one request, what cannot costs the service.

The heart (layer 3) is off here: a service that dies stays dead.
"""

import concurrent.futures
import http.client
import os
import re
import signal
import threading
import unittest

from harness import Showcase, eventually

SANITIZERS = os.environ.get("GENEVER_SANITIZERS", "")
FUNCTIONS = {"/panic/segv": ("panic_segv", "segmentation fault: read of address 0x0"),
             "/panic/fpe": ("panic_fpe", "integer division by zero or overflow")}


@unittest.skipIf("address" in SANITIZERS or "thread" in SANITIZERS, "the sanitizer handles faults itself")
class FaultsTest(unittest.TestCase):
    def start(self, **settings):
        service = Showcase(**settings)
        self.addCleanup(service.kill)
        return service

    def finish(self, service):
        self.assertIsNone(service.process.poll(), "the service has ended")
        service.send_sigterm()
        self.assertEqual(service.wait(), 0, service.log())


@unittest.skipIf(os.environ.get("GENEVER_FAULTS_THROW") != "1", "in this build a fault ends the program")
class Thrown(FaultsTest):
    def test_a_fault_is_500_and_the_connection_goes_on(self):
        service = self.start()
        before = service.tree()
        for target in FUNCTIONS:
            with service.connect() as connection:
                answer = connection.get(target)
                self.assertEqual(answer.status, 500, answer)
                self.assertFalse(answer.closes())
                self.assertEqual(connection.get("/ping").status, 200)
        after = service.tree()
        for name in before:
            self.assertEqual(after[name]["pid"], before[name]["pid"], name)
            self.assertEqual(after[name]["restarts"], 0, name)
        self.finish(service)

    def test_the_crash_report_names_the_function_and_the_line(self):
        service = self.start()
        source = os.path.join(os.path.dirname(__file__), "../../examples/showcase/routes.cpp")
        with open(source, encoding="utf-8") as file:
            lines = file.read().splitlines()
        for target, (function, text) in FUNCTIONS.items():
            mark = service.log_lines()
            self.assertEqual(service.get(target).status, 500)
            service.wait_for_log(rf"request GET {target}(?s:.*)stack of the throw", mark)
            first = rf"#0 .*{function}\(.*\) at .*examples/showcase/routes\.cpp:(\d+)"
            found = eventually(lambda: re.search(first, service.log(mark)), "the stack names the function")
            self.assertRegex(service.log(mark), re.escape(f"genever::hardware_fault: {text}"))
            faulting = lines[int(found[1]) - 1]
            self.assertRegex(faulting, r"\*nothing|/ zero", "the line is the faulting one")
        self.finish(service)

    def test_five_hundred_in_a_row_on_one_connection(self):
        service = self.start()
        with service.connect(timeout=30) as connection:
            for number in range(500):
                target = list(FUNCTIONS)[number % 2]
                self.assertEqual(connection.get(target).status, 500)
            self.assertEqual(connection.get("/ping").status, 200)
        self.finish(service)

    def test_faults_on_both_workers_disturb_no_good_request(self):
        service = self.start(GENEVER_WORKERS=2)
        done = threading.Event()

        def faulting(target):
            with service.connect(timeout=15) as connection:
                for _ in range(100):
                    self.assertEqual(connection.get(target).status, 500)

        goods = ("/ping", "/plaintext", "/hits/10.0.0.1", "/work?us=100")
        bads = 2 * list(FUNCTIONS) + ["/panic"]
        with concurrent.futures.ThreadPoolExecutor(len(goods) + len(bads)) as pool:
            running = [pool.submit(service.answers_until, done, target) for target in goods]
            try:
                for bad in [pool.submit(faulting, target) for target in bads]:
                    bad.result(timeout=45)
            finally:
                done.set()
            answered = [request.result(timeout=15) for request in running]
        self.assertGreaterEqual(min(answered), 20)
        self.assertEqual(service.get("/hits/10.0.0.1").json()["count"], answered[2] + 1)
        self.finish(service)


class Fatal(FaultsTest):
    def end_by(self, target, with_signal, report):
        service = self.start(LANG="C")
        with self.assertRaises((OSError, http.client.HTTPException)):
            service.get(target)
        self.assertEqual(service.wait(), -with_signal)
        if report:
            self.assertRegex(service.log(), report)

    def test_a_runaway_recursion_ends_the_service_with_a_report(self):
        self.end_by("/panic/stack", signal.SIGSEGV, r"genever: segmentation fault: .* in process <\d+\.\d+>, "
                                                    r"ends the program: the stack has run out")

    def test_an_abort_ends_the_service(self):
        self.end_by("/panic/abort", signal.SIGABRT, None)

    @unittest.skipIf(os.environ.get("GENEVER_FAULTS_THROW") == "1", "in this build it is an exception")
    def test_where_a_fault_is_no_exception_it_ends_the_service_with_a_report(self):
        self.end_by("/panic/segv", signal.SIGSEGV,
                    r"genever: segmentation fault: read of address 0x0, .* in process .*built without")


if __name__ == "__main__":
    unittest.main()
