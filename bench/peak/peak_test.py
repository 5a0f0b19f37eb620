"""What stands between the tools' outputs and the report: parsing, figures, goals, the page. No stack is run and nothing is timed."""

import html.parser
import itertools
import json
import math
import os
import pathlib
import subprocess
import tempfile
import types
import unittest
import unittest.mock
import xml.etree.ElementTree

import alike
import closed_loop
import figures
import goals
import load
import open_loop
import plots
import report
import run
import serving
import stacks
import measuring
import storms
from measuring import Invalid
from results import Results

MS = 1_000_000  # nanoseconds


def attack_row(sent, code, latency, sequence, path="/ping", error=""):
    return f"{sent},{code},{latency},0,18,{error},,,{sequence},GET,http://127.0.0.1:4000{path},"


class Vegeta(unittest.TestCase):
    def test_latency_counts_from_when_a_request_was_due(self):
        began = 1_700_000_000 * 10**9
        # 100 a second; the generator stalls, so that the third and fourth go out late, and together.
        rows = [attack_row(began, 200, 1 * MS, 0), attack_row(began + 10 * MS, 200, 2 * MS, 1),
                attack_row(began + 70 * MS, 200, 1 * MS, 2), attack_row(began + 70 * MS, 200, 1 * MS, 3)]
        shots = load.read_shots("\n".join(rows), 100)
        self.assertEqual([round(shot.latency * 1000) for shot in shots], [1, 2, 51, 41])
        self.assertEqual([round(lag * 1000) for lag in shots.lag()], [0, 0, 50, 40])
        self.assertEqual(shots.began, 1_700_000_000)

    def test_a_first_request_that_goes_out_late_is_late(self):
        began = 10**18
        rows = [attack_row(began + 30 * MS, 200, MS, 0), attack_row(began + 30 * MS, 200, MS, 1),
                attack_row(began + 30 * MS, 200, MS, 2), attack_row(began + 30 * MS, 200, MS, 3)]
        self.assertEqual([round(shot.latency * 1000) for shot in load.read_shots("\n".join(rows), 100)], [31, 21, 11, 1])

    def test_requests_may_be_told_in_any_order_and_keep_their_path_and_fate(self):
        began = 10**18
        rows = [attack_row(began + 10 * MS, 0, 5 * MS, 1, "/b?x=1", '"dial tcp, refused"'), attack_row(began, 503, MS, 0, "/a")]
        shots = load.read_shots("\n".join(rows), 100)
        self.assertEqual([(shot.path, shot.status, shot.error) for shot in shots],
                         [("/a", 503, ""), ("/b?x=1", 0, "dial tcp, refused")])
        self.assertEqual([shot.path for shot in shots.of("/a")], ["/a"])

    def test_no_requests_are_no_shots(self):
        self.assertEqual(load.read_shots("", 100), [])

    def test_what_a_stall_has_kept_from_being_sent_is_missing(self):
        self.assertEqual([load.unsent(sent, 1000, 3) for sent in (3001, 3000, 2985, 2900, 0)], [0, 0, 0, 100, 3000])
        self.assertEqual([load.unsent(sent, 50, 3) for sent in (150, 149, 140)], [0, 0, 10])


class Stops:
    """A server's program that ends before it answers, or never answers."""
    key = title = "stops"

    def __init__(self, *program):
        self.program = program

    def command(self, _workers):
        return self.program, {}


class Starting(unittest.TestCase):
    def test_a_server_that_never_answers_is_ended(self):
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.object(serving, "START_LIMIT", 2):
            log, told = pathlib.Path(folder) / "log", pathlib.Path(folder) / "pid"
            log.touch()
            with self.assertRaisesRegex(Invalid, "does not accept"):
                serving.Server(Stops("sh", "-c", f"echo $$ > {told}; exec sleep 60"), 1, [min(os.sched_getaffinity(0))], log)
            with self.assertRaises(ProcessLookupError):
                os.kill(int(told.read_text()), 0)

    def test_one_that_ends_says_with_what(self):
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "log"
            with self.assertRaisesRegex(Invalid, "ended at its start with 3: no port"):
                serving.Server(Stops("sh", "-c", "echo no port; exit 3"), 1, [min(os.sched_getaffinity(0))], log)


