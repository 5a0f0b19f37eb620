"""What a crash takes down: the child that crashed and nothing else, until it crashes too often."""

import concurrent.futures
import http.client
import threading
import time
import unittest

from harness import Showcase, eventually

STATEFUL = ("rate_limiter", "hit_counter", "heartbeat")
CHILDREN = STATEFUL + ("endpoint",)
MAX_RESTARTS = 3  # in 5 s: the default of supervisors
GIVING_UP = r"(?i)max_restart|restart intensity|too many restarts|giv(ing|es) up|gave up"


class CrashTest(unittest.TestCase):
    """Each test has its own service, since restarts are counted over a period."""

    def start(self, **settings):
        service = Showcase(**settings)
        self.addCleanup(service.kill)
        return service

    def finish(self, service):
        self.assertIsNone(service.process.poll(), "the service has ended")
        service.send_sigterm()
        self.assertEqual(service.wait(), 0, service.log())

    def assert_untouched(self, before, after, name):
        self.assertEqual(after["pid"], before["pid"], name)
        self.assertEqual(after["restarts"], before["restarts"], name)
        self.assertGreaterEqual(after["uptime_ms"], before["uptime_ms"], name)
        if "hits" in before.get("state", {}):
            self.assertGreaterEqual(after["state"]["hits"], before["state"]["hits"], name)


class OneChild(CrashTest):
    def crash(self, child):
        service = self.start()
        for _ in range(7):
            service.get("/hits/10.0.0.1")
        time.sleep(0.3)  # so that a fresh child's uptime is told from its siblings'
        before = service.tree()
        hits = before["hit_counter"]["state"]["hits"]
        self.assertGreaterEqual(hits, 7)

        answer = service.request("POST", f"/crash/{child}")
        self.assertEqual(answer.status, 200, answer)
        told = answer.json()
        self.assertEqual(set(told), {"child", "old", "new"})
        self.assertEqual((told["child"], told["old"]), (child, before[child]["pid"]))
        self.assertNotEqual(told["new"], told["old"])

        after = service.tree()
        self.assertEqual(list(after), list(before), "another order or other children")
        self.assertEqual(after[child]["pid"], told["new"])
        self.assertEqual(after[child]["restarts"], before[child]["restarts"] + 1)
        for name in before:
            if name != child:
                self.assert_untouched(before[name], after[name], name)
                self.assertGreaterEqual(after[name]["uptime_ms"], after[child]["uptime_ms"] + 250, name)

        # What the limiter knew is gone with it, and with nothing else.
        self.assertEqual(service.get("/hits/10.0.0.1").json()["count"], 1 if child == "rate_limiter" else 8)
        if child == "hit_counter":
            self.assertLess(after[child]["state"]["hits"], hits)
        service.wait_for_log(r"(?i)crash")
        self.finish(service)

    def test_the_rate_limiter_alone_loses_its_counts(self):
        self.crash("rate_limiter")

    def test_the_hit_counter_alone_loses_its_hits(self):
        self.crash("hit_counter")

    def test_the_heartbeat_alone_starts_again_and_beats(self):
        self.crash("heartbeat")

    def test_a_restarted_heartbeat_beats_on(self):
        service = self.start()
        service.request("POST", "/crash/heartbeat")
        beat = service.tree()["heartbeat"]["state"]
        eventually(lambda: service.tree()["heartbeat"]["state"] != beat, "the restarted heart beats")
        self.finish(service)

    def test_an_unknown_child_is_404_and_nothing_crashes(self):
        service = self.start()
        before = service.tree()
        # The top supervisor is nobody's child: its crash would be the service's.
        for name in ("root", "nobody", "rate_limite", "RATE_LIMITER", "%00", "..", "rate_limiter%20",
                     "rate_limiter%00", "endpoint.", "main"):
            self.assertEqual(service.request("POST", f"/crash/{name}").status, 404, name)
        after = service.tree()
        for name in before:
            self.assert_untouched(before[name], after[name], name)
        self.finish(service)


