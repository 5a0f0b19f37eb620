"""The heart: a parent that holds the sockets, starts the service again when it has died, and upgrades it.

A service's own death may cost the connections that were open in it, and nothing else: no connection attempt is refused.
An upgrade costs nothing at all. Times are printed; they are asserted loosely, and not at all in sanitizer builds.
"""

import os
import resource
import select
import shutil
import signal
import socket
import statistics
import struct
import tempfile
import threading
import time
import unittest

from harness import START_LIMIT, STOP_LIMIT, Showcase, Truncated, eventually

SANITIZED = bool(os.environ.get("GENEVER_SANITIZERS"))

# A core dump would be part of every death's time.
resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def children_of(parent):
    """The living children of a process."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="latin-1") as f:
                state, ppid = f.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent and state not in "ZX":
            found.append(int(name))
    return found


def wait_for_end(pid_fd, limit):
    """The time at which the process behind `pid_fd` had ended; an AssertionError after `limit` seconds."""
    assert select.select([pid_fd], [], [], limit)[0], f"the process still runs after {limit} s"
    return time.monotonic()


class HeartTest(unittest.TestCase):
    def start(self, heart=1, **settings):
        service = Showcase(**{"GENEVER_HEART": heart, "GENEVER_LOG": "info", **settings})
        self.addCleanup(self.clean_up, service)
        return service

    def clean_up(self, service):
        left = children_of(service.process.pid) if service.process.poll() is None else []
        service.process.kill()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        service.wait()

    def service_pid(self, service, other_than=()):
        """The one service below the heart, once it is there and is none of `other_than`."""
        def look():
            found = [pid for pid in children_of(service.process.pid) if pid not in other_than]
            return found[0] if len(found) == 1 else None
        return eventually(look, "there is one service below the heart", START_LIMIT)

    def kill_service(self, service, how=signal.SIGABRT):
        """Ends the service: its pid, and when it was dead."""
        pid = self.service_pid(service)
        watch = os.pidfd_open(pid)
        try:
            os.kill(pid, how)
            return pid, wait_for_end(watch, STOP_LIMIT)
        finally:
            os.close(watch)

    def assert_ends(self, service, code=0, within=STOP_LIMIT):
        self.assertEqual(service.wait(within), code, service.log())


class Client(threading.Thread):
    """Asks /ping on keep-alive connections at a steady rate until it is told to stop, and notes what goes wrong."""

    REQUEST = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def __init__(self, port, connections, per_second):
        super().__init__(daemon=True)
        self.port, self.pause = port, connections / per_second
        self.sockets = [None] * connections
        self.opened = [0.0] * connections
        self.done = threading.Event()
        self.answers = 0
        self.lost = []  # (when its connection was opened, when it failed, what)
        self.refused = []

    def run(self):
        due = time.monotonic()
        while not self.done.is_set():
            asked = [i for i in range(len(self.sockets)) if self.ask(i)]
            for i in asked:
                self.hear(i)
            due += self.pause
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic() - 1)
        for s in self.sockets:
            if s:
                s.close()

    def finish(self):
        self.done.set()
        self.join(STOP_LIMIT + START_LIMIT)
        assert not self.is_alive(), "a client hangs"

    def ask(self, i):
        try:
            if not self.sockets[i]:
                self.opened[i] = time.monotonic()
                self.sockets[i] = socket.create_connection(("127.0.0.1", self.port), timeout=START_LIMIT)
                self.sockets[i].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self.refused.append(repr(error))
            return False
        try:
            self.sockets[i].sendall(self.REQUEST)
            return True
        except OSError as error:
            self.lose(i, repr(error))
            return False

    def hear(self, i):
        data = b""
        try:
            while b'{"message":"pong"}' not in data:
                piece = self.sockets[i].recv(4096)
                if not piece:
                    return self.lose(i, f"closed after {data!r}")
                data += piece
        except OSError as error:
            return self.lose(i, repr(error))
        if not data.startswith(b"HTTP/1.1 200 "):
            return self.lose(i, f"answered {data!r}")
        self.answers += 1
        if b"Connection: close" in data:
            self.drop(i)
        return None

    def lose(self, i, what):
        self.lost.append((self.opened[i], time.monotonic(), what))
        self.drop(i)

    def drop(self, i):
        self.sockets[i].close()
        self.sockets[i] = None


class Restart(HeartTest):
    def test_twenty_aborts_cost_only_the_connections_that_were_open_in_the_dead_process(self):
        service = self.start(GENEVER_HEART_QUICK_MS=100, GENEVER_LOG="error")
        clients = [Client(service.port, connections=5, per_second=100) for _ in range(5)]
        for client in clients:
            client.start()
        deaths, back = [], []
        for _ in range(20):
            time.sleep(0.4)
            before = time.monotonic()
            _, dead = self.kill_service(service)
            deaths.append((before, dead))
            self.assertEqual(service.get("/ping", timeout=START_LIMIT).status, 200)
            back.append(1000 * (time.monotonic() - dead))
        for client in clients:
            client.finish()
        print(f"\n20 aborts at about 500 requests/s: back after {statistics.median(back):.1f} ms (median), "
              f"{max(back):.1f} ms (worst), {sum(len(c.lost) for c in clients)} connections lost, "
              f"{sum(c.answers for c in clients)} answers")
        self.assertEqual([r for c in clients for r in c.refused], [])
        for opened, failed, what in (lost for c in clients for lost in c.lost):
            self.assertTrue(any(opened <= dead and failed >= before for before, dead in deaths),
                            f"lost without a death: {what}")
            self.assertNotIn("answered", what)
        self.assertGreater(min(c.answers for c in clients), 0)
        if not SANITIZED:
            self.assertLess(statistics.median(back), 100)
            self.assertLess(max(back), 2000)

    def test_a_handler_that_aborts_costs_its_own_service_only_a_moment(self):
        service = self.start(GENEVER_HEART_QUICK_MS=0)
        for _ in range(3):
            pid = self.service_pid(service)
            with service.connect(timeout=START_LIMIT) as connection:
                try:
                    answer = connection.get("/panic/abort")
                except (ConnectionError, Truncated):
                    answer = None
            if answer is not None and answer.status == 404:
                self.skipTest("there is no route /panic/abort")
            self.assertIsNone(answer)
            self.assertEqual(service.get("/ping", timeout=START_LIMIT).status, 200)
            self.assertNotEqual(self.service_pid(service, other_than=[pid]), pid)

    def test_every_other_end_but_an_orderly_one_leads_to_a_restart(self):
        service = self.start(GENEVER_HEART_QUICK_MS=0)
        for how in (signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS):
            dead, _ = self.kill_service(service, how)
            self.assertNotEqual(self.service_pid(service, other_than=[dead]), dead)
            self.assertEqual(service.get("/ping", timeout=START_LIMIT).status, 200)
            end = f"was ended by {how.name}" if not SANITIZED else "(was ended by|exited with code)"  # it may handle them
            service.wait_for_log(f"service {dead} {end}.* after [0-9]+ ms: starting it again now")

    def test_a_launcher_that_ignores_the_ends_of_its_children_does_not_make_it_deaf(self):
        service = self.start(GENEVER_HEART_QUICK_MS=0,
                             command=["env", "--ignore-signal=CHLD", os.environ["GENEVER_SHOWCASE"]])
        for _ in range(2):
            dead, _ = self.kill_service(service)
            self.assertNotEqual(self.service_pid(service, other_than=[dead]), dead)
            self.assertEqual(service.get("/ping", timeout=START_LIMIT).status, 200)

    def test_a_connection_that_waits_while_the_service_is_down_is_served(self):
        service = self.start(GENEVER_HEART_QUICK_MS=60_000, GENEVER_HEART_BACKOFF_MS=1000)
        for _ in range(2):
            self.kill_service(service)
        started = time.monotonic()
        with service.connect(timeout=START_LIMIT) as connection:  # the second restart waits
            self.assertEqual(connection.get("/ping").status, 200)
        self.assertGreater(time.monotonic() - started, 0.5)

    def test_a_hang_is_noticed(self):
        service = self.start(GENEVER_HEART_HANG_MS=2000)
        pid = self.service_pid(service)
        os.kill(pid, signal.SIGSTOP)
        self.service_pid(service, other_than=[pid])
        self.assertEqual(service.get("/ping", timeout=START_LIMIT).status, 200)
        self.assertIn(f"service {pid} hangs: it has shown no progress for 2000 ms", service.log())

    def test_a_busy_service_is_no_hanging_one(self):
        service = self.start(GENEVER_HEART_HANG_MS=1500 if not SANITIZED else 10_000)
        pid = self.service_pid(service)
        connections = [service.connect(timeout=START_LIMIT * 2) for _ in range(4)]
        for connection in connections:
            self.addCleanup(connection.socket.close)
            connection.send(b"GET /work?us=1000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for connection in connections:
            self.assertEqual(connection.read().status, 200)
        self.assertEqual(self.service_pid(service), pid)

    def test_it_gives_up_after_too_many_quick_failures(self):
        service = self.start(GENEVER_HEART_GIVE_UP=3, GENEVER_HEART_QUICK_MS=60_000, GENEVER_HEART_BACKOFF_MS=10)
        pids = []
        for _ in range(4):
            pid = self.service_pid(service, other_than=pids)
            pids.append(pid)
            os.kill(pid, signal.SIGABRT)
        self.assert_ends(service, 128 + signal.SIGABRT)
        self.assertIn("giving up after 3 restarts in quick succession", service.log())

    def test_a_first_start_that_fails_is_not_tried_again(self):
        with socket.create_server(("0.0.0.0", 0)) as taken:
            with self.assertRaisesRegex(AssertionError, "exit code 1"):
                self.start(port=taken.getsockname()[1], GENEVER_LOG="off")

    def test_nonsensical_settings_are_refused(self):
        with self.assertRaisesRegex(AssertionError, "exit code 1"):
            self.start(GENEVER_HEART_HANG_MS="soon", GENEVER_LOG="off")


class Stop(HeartTest):
    def test_sigterm_to_the_heart_drains_the_service(self):
        for how in (signal.SIGTERM, signal.SIGINT):
            service = self.start()
            connection = service.connect(timeout=STOP_LIMIT)
            self.addCleanup(connection.socket.close)
            connection.send(b"GET /work?us=500000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(0.1)
            service.process.send_signal(how)
            answer = connection.read()
            self.assertEqual(answer.status, 200)
            self.assertTrue(answer.closes())
            self.assert_ends(service)

    def test_nobody_new_is_left_in_the_backlog_while_it_drains(self):
        service = self.start()
        slow = service.connect(timeout=STOP_LIMIT)
        self.addCleanup(slow.socket.close)
        slow.send(b"GET /work?us=1500000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.1)
        service.send_sigterm()

        eventually(service.refuses, "a new connection is refused", 1.2)
        self.assertEqual(slow.read().status, 200)
        self.assert_ends(service)

    def test_ctrl_c_reaches_both_and_is_one_stop(self):
        service = self.start()
        os.kill(self.service_pid(service), signal.SIGINT)
        service.process.send_signal(signal.SIGINT)
        self.assert_ends(service)

    def test_a_service_that_is_stopped_itself_takes_the_heart_with_it(self):
        service = self.start()
        os.kill(self.service_pid(service), signal.SIGTERM)
        self.assert_ends(service)

    def test_a_stop_while_the_service_is_down_ends_the_heart(self):
        service = self.start(GENEVER_HEART_QUICK_MS=60_000, GENEVER_HEART_BACKOFF_MS=60_000,
                             GENEVER_HEART_MOST_BACKOFF_MS=60_000)
        for _ in range(2):
            self.kill_service(service)
        eventually(lambda: service.log().count("was ended by") == 2, "the heart knows that the service is down")
        service.send_sigterm()
        self.assert_ends(service)

    def test_a_service_whose_heart_is_killed_drains_and_ends(self):
        service = self.start()
        watch = os.pidfd_open(self.service_pid(service))
        self.addCleanup(os.close, watch)
        connection = service.connect(timeout=STOP_LIMIT)
        self.addCleanup(connection.socket.close)
        connection.send(b"GET /work?us=300000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.1)
        service.process.kill()
        self.assertEqual(connection.read().status, 200)
        wait_for_end(watch, STOP_LIMIT)


class Upgrade(HeartTest):
    def own_copy(self):
        """A copy of the program that a test may replace."""
        folder = tempfile.mkdtemp(prefix="genever-heart-")
        self.addCleanup(shutil.rmtree, folder)
        return shutil.copy(os.environ["GENEVER_SHOWCASE"], os.path.join(folder, "showcase"))

    def replace(self, program, by):
        shutil.copy(by, program + ".new")
        os.rename(program + ".new", program)

    def test_no_request_is_lost_under_load(self):
        service = self.start(GENEVER_LOG="error")
        rate = 600 if SANITIZED else 5000
        clients = [Client(service.port, connections=10, per_second=rate / 2) for _ in range(2)]
        started = time.monotonic()
        for client in clients:
            client.start()
        pids = [self.service_pid(service)]
        for _ in range(3):
            time.sleep(0.5)
            service.process.send_signal(signal.SIGHUP)
            pids.append(self.service_pid(service, other_than=pids))
        time.sleep(0.5)
        for client in clients:
            client.finish()
        took = time.monotonic() - started
        answers = sum(c.answers for c in clients)
        print(f"\n3 upgrades under keep-alive load: {answers} answers in {took:.1f} s ({answers / took:.0f}/s), "
              f"{sum(len(c.lost) + len(c.refused) for c in clients)} failed")
        self.assertEqual([r for c in clients for r in c.refused], [])
        self.assertEqual([lost for c in clients for lost in c.lost], [])
        service.send_sigterm()
        self.assert_ends(service)

    def test_the_program_that_is_on_disk_now_takes_over(self):
        program = self.own_copy()
        service = self.start(command=[program])
        old = self.service_pid(service)
        self.replace(program, os.environ["GENEVER_SHOWCASE"])
        self.assertIn("(deleted)", os.readlink(f"/proc/{old}/exe"))
        idle = service.connect(timeout=STOP_LIMIT)
        self.addCleanup(idle.socket.close)
        self.assertEqual(idle.get("/ping").status, 200)
        service.process.send_signal(signal.SIGHUP)
        service.wait_for_log("takes over")
        # An idle connection has one more request.
        answer = idle.get("/ping")
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.closes())
        new = self.service_pid(service, other_than=[old])
        self.assertEqual(os.readlink(f"/proc/{new}/exe"), program)
        with open(f"/proc/{new}/comm", encoding="ascii") as f:
            self.assertEqual(f.read(), "showcase\n")
        service.send_sigterm()
        self.assert_ends(service)

    def test_idle_connections_do_not_hold_the_old_program_for_ever(self):
        service = self.start()
        old = self.service_pid(service)
        watch = os.pidfd_open(old)
        self.addCleanup(os.close, watch)
        idle = service.connect(timeout=3 * STOP_LIMIT)
        self.addCleanup(idle.socket.close)
        self.assertEqual(idle.get("/ping").status, 200)
        service.process.send_signal(signal.SIGHUP)
        self.assertEqual(idle.rest(), b"")
        wait_for_end(watch, STOP_LIMIT)

    def test_a_program_that_does_not_start_changes_nothing(self):
        program = self.own_copy()
        service = self.start(command=[program])
        old = self.service_pid(service)
        broken = program + ".broken"
        with open(broken, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\nexit 3\n")
        os.chmod(broken, 0o755)
        for by, complaint in ((shutil.which("false"), "exited with code 1 before it was up"),
                              (broken, "exited with code 3 before it was up"), (None, "No such file")):
            with self.subTest(by=by):
                mark = service.log_lines()
                if by:
                    self.replace(program, by)
                else:
                    os.unlink(program)
                service.process.send_signal(signal.SIGHUP)
                service.wait_for_log(f"no upgrade: .*{complaint}.*; the old program goes on", since=mark)
                self.assertEqual(self.service_pid(service), old)
                self.assertEqual(service.get("/ping").status, 200)
        # Its restart is of the program that ran.
        dead, _ = self.kill_service(service)
        self.assertEqual(service.get("/ping", timeout=START_LIMIT).status, 200)
        self.assertNotEqual(self.service_pid(service), dead)

    def test_a_program_that_is_late_changes_nothing(self):
        program = self.own_copy()
        service = self.start(command=[program], GENEVER_HEART_START_MS=3000 if not SANITIZED else 15_000)
        old = self.service_pid(service)
        with open(program + ".sh", "w", encoding="ascii") as f:
            f.write("#!/bin/sh\nexec sleep 600\n")
        os.chmod(program + ".sh", 0o755)
        os.rename(program + ".sh", program)
        service.process.send_signal(signal.SIGHUP)
        eventually(lambda: "no upgrade" in service.log(), "the heart has waited long enough", START_LIMIT)
        self.assertIn("is not up after", service.log())
        self.assertEqual(self.service_pid(service), old)
        self.assertEqual(service.get("/ping").status, 200)

    def test_while_an_upgrade_is_under_way_the_heart_does_not_give_up(self):
        for repairs in (True, False):
            with self.subTest(repairs=repairs):
                program = self.own_copy()
                go = os.path.join(os.path.dirname(program), "go")
                service = self.start(command=[program], GENEVER_HEART_GIVE_UP=2, GENEVER_HEART_QUICK_MS=60_000,
                                     GENEVER_HEART_BACKOFF_MS=10)
                seen = [self.service_pid(service)]
                script = program + ".sh"
                last = 'exec "$GENEVER_SHOWCASE"' if repairs else "exit 3"
                with open(script, "w", encoding="ascii") as f:
                    f.write(f"#!/bin/sh\nuntil [ -e {go} ]; do sleep 0.05; done\n{last}\n")
                os.chmod(script, 0o755)
                os.rename(script, program)
                service.process.send_signal(signal.SIGHUP)
                candidate = self.service_pid(service, other_than=seen)
                for left in (2, 1, 0):
                    os.kill(seen[-1], signal.SIGABRT)
                    if left:
                        seen.append(self.service_pid(service, other_than=[candidate, *seen]))
                service.wait_for_log("giving up after 2 restarts in quick succession, unless the upgrade succeeds")
                self.assertEqual(children_of(service.process.pid), [candidate])
                with open(go, "w", encoding="ascii"):
                    pass
                if repairs:
                    service.wait_for_log(f"service {candidate} is up")
                    self.assertEqual(service.get("/ping", timeout=START_LIMIT).status, 200)
                    self.kill_service(service)  # and it is what is started again
                    self.assertEqual(service.get("/ping", timeout=START_LIMIT).status, 200)
                    service.send_sigterm()
                    self.assert_ends(service)
                else:
                    self.assert_ends(service, 128 + signal.SIGABRT)


    def test_an_upgrade_without_a_limit_does_not_keep_a_heart_that_has_given_up_for_ever(self):
        program = self.own_copy()
        service = self.start(command=[program], GENEVER_HEART_GIVE_UP=1, GENEVER_HEART_QUICK_MS=60_000,
                             GENEVER_HEART_START_MS=0, GENEVER_HEART_MOST_BACKOFF_MS=200)
        old = self.service_pid(service)
        with open(program + ".sh", "w", encoding="ascii") as f:
            f.write("#!/bin/sh\nexec sleep 600\n")
        os.chmod(program + ".sh", 0o755)
        os.rename(program + ".sh", program)
        service.process.send_signal(signal.SIGHUP)
        candidate = self.service_pid(service, other_than=[old])
        os.kill(old, signal.SIGABRT)
        os.kill(self.service_pid(service, other_than=[old, candidate]), signal.SIGABRT)
        service.wait_for_log("unless the upgrade succeeds")
        self.assert_ends(service, 128 + signal.SIGABRT)
        self.assertIn(f"service {candidate} is not up after 1200 ms", service.log())


class Reports(HeartTest):
    def test_a_reader_of_its_log_that_has_stopped_reading_does_not_stop_the_heart(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        service = self.start(GENEVER_HEART_QUICK_MS=0, pass_fds=(writer,),
                             command=["/bin/sh", "-c", f'exec "$0" 2>&{writer}', os.environ["GENEVER_SHOWCASE"]])
        again = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)  # the heart's end stays as it is
        os.close(writer)
        try:
            while True:
                os.write(again, b"x" * 4096)
        except BlockingIOError:
            pass
        os.close(again)
        seen = [self.service_pid(service)]
        for _ in range(3):
            os.kill(seen[-1], signal.SIGKILL)
            seen.append(self.service_pid(service, other_than=seen))
            self.assertEqual(service.get("/ping", timeout=START_LIMIT).status, 200)
        log = []

        def read_on():
            while piece := os.read(reader, 65536):
                log.append(piece)
        threading.Thread(target=read_on, daemon=True).start()
        os.kill(seen[-1], signal.SIGKILL)
        self.service_pid(service, other_than=seen)
        eventually(lambda: b" entries were lost: standard error did not take them" in b"".join(log),
                   "the heart says what is missing")
        service.send_sigterm()
        self.assert_ends(service)


class Manager:
    """What systemd is for a service: a datagram socket that hears of its states."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.name = f"@genever-heart-test-{os.getpid()}-{id(self)}"
        self.socket.bind("\0" + self.name[1:])
        self.socket.settimeout(START_LIMIT)

    def next(self, wanted):
        """The sender and the text of the next message with `wanted` in it."""
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            text, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
            if wanted in text.decode().split("\n"):
                return struct.unpack("3i", control[0][2])[0], text.decode()
        raise AssertionError(f"no {wanted}")