class Measuring(unittest.TestCase):
    def test_what_fails_is_noted_and_stops_nothing(self):
        class Fails:
            key, title, figures = "fails", "Fails", ()

            def __init__(self, problem):
                self.problem = problem

            def measure(self, _bench, _stack, _cell):
                raise self.problem

        for problem, why in ((Invalid("it ended"), "it ended"), (subprocess.TimeoutExpired("vegeta", 9), "vegeta"),
                             (ConnectionRefusedError(111, "refused"), "ConnectionRefusedError"), (KeyError("share"), "share")):
            results = Results()
            run.measure(types.SimpleNamespace(round=0), Fails(problem), "a cell", Stops(), results)
            self.assertIn(why, results.failures[0]["why"])


class Kept(unittest.TestCase):
    def test_what_was_ended_early_does_not_replace_a_whole_run(self):
        with tempfile.TemporaryDirectory() as folder:
            options = types.SimpleNamespace(out=pathlib.Path(folder) / "peak")
            run.keep(made_up(), {**FACTS, "whole": True}, options)
            run.keep(Results(), {**FACTS, "whole": False}, options)
            whole, partial = (json.loads((options.out / name).read_text()) for name in ("report.json", "report.partial.json"))
            self.assertEqual((len(whole["samples"]), partial["samples"], partial["goals"]), (len(made_up().samples), [], []))
            self.assertEqual({path.name for path in options.out.iterdir()}, {"report.json", "report.partial.json"})


class Wrk(unittest.TestCase):
    RESULT = ('RESULT {"requests":1000,"us":500000,"connect":0,"read":2,"write":0,"status":7,"timeout":0,'
              '"p50_us":1.0,"p99_us":2.0,"p999_us":3.0}')

    def test_the_result_line_is_found_among_the_others(self):
        result = load.read_wrk(f"Running 1s test\n  2 threads\n{self.RESULT}\nmore\n")
        self.assertEqual(result["requests_per_s"], 2000)
        self.assertEqual(result["errors"], {"read": 2, "status": 7})

    def test_without_a_result_the_run_is_invalid(self):
        with self.assertRaises(Invalid):
            load.read_wrk("unable to connect")

    def test_lua_strings_hold_any_byte(self):
        self.assertEqual(load.lua_string('a"\n\u00e9'), '"\\097\\034\\010\\195\\169"')

    def test_a_pipeline_is_sent_at_once(self):
        script = load.wrk_script(pipeline=16)
        self.assertIn("string.rep(wrk.format(), 16)", script)
        self.assertIn("done = function", script)


class TheMachine(unittest.TestCase):
    def test_what_a_core_did_not_give_are_the_gaps(self):
        core = min(os.sched_getaffinity(0))
        for gap, taken in ((0, 0), (0.1, 0.5)):
            moments = itertools.accumulate([1.0, *[1e-4] * 500, gap, *[1e-4] * 1000])
            self.assertAlmostEqual(measuring.taken_away(core, 0.2 if gap else 0.1, lambda: next(moments)), taken, places=2)

    def test_two_comparisons_do_not_measure_each_other(self):
        with tempfile.TemporaryDirectory() as folder, measuring.alone(pathlib.Path(folder) / "lock"):
            with self.assertRaisesRegex(Invalid, f"another comparison is running .process {os.getpid()}."):
                with measuring.alone(pathlib.Path(folder) / "lock"):
                    pass
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(2):
                with measuring.alone(pathlib.Path(folder) / "lock"):
                    pass

    def test_the_report_says_how_much_others_took(self):
        self.assertIn("had 1.0 % of a core's time (median of 3 looks; at most 30.0 %)", " ".join(report.condition_lines(FACTS)))