class Endpoint(CrashTest):
    """The connection that asks lives below what it crashes, and is answered all the same."""

    def crash(self, service, child):
        """Crashes a part of the endpoint; its old pid and its new one, as the answer tells them."""
        with service.connect(timeout=15) as connection:
            connection.send(f"POST /crash/{child} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = connection.read()
            self.assertEqual(answer.status, 200, answer)
            self.assertTrue(answer.closes(), "the connection's server is gone")
            self.assertEqual(connection.rest(), b"")
        told = answer.json()
        self.assertEqual(set(told), {"child", "old", "new"})
        self.assertEqual(told["child"], child)
        self.assertNotEqual(told["new"], told["old"])
        return told["old"], told["new"]

    def test_the_endpoint_comes_back_on_its_port_and_its_siblings_notice_nothing(self):
        service = self.start(GENEVER_WORKERS=4)
        for _ in range(7):
            service.get("/hits/10.0.0.1")
        other = service.connect()
        self.addCleanup(other.socket.close)
        self.assertEqual(other.get("/ping").status, 200)
        before = service.tree()
        old, new = self.crash(service, "endpoint")
        self.assertEqual(old, before["endpoint"]["pid"])
        after = service.tree()  # at once: it had been restarted when it was answered
        self.assertEqual(after["endpoint"]["pid"], new)
        self.assertEqual(after["endpoint"]["restarts"], 1)
        self.assertEqual(list(after), list(before), "another order or other children")
        for name in STATEFUL + ("root",):
            self.assert_untouched(before[name], after[name], name)
        self.assertEqual(service.get("/hits/10.0.0.1").json()["count"], 8)
        self.assertEqual(other.rest(), b"", "a connection that did not ask ended with its server")
        self.finish(service)

    def test_it_comes_back_as_often_as_its_supervisor_allows(self):
        service = self.start(GENEVER_WORKERS=4)
        for number in range(MAX_RESTARTS):
            self.crash(service, "endpoint")
            self.assertEqual(service.tree()["endpoint"]["restarts"], number + 1)
        self.finish(service)

    def test_the_parts_of_the_endpoint_come_back_without_it(self):
        service = self.start(GENEVER_WORKERS=4)
        before = service.tree()
        for child in ("endpoint.listener", "endpoint.connections"):
            old, new = self.crash(service, child)
            self.assertEqual(old, before[child]["pid"])
            after = service.tree()
            self.assertEqual(after[child]["pid"], new)
            for name in CHILDREN:
                self.assert_untouched(before[name], after[name], name)
            before = after
        self.finish(service)


class Handlers(CrashTest):
    def test_two_hundred_crashes_in_a_row_disturb_no_good_request(self):
        service = self.start()
        before = service.tree()
        done = threading.Event()

        def crashing(count):
            with service.connect(timeout=15) as connection:
                for _ in range(count):
                    self.assertEqual(connection.get("/panic").status, 500)

        targets = ("/ping", "/plaintext", "/users/1/posts/2", "/hits/10.0.0.1", "/work?us=100")
        with concurrent.futures.ThreadPoolExecutor(len(targets) + 2) as pool:
            goods = [pool.submit(service.answers_until, done, target) for target in targets]
            try:
                for crash in [pool.submit(crashing, 100), pool.submit(crashing, 100)]:
                    crash.result(timeout=45)
            finally:
                done.set()
            answered = [request.result(timeout=15) for request in goods]

        self.assertGreaterEqual(min(answered), 20)
        self.assertEqual(service.get("/hits/10.0.0.1").json()["count"], answered[3] + 1)
        after = service.tree()
        for name in CHILDREN:
            self.assert_untouched(before[name], after[name], name)
        service.wait_for_log(r"(?i)crash")
        self.finish(service)

    def test_panics_of_many_connections_at_once_are_all_answered(self):
        service = self.start()
        connections = [service.connect(timeout=15) for _ in range(50)]
        for connection in connections:
            self.addCleanup(connection.socket.close)
        for connection in connections:
            connection.send(b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % target
                                     for target in (b"/panic", b"/ping")))
        for connection in connections:
            self.assertEqual(connection.read().status, 500)
            self.assertEqual(connection.read().status, 200)
        self.finish(service)


class GivingUp(CrashTest):
    def crash_often(self, service, child, times):
        """Crashes a child so many times within the period; True if every crash was answered."""
        started = time.monotonic()
        for number in range(times):
            try:
                answer = service.request("POST", f"/crash/{child}")
            except (OSError, http.client.HTTPException):
                return False
            if answer.status != 200:
                return False
            if number < MAX_RESTARTS:
                self.assertNotEqual(answer.json()["new"], answer.json()["old"])
        self.assertLess(time.monotonic() - started, 4.5, "too slow to be within the period of 5 s")
        return True

    def test_three_crashes_of_one_child_are_survived(self):
        service = self.start()
        self.assertTrue(self.crash_often(service, "rate_limiter", MAX_RESTARTS))
        self.assertEqual(service.tree()["rate_limiter"]["restarts"], MAX_RESTARTS)
        self.finish(service)

    def end_by(self, children):
        service = self.start()
        for child in children[:MAX_RESTARTS]:
            self.assertTrue(self.crash_often(service, child, 1), f"a crash within the intensity: {child}")
        before = service.log_lines()
        self.assertIsNone(service.process.poll())
        answered = self.crash_often(service, children[MAX_RESTARTS], 1)
        code = service.wait()
        self.assertNotEqual(code, 0)
        self.assertGreater(code, 0, f"ended by signal {-code}, not by its own decision")
        self.assertFalse(answered, "the fourth crash cannot be answered with a new pid")
        service.wait_for_log(GIVING_UP, before)

    def test_a_fourth_crash_of_the_limiter_ends_the_service_with_a_reason(self):
        self.end_by(["rate_limiter"] * 4)

    def test_the_intensity_counts_all_children_together(self):
        self.end_by(["rate_limiter", "hit_counter", "heartbeat", "hit_counter"])


if __name__ == "__main__":
    unittest.main()