class ServiceManager(HeartTest):
    def manager(self):
        manager = Manager()
        self.addCleanup(manager.socket.close)
        return manager

    def test_it_hears_of_readiness_and_the_end_and_is_pinged(self):
        for heart in (0, 1):
            with self.subTest(heart=heart):
                manager = self.manager()
                service = self.start(heart=heart, NOTIFY_SOCKET=manager.name, WATCHDOG_USEC=400_000)
                main = service.process.pid
                self.assertEqual(manager.next("READY=1")[0], main)
                for _ in range(3):
                    self.assertEqual(manager.next("WATCHDOG=1")[0], main)
                service.send_sigterm()
                self.assertEqual(manager.next("STOPPING=1")[0], main)
                self.assert_ends(service)

    def test_it_hears_of_an_upgrade_as_a_reload(self):
        manager = self.manager()
        service = self.start(NOTIFY_SOCKET=manager.name)
        manager.next("READY=1")
        service.process.send_signal(signal.SIGHUP)
        sender, text = manager.next("RELOADING=1")
        self.assertEqual(sender, service.process.pid)
        self.assertRegex(text, r"MONOTONIC_USEC=[0-9]+")
        self.assertEqual(manager.next("READY=1")[0], service.process.pid)

    def test_it_hears_of_a_restart(self):
        manager = self.manager()
        service = self.start(NOTIFY_SOCKET=manager.name)
        manager.next("READY=1")
        self.kill_service(service)
        self.assertEqual(manager.next("READY=1")[0], service.process.pid)

    def test_a_socket_that_it_passes_is_served(self):
        for heart in (0, 1):
            with self.subTest(heart=heart):
                passed = socket.create_server(("0.0.0.0", 0))
                self.addCleanup(passed.close)
                port = passed.getsockname()[1]
                early = socket.create_connection(("127.0.0.1", port), timeout=START_LIMIT)
                self.addCleanup(early.close)
                early.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                shell = f"exec 3<&{passed.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\""
                service = self.start(heart=heart, port=port, pass_fds=(passed.fileno(),),
                                     command=["/bin/sh", "-c", shell, os.environ["GENEVER_SHOWCASE"]])
                self.assertEqual(service.port, port)
                self.assertRegex(early.recv(4096), b"^HTTP/1.1 200 ")
                if heart:
                    self.kill_service(service)
                    self.assertEqual(service.get("/ping", timeout=START_LIMIT).status, 200)
                service.send_sigterm()
                self.assert_ends(service)


if __name__ == "__main__":
    unittest.main()