class Paced(unittest.TestCase):
    def test_a_storm_of_any_rate_has_a_few_connections_and_no_more(self):
        for rate in (400, 1_000, 2_000, 4_000, 20_000):
            connections, pause_ms = storms.paced(rate)
            self.assertGreaterEqual(connections, 5)
            self.assertLessEqual(connections, 70)
            self.assertAlmostEqual(connections * 1e3 / (pause_ms + 1.5) / rate, 1, delta=0.1)
        self.assertEqual(storms.paced(1)[0], 4)


class Figures(unittest.TestCase):
    def test_quantiles_are_values_that_occurred(self):
        values = list(range(1, 101))
        self.assertEqual([figures.quantile(values, q) for q in (0, 0.5, 0.99, 1)], [1, 50, 99, 100])
        self.assertTrue(math.isnan(figures.quantile([], 0.5)))

    def test_a_curve_ends_where_there_are_no_values_to_tell(self):
        points = figures.curve(range(1000))
        self.assertEqual(points[0][1], 0)
        self.assertLessEqual(max(q for q, _ in points), 0.999)
        self.assertEqual(figures.curve([]), [])

    def test_rates_over_time_count_each_moment_once(self):
        points = figures.over_time([0.0, 0.05, 0.1, 0.25, 0.9], 0, 0.3, 0.1)
        self.assertEqual([rate for _, rate in points], [20, 10, 10])

    def test_the_slope_of_a_line_is_its_slope(self):
        self.assertAlmostEqual(figures.slope([(0, 5), (1, 7), (3, 11)]), 2)
        self.assertTrue(math.isnan(figures.slope([(1, 1)])))

    def test_a_spread_says_a_single_value_once(self):
        self.assertEqual(figures.spread([2.0, 1.0, 3.0]), "2.00 (1.00–3.00)")
        self.assertEqual(figures.spread([5, 5]), "5.00")
        self.assertEqual(figures.spread([math.nan]), "–")


class NextRight(unittest.TestCase):
    def test_counts_from_the_kill_to_the_first_end_among_those_sent_after_it(self):
        shots = [load.Shot(0, 0.0, 0.9, 200, "/", ""), load.Shot(0, 1.1, 1.5, 200, "/", ""),
                 load.Shot(0, 1.2, 1.3, 200, "/", ""), load.Shot(0, 1.05, 1.06, 500, "/", "")]
        waits = storms.next_right([1.0], shots)
        self.assertEqual([round(wait, 3) for wait in waits], [0.3])

    def test_a_kill_after_which_nothing_was_asked_has_no_answer(self):
        self.assertEqual(storms.next_right([2.0], [load.Shot(0, 1, 1.1, 200, "/", "")]), [])


class Alike(unittest.TestCase):
    class Response:
        def __init__(self, status, kind):
            self.status, self.kind = status, kind

        def getheader(self, _name):
            return self.kind

    def content(self, status, kind, body):
        return alike.content(self.Response(status, kind), body)

    def test_json_is_the_same_in_any_order_but_not_with_more_bytes(self):
        one = self.content(200, "application/json; charset=utf-8", b'{"a":1,"b":2}')
        self.assertEqual(one, self.content(200, "application/json", b'{"b":2,"a":1}'))
        self.assertNotEqual(one, self.content(200, "application/json", b'{"b":2, "a":1}'))
        self.assertNotEqual(one, self.content(200, "application/json", b'{"a":1,"b":3}'))

    def test_status_and_media_type_count(self):
        one = self.content(200, "text/plain", b"x")
        self.assertNotEqual(one, self.content(201, "text/plain", b"x"))
        self.assertNotEqual(one, self.content(200, "application/json", b"x"))
        self.assertEqual(self.content(204, None, b""), self.content(204, "text/plain", b""))

    def test_the_order_has_4_kb_and_nothing_that_encoders_escape_differently(self):
        self.assertEqual(len(alike.ORDER), 4096)
        self.assertFalse(set("<>&/\\'") & set(alike.ORDER.replace("\\/", "")))
        self.assertTrue(alike.ORDER.isascii())
        self.assertEqual(json.dumps(json.loads(alike.ORDER), separators=(",", ":")), alike.ORDER)

    def test_what_is_measured_has_been_compared(self):
        compared = {path for _, path, _ in alike.QUESTIONS}
        for path, _ in closed_loop.WORKLOADS.values():
            self.assertIn(path, compared)
        for path in ("/pool", "/health", "/limited", open_loop.OpenLoop.WORK):
            self.assertIn(path, compared)


