"""The routes that stand for kinds of work: an order, a wait, a pool, a hog; and a limiter that is killed."""

import concurrent.futures
import copy
import http.client
import json
import time
import unittest

from harness import Showcase, ServiceTest, eventually


ORDER = {
    "id": "o-1",
    "customer": {"name": "Ada \u00c5", "email": "ada@example.org", "street": "1 Quay", "city": "Leiden",
                 "country": "NL"},
    "lines": [{"sku": "a", "title": "a \"quoted\" title", "quantity": 2, "cents": 995},
              {"sku": "b", "title": "b", "quantity": -1, "cents": 2**53}],
    "notes": "",
    "express": True,
}


class Work(ServiceTest):
    def order(self, body, kind="application/json"):
        return self.service.request("POST", "/orders", body=body, headers={"Content-Type": kind})

    def test_an_order_comes_back_as_it_was_bound(self):
        sent = {**ORDER, "unknown": {"ignored": [1]}}
        answer = self.order(json.dumps(sent))
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.body.decode(), json.dumps(ORDER, separators=(",", ":"), ensure_ascii=False))

    def test_an_order_of_another_shape_is_422_and_says_where(self):
        for spoil, place in ((lambda o: o.pop("notes"), "$.notes"),
                             (lambda o: o["lines"][1].update(quantity="2"), "$.lines[1].quantity"),
                             (lambda o: o["customer"].update(city=None), "$.customer.city")):
            wrong = copy.deepcopy(ORDER)
            spoil(wrong)
            answer = self.order(json.dumps(wrong))
            self.assertEqual((answer.status, answer.json()["error"]["path"]), (422, place))
        self.assertEqual(self.order("{").status, 400)
        self.assertEqual(self.order("{}", "text/plain").status, 415)

    def test_health_is_up(self):
        answer = self.service.get("/health")
        self.assertEqual((answer.status, answer.json()), (200, {"status": "up"}))

    def test_wait_waits(self):
        started = time.monotonic()
        self.assertEqual(self.service.get("/wait?ms=150").json(), {"ms": 150})
        self.assertGreaterEqual(time.monotonic() - started, 0.15)

    def test_wait_and_hog_refuse_what_they_were_not_made_for(self):
        for target in ("/wait", "/wait?ms=-1", "/wait?ms=60001", "/wait?ms=x", "/hog", "/hog?ms=-1",
                       "/hog?ms=60001", "/hog?ms=1&how=sing"):
            self.assertEqual(self.service.get(target).status, 400, target)

    def test_the_pool_serves_eight_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(32) as clients:
            started = time.monotonic()
            answers = list(clients.map(lambda _: self.service.get("/pool"), range(32)))
            taken = time.monotonic() - started
        self.assertEqual({answer.status for answer in answers}, {200})
        self.assertEqual(answers[0].json(), {"message": "served"})
        self.assertGreaterEqual(taken, 4 * 0.02, "four turns of eight")

    def test_a_hog_keeps_its_thread_and_nobody_else_waits_for_it(self):
        with concurrent.futures.ThreadPoolExecutor(8) as hogs:
            for how in ("burn", "block"):
                answers = [hogs.submit(self.service.get, f"/hog?ms=500&how={how}", timeout=60) for _ in range(8)]
                time.sleep(0.1)  # until they are at it
                self.assertEqual(self.service.get("/ping").status, 200)
                # Two at a time, they would all be done before whoever comes after them.
                self.assertFalse(all(answer.done() for answer in answers), "the ping has waited for the hogs")
                self.assertEqual({self.service.get("/ping").status for _ in range(20)}, {200})
                for answer in answers:
                    self.assertEqual(answer.result().json(), {"ms": 500, "how": how})


class KilledLimiter(unittest.TestCase):
    def test_a_killed_limiter_comes_back_as_often_as_the_service_allows(self):
        service = Showcase(MAX_RESTARTS=1000, LIMIT=5, WINDOW_MS=3_600_000)
        self.addCleanup(service.kill)
        for _ in range(20):
            self.assertEqual(service.request("POST", "/limited/kill").status, 204)
        eventually(lambda: service.get("/limited").status == 200, "an answer of the new one")
        service.request("POST", "/limited/kill")
        first = eventually(lambda: (answer := service.get("/limited")).status == 200 and answer, "an answer")
        self.assertEqual(first.field("X-RateLimit-Remaining"), "4", "its counts went with it")
        service.send_sigterm()
        self.assertEqual(service.wait(), 0, service.log())

    def test_by_default_the_fourth_kill_within_five_seconds_ends_the_service(self):
        service = Showcase()
        self.addCleanup(service.kill)
        kills = 0

        def restarted_or_ended():
            if service.process.poll() is not None:
                return True
            try:
                return service.tree()["rate_limiter"]["pid"] not in (None, before)
            except (OSError, http.client.HTTPException, LookupError, AssertionError):
                return False  # it is ending

        while service.process.poll() is None and kills < 30:  # a busy machine may take too long for four, and for some more
            before = service.tree()["rate_limiter"]["pid"]
            self.assertEqual(service.request("POST", "/limited/kill").status, 204)
            kills += 1
            eventually(restarted_or_ended, "the restart, or the end")
        self.assertGreaterEqual(kills, 4)
        self.assertEqual(service.wait(), 1, service.log())


if __name__ == "__main__":
    unittest.main()
