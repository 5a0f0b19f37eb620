"""What clients see of a service that is offered more than it can do: refusals at once, and critical routes answered throughout."""

import collections
import threading
import unittest

from harness import USUAL_QUEUE, ServiceTest, eventually

CLIENTS = 40
SECONDS_OF_WORK = 0.005


class Overload(ServiceTest):
    settings = {"GENEVER_WORKERS": 1, **USUAL_QUEUE}

    def test_some_work_is_refused_and_critical_routes_answer(self):
        statuses, lock, stop = collections.Counter(), threading.Lock(), threading.Event()
        broken = []

        def client():
            try:
                with self.service.connect(timeout=15) as connection:
                    while not stop.is_set():
                        answer = connection.get(f"/work?us={SECONDS_OF_WORK * 1e6:.0f}")
                        with lock:
                            statuses[answer.status] += 1
                        if answer.status == 503:
                            self.assertEqual(answer.field("Retry-After"), "1")
            except Exception as problem:  # pylint: disable=broad-except
                broken.append(problem)

        clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for thread in clients:
            thread.start()
        try:
            # All of them wait for each other for longer than a request may.
            eventually(lambda: statuses[503] and statuses[200], "some are served, and some refused", limit=20)
            with self.service.connect(timeout=15) as connection:
                for _ in range(10):
                    for route in ("/health", "/tree", "/admission"):
                        self.assertEqual(connection.get(route).status, 200, route)
        finally:
            stop.set()
            for thread in clients:
                thread.join(timeout=20)
        self.assertEqual(broken, [])
        self.assertLessEqual(set(statuses), {200, 503})
        told = self.service.get("/admission").json()
        refused = {why: count for why, count in told["refused"].items() if count}
        self.assertEqual(sum(refused.values()), statuses[503], refused)
        self.assertGreaterEqual(told["admitted"], statuses[200] + 30)
        # The load has gone: everybody is served again.
        eventually(lambda: all(self.service.get("/work?us=1000").status == 200 for _ in range(5)), "it recovers")


if __name__ == "__main__":
    unittest.main()