def made_up(better=True):
    """Results of one round: Genever's good or bad, the peers' as they may be."""
    results = Results()

    def add(scenario, cell, genever, gin, otp):
        for stack, values in (("genever", genever), ("gin", gin), ("otp", otp)):
            results.add(scenario, cell, stack, 0, values, {})

    add("steady", goals.PING, {"per_cpu_s": 120_000 if better else 60_000, "resident_mib": 10 if better else 700,
                               "p99_us": 500.0, "others": 0.0},
        {"per_cpu_s": 40_000, "resident_mib": 20, "p99_us": 900.0, "others": 0.0},
        {"per_cpu_s": 30_000, "resident_mib": 60, "p99_us": math.nan, "others": 0.0})
    for name in ("work", "pool"):
        for times, share in ((1, 1.0), (5, 0.99 if better else 0.5), (10, 0.98 if better else 0.4)):
            add("overload", f"{name} × {times}",
                {"goodput": 1000 * share, "goodput_share": share, "capacity": 1000, "p99_ms": 30 if better else 80,
                 "health_ms": 5, "health_failed": 0 if better else 2, "recovery_s": 0.1 if better or times < 10 else 3.0},
                {"goodput": 100, "goodput_share": 0.1, "capacity": 1000, "p99_ms": 900, "health_ms": 900, "health_failed": 9},
                {"goodput": 0, "goodput_share": 0.0, "capacity": 900, "p99_ms": math.nan, "health_ms": 1000,
                 "health_failed": 9})
    for cell in (*goals.STORMS, "20,000 crashes a second", goals.NO_CRASHES):
        values = {"failed": 0 if better else 1, "kept": 100.0, "p99_ms": 3.0, "dropped": 0, "reported_kib": 9.0,
                  "crashes_per_s": 19_500 if better else 9_000, "good_offered": 3000,
                  "restarts": 0 if better else 1}
        add("crash storm", cell, values, values, values)
        results.samples[-1]["series"] = {"good_per_s": [[0.05, 3000.0], [0.15, 2900.0], [0.25, 3000.0]],
                                         "storm": [[0.1, 1], [0.2, 0]]}
    for cell in ("burn", "block"):
        add("hogs", cell, {"p99_ms": 2.0 if better else 9.0}, {"p99_ms": 200.0}, {"p99_ms": 3.0})
    for cell in open_loop.ArrivingHogs.CELLS:
        add("arriving hogs", cell, {"p99_ms": 2.0 if better else 9.0}, {"p99_ms": 200.0}, {"p99_ms": 3.0})
    add("idle", "10,000 connections", {"bytes": 900 if better else 9_000}, {"bytes": 20_000}, {"bytes": 11_000})
    return results


class Goals(unittest.TestCase):
    def verdicts(self, results):
        return {goal.what: goal.verdict for goal in goals.goals(results)}

    def test_good_figures_meet_every_goal_that_was_measured(self):
        verdicts = self.verdicts(made_up())
        missing = {what for what, verdict in verdicts.items() if verdict == "not measured"}
        self.assertEqual(set(verdicts.values()), {"met", "not measured"})
        self.assertEqual({what for what in missing if "Phoenix" not in what}, {"soak: memory's slope", "soak: wrong answers"})

    def test_none_served_in_time_is_no_time_at_all_but_missed(self):
        results = Results()
        results.add("overload", "work × 5", "genever", 0, {"goodput": 0, "capacity": 1000, "p99_ms": math.nan, "health_ms": 5}, {})
        results.add("hogs", "burn", "genever", 0, {"p99_ms": math.nan}, {})
        verdicts = self.verdicts(results)
        self.assertEqual(verdicts["`work`, 5 times overload: p99 of what was served"], "missed")
        self.assertEqual(verdicts["among 8 hogs that burn: p99 of `/ping`"], "missed")
        self.assertEqual(verdicts["among 8 hogs that block: p99 of `/ping`"], "not measured")

    def test_what_must_not_happen_must_not_happen_in_any_round(self):
        results = Results()
        for number, dropped in enumerate((0, 0, 1)):
            results.add("crash storm", "20,000 crashes a second", "genever", number, {"dropped": dropped}, {})
        self.assertEqual(self.verdicts(results)["20,000 crashes a second: connections dropped"], "missed")

    def test_a_refusal_is_no_quick_answer(self):
        shots = load.Shots([load.Shot(0, 0, 0.002, 200, "/ping", ""), load.Shot(1, 1, 1.001, 503, "/ping", ""),
                            load.Shot(2, 2, 2.001, 0, "/ping", "refused"), load.Shot(3, 9, 19, 0, "/ping", "timed out")])
        self.assertEqual([round(ms, 6) for ms in open_loop.told_to(shots, 10)], [2, 10_000, 10_000, 16_000])
        self.assertEqual(open_loop.not_served(shots, 10), 3)

    def test_one_that_could_not_be_sent_would_have_waited_as_long_as_the_last(self):
        shots = load.Shots([load.Shot(0, 0, 0.002, 200, "/ping", ""), load.Shot(1, 1.4, 1.5, 200, "/ping", "")])
        shots.unsent, shots.behind = 2, 0.4
        self.assertEqual([round(ms, 6) for ms in open_loop.told_to(shots, 10)], [2, 500, 500, 500])
        self.assertEqual(open_loop.not_served(shots, 10), 0)
        shots.behind = 10
        self.assertEqual([round(ms, 6) for ms in open_loop.told_to(shots, 10)], [2, 500, 10_000, 10_000])
        self.assertEqual(open_loop.not_served(shots, 10), 2)
        none = load.Shots()
        none.unsent, none.behind = 1, 3
        self.assertEqual(open_loop.told_to(none, 10), [3_000])

    def test_bad_figures_miss_their_goals(self):
        verdicts = self.verdicts(made_up(better=False))
        for part in ("beside Gin", "work`, 5 times overload: goodput", "p99 of what was served", "critical route",
                     "failed good requests", "20,000 crashes a second: crashes", "hogs that burn", "idle connection's memory",
                     "resident memory", "work`, 10 times overload: the critical", "until latency is as before"):
            found = [verdict for what, verdict in verdicts.items() if part in what and "Phoenix" not in what]
            self.assertIn("missed", found, part)

    def test_nothing_measured_is_nothing_met(self):
        nothing = self.verdicts(Results())
        self.assertEqual(set(nothing.values()), {"not measured"})
        self.assertEqual(set(nothing), set(self.verdicts(made_up())))

    def test_one_failed_request_in_any_round_is_a_failure(self):
        results = made_up()
        for number in range(4):
            results.add("crash storm", goals.STORMS[0], "genever", number, {"failed": number == 2, "restarts": 0}, {})
        self.assertEqual(self.verdicts(results)[f"crash storm, {goals.STORMS[0]}: failed good requests, and restarts of the program"], "missed")

    def test_the_peak_is_the_most_that_was_served_at_any_load(self):
        results = made_up()
        results.add("overload", "work × 2", "genever", 0, {"goodput": 1_200}, {})
        self.assertEqual(goals.peak_of(results, "work", "genever"), 1_200)
        self.assertEqual(self.verdicts(results)["`work`, 5 times overload: goodput"], "missed")

    def test_what_a_peer_does_better_is_listed(self):
        lost = {(scenario.key, cell, figure.key) for scenario, cell, figure, *_ in
                goals.behind(made_up(better=False), run.SCENARIOS)}
        self.assertIn(("hogs", "burn", "p99_ms"), lost)
        self.assertIn(("steady", goals.PING, "resident_mib"), lost)
        self.assertNotIn(("steady", goals.PING, "p99_us"), lost)
        self.assertNotIn(("hogs", "burn", "p99_ms"), {(s.key, c, f.key) for s, c, f, *_ in
                                                      goals.behind(made_up(), run.SCENARIOS)})

    def test_a_measurement_that_failed_is_behind(self):
        results = made_up()
        results.add("churn", "64 clients", "gin", 0, {"requests_per_s": 1000.0}, {})
        results.fail("churn", "64 clients", "genever", 0, "it ended")
        self.assertIn(("churn", "64 clients", "requests_per_s"),
                      {(s.key, c, f.key) for s, c, f, *_ in goals.behind(results, run.SCENARIOS)})
        self.assertIn("Genever failed", report.behind_table(results, run.SCENARIOS))

    def test_a_measurement_that_failed_meets_no_goal_of_its_cell(self):
        cells = {(goal.scenario, cell) for goal in goals.goals(made_up()) for cell in goal.cells}
        for scenario, cell in (*cells, ("soak", "600 s")):
            results = made_up()
            results.fail(scenario, cell, "gin", 0, "it ended")
            of_it = [goal for goal in goals.goals(results) if cell in goal.cells and goal.scenario == scenario]
            self.assertNotIn("missed", [goal.verdict for goal in of_it])
            results.fail(scenario, cell, "genever", 0, "it ended")
            of_it = [goal for goal in goals.goals(results) if cell in goal.cells and goal.scenario == scenario]
            self.assertEqual({goal.verdict for goal in of_it}, {"missed"}, cell)
            self.assertIn("1 measurement failed", of_it[0].found)

    def test_memory_is_not_bounded_where_anything_has_failed(self):
        results = made_up()
        what = "resident memory in every measurement"
        self.assertEqual(self.verdicts(results)[what], "met")
        results.fail("slow clients", "5,000 connections", "genever", 0, "it ended")
        self.assertEqual(self.verdicts(results)[what], "missed")

    def test_a_program_that_was_started_again_has_not_stood_the_storm(self):
        results = made_up()
        results.add("crash storm", goals.STORMS[2], "genever", 1, {"failed": 0, "restarts": 1}, {})
        missed = [goal.what for goal in goals.goals(results) if goal.met is False]
        self.assertEqual(missed, [f"crash storm, {goals.STORMS[2]}: failed good requests, and restarts of the program"])

    def test_a_soak_is_judged_by_its_answers_too(self):
        results = made_up()
        results.add("soak", "600 s", "genever", 0, {"slope_kib": 1.0, "failed": 3}, {})
        verdicts = self.verdicts(results)
        self.assertEqual((verdicts["soak: memory's slope"], verdicts["soak: wrong answers"]), ("met", "missed"))

    def test_an_overload_that_failed_is_no_recovery(self):
        results = made_up()
        results.fail("overload", "work × 10", "genever", 0, "it ended")
        what = "after an overload: until latency is as before, at most"
        self.assertEqual((self.verdicts(made_up())[what], self.verdicts(results)[what]), ("met", "missed"))


class Recovery(unittest.TestCase):
    def recovered(self, *answers, limit=10):
        """Of a server that gives these (status, seconds), and is well then."""
        given, time = list(answers), [0.0]

        def one_more():
            status, took = given.pop(0) if given else (200, 0.1)
            time[0] += took
            return status

        def pause(seconds):
            time[0] += seconds

        return open_loop.recovery(one_more, 3, 0.2, limit, lambda: time[0], pause)

    def test_is_at_once_where_all_is_well(self):
        self.assertEqual(self.recovered(), 0)

    def test_begins_with_the_first_of_so_many_good_answers_in_a_row(self):
        self.assertAlmostEqual(self.recovered((503, 0.5), (200, 0.1), (200, 0.1), (200, 0.3)), 1.04)
        self.assertAlmostEqual(self.recovered((None, 0.5), (200, 0.1), (503, 0.1)), 0.73)

    def test_takes_no_longer_than_the_limit(self):
        self.assertEqual(self.recovered(*[(503, 0.1)] * 100, limit=2), 2)


FACTS = {"date": "2026-01-01", "commit": "abc", "cpu": "a CPU", "cores": 2, "kernel": "Linux", "wrk": "wrk 4.1",
         "vegeta": "12", "whole": True, "rounds": 1, "questions": 13, "others": 0.012, "ahead": True, "taken": [0.0, 0.01, 0.3],
         "command": "make peak", "server_core": 0,
         "load_core": 1, "stacks": [{"key": key, "title": goals.NAMES[key], "version": "1 <&>", "notes": ["a `note`"]}
                                    for key in ("genever", "gin", "otp")],
         "skipped": [{"key": "phoenix", "title": "Phoenix", "why": "mix not found"}]}


class Balanced(html.parser.HTMLParser):
    """Knows which elements are open, and what the page refers to."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.links, self.text, self.raw = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href") and value and not value.startswith("#")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        (self.raw if self.open[-1:] == ["script"] else self.text).append(data)


class Fates(unittest.TestCase):
    def test_each_hog_is_served_refused_or_given_up_and_those_refused_were_never_under_way(self):
        hogs = [load.Shot(0, 0, 4, 200, "/hog", ""), load.Shot(1, 1, 6, 0, "/hog", "timeout"),
                load.Shot(2, 2, 2.1, 503, "/hog", ""), load.Shot(3, 3, 5, 200, "/hog", ""), load.Shot(4, 4, 7, 500, "/hog", "")]
        self.assertEqual(open_loop.fates(hogs), {"hogs": 5, "hogs_served": 2, "hogs_refused": 1, "hogs_given_up": 2, "at_once": 3})
        self.assertEqual(open_loop.fates([])["at_once"], 0)


class Report(unittest.TestCase):
    def read(self, results):
        shown = plots.headline_plots(results, ["genever", "gin", "otp"], goals.PING)
        reader = Balanced()
        reader.feed(report.page(results, run.SCENARIOS, FACTS, shown))
        reader.close()
        return reader, shown

    def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(self):
        reader, _ = self.read(made_up())
        self.assertEqual((reader.open, reader.wrong, reader.links), ([], [], []))

    def test_the_page_tells_of_what_is_missing_and_of_what_has_failed(self):
        results = made_up()
        results.fail("churn", "64 clients", "gin", 0, "ended <badly>")
        text = " ".join(self.read(results)[0].text)
        self.assertIn("Phoenix is missing: mix not found", text)
        self.assertIn("ended <badly>", text)
        self.assertIn("not measured", text)

    def test_it_says_whose_turn_it_is_where_two_loads_share_a_core(self):
        self.assertIn("goes first", report.conditions(FACTS))
        self.assertIn("is not permitted", report.conditions({**FACTS, "ahead": False}))

    def test_the_raw_samples_are_in_the_page(self):
        results = made_up()
        results.fail("churn", "64 clients", "gin", 0, "said </script><b>")
        reader, _ = self.read(results)
        raw = json.loads("".join(reader.raw))
        self.assertEqual(raw["failures"][0]["why"], "said </script><b>")
        self.assertEqual(len(raw["samples"]), len(made_up().samples))
        self.assertIsNone(next(s for s in raw["samples"] if s["stack"] == "otp")["values"]["p99_us"])

    def test_an_empty_run_still_makes_a_page(self):
        reader, shown = self.read(Results())
        self.assertEqual((reader.open, shown), ([], {}))

    def test_the_best_is_marked_and_nobody_where_all_are_alike(self):
        results, hogs = made_up(), run.Hogs()
        self.assertEqual(report.best_of(results, hogs, "burn", hogs.figures[1]), {"genever"})
        storm = run.CrashStorm()
        failed = next(figure for figure in storm.figures if figure.key == "failed")
        self.assertEqual(report.best_of(results, storm, goals.STORMS[0], failed), set())
        results.add("crash storm", goals.STORMS[0], "gin", 1, {"failed": 8}, {})
        self.assertEqual(report.best_of(results, storm, goals.STORMS[0], failed), {"genever", "otp"})

    def test_pictures_are_well_formed(self):
        for name, svg in self.read(made_up())[1].items():
            self.assertIn("svg", xml.etree.ElementTree.fromstring(svg).tag, name)

    def test_markdown_has_a_line_for_each_goal(self):
        plots = self.read(made_up())[1]
        text = report.markdown(made_up(), FACTS, plots)
        self.assertIn("![Goodput in overload](peak-goodput.svg)", text)
        self.assertIn("Genever, with pings in their place: 3", text)
        self.assertIn("![Goodput in overload](docs/peak-goodput.svg)", report.readme(plots, FACTS))
        for goal in goals.goals(made_up()):
            self.assertIn(f"| {goal.what} | {goal.wanted} |", text)

    def test_curves_are_medians_over_the_rounds(self):
        results = Results()
        for number, height in enumerate((1, 3, 5)):
            results.add("a", "b", "gin", number, {}, {"line": [[0, height]]})
        self.assertEqual(results.curve("a", "b", "gin", "line"), [(0, 3)])


class Scales(unittest.TestCase):
    def test_axes_hold_their_values_and_have_few_ticks(self):
        for high in (0.3, 1, 7, 10, 99, 110, 12_345):
            axis = plots.linear_axis("", high)
            self.assertGreaterEqual(axis.high, high)
            self.assertTrue(3 <= len(axis.ticks) <= 8, (high, axis.ticks))
        axis = plots.log_axis("", [0.02, 30])
        self.assertEqual((axis.low, axis.high), (0.01, 100))
        self.assertEqual((axis.place(0.01), axis.place(1), axis.place(100)), (0, 0.5, 1))


class Choice(unittest.TestCase):
    def test_every_cell_is_for_somebody_and_names_are_unique(self):
        class AnyBench:
            soak_seconds = 600

        every = [stacks.Genever(pathlib.Path("x")), stacks.BareEpoll(pathlib.Path("x")), stacks.Gin(), stacks.Otp()]
        for quick in (True, False):
            AnyBench.quick = quick
            for scenario in run.SCENARIOS:
                cells = scenario.cells(AnyBench)
                self.assertEqual(len(cells), len(set(cells)))
                for cell in cells:
                    self.assertTrue(any(scenario.takes(stack, cell) for stack in every), (scenario.key, cell))

    def test_goals_ask_for_cells_that_are_measured(self):
        class AnyBench:
            quick, soak_seconds = False, 600

        self.assertIn(goals.PING, run.Steady().cells(AnyBench))
        for cell in (*goals.STORMS, goals.NO_CRASHES):
            self.assertIn(cell, run.CrashStorm().cells(AnyBench))
        results = made_up()
        for scenario in (run.Hogs(), run.ArrivingHogs()):
            self.assertEqual(results.cells(scenario.key), scenario.cells(AnyBench))

    def test_the_readme_is_written_between_its_markers_only(self):
        with tempfile.TemporaryDirectory() as folder:
            root, run.ROOT = run.ROOT, pathlib.Path(folder)
            try:
                (run.ROOT / "README.md").write_text("a\n<!-- peak:begin -->\nold\n<!-- peak:end -->\nb\n")
                run.write_readme("new")
                self.assertEqual((run.ROOT / "README.md").read_text(),
                                 "a\n<!-- peak:begin -->\nnew\n<!-- peak:end -->\nb\n")
            finally:
                run.ROOT = root


if __name__ == "__main__":
    unittest.main()
