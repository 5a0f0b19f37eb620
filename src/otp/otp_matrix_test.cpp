// OTP's matrix: ends and restarts, failures of starts, `ignore`, shutdown.
#include "otp_matrix_test_support.hpp"

using namespace genever;
using namespace genever::test;
using namespace genever::test::matrix;
using namespace std::chrono_literals;

namespace {

// ---- {permanent, transient, temporary} x exits x strategies

task<> plain(script_ptr s, restart type, exit_reason how, strategy whom) {
    const supervisor tree{whom, abc(s, type)};
    const pid sup = co_await up(tree);
    const auto before = co_await pids(sup);
    s->events.clear();
    end_child("b", how);
    co_await sleep_for(1s);
    const bool restarted = is_restarted(type, how);
    const names gone = how == exit_kind::killed ? names{} : names{"-b"};
    EXPECT_EQ(s->events, restarted ? restart_of_b(whom, how) : gone);

    const supervisor_ref ref{sup};
    const auto children = co_await ref.which_children();
    const auto count = co_await ref.count_children();
    const bool known = restarted || type != restart::temporary;
    EXPECT_EQ(names_of(children), known ? (names{"a", "b", "c"}) : (names{"a", "c"}));
    EXPECT_EQ(count.specs, known ? 3U : 2U);
    EXPECT_EQ(count.active, restarted ? 3U : 2U);
    EXPECT_EQ(count.workers, count.specs);
    EXPECT_EQ(count.supervisors, 0U);
    for (const auto& c : children) {
        const char n = c.name[0];
        const bool is_new = restarted && concerns(whom, n);
        EXPECT_EQ(c.pid, whereis(c.name)) << n;
        EXPECT_EQ(bool(c.pid), n != 'b' || restarted) << n;
        EXPECT_EQ(c.pid != before[static_cast<std::size_t>(n - 'a')], is_new || n == 'b') << n;
        EXPECT_EQ(c.restarts, is_new ? 1U : 0U) << n;
        EXPECT_FALSE(c.restarting) << n;
        EXPECT_EQ(c.restart, n == 'b' ? type : restart::permanent) << n;
    }
    s->events.clear();
    const auto why = co_await stop(sup);
    EXPECT_EQ(why.kind(), exit_kind::shutdown);
    EXPECT_EQ(s->events, restarted ? (names{"-c", "-b", "-a"}) : (names{"-c", "-a"}));
}

/// One restart within 5 s is allowed, the second one is not; `apart` lies between the two.
task<> intensity(script_ptr s, restart type, exit_reason how, strategy whom, duration apart) {
    supervisor spec{whom, abc(s, type)};
    spec.max_restarts(1).period(5s);
    const pid sup = co_await up(spec);
    end_child("b", how);
    co_await sleep_for(apart);
    s->events.clear();
    const bool ends_again = end_child("b", how);
    EXPECT_EQ(ends_again, is_restarted(type, how));
    if (ends_again && apart <= 5s) {
        const auto why = co_await ended(sup);
        EXPECT_EQ(why.kind(), exit_kind::shutdown);
        EXPECT_EQ(why.text(), "reached maximum restart intensity");
        EXPECT_EQ(s->events, how == exit_kind::killed ? (names{"-c", "-a"}) : (names{"-b", "-c", "-a"}));
        expect_nobody();
        co_return;
    }
    co_await sleep_for(1s);
    EXPECT_TRUE(is_alive(sup));
    EXPECT_EQ(bool(whereis("b")), ends_again);
    co_await stop(sup);
}

/// The supervisor of a, b, c gives up: what does the one above it do?
task<> escalation(script_ptr s, restart type, exit_reason how, strategy whom, restart type_of_inner) {
    supervisor inner{whom, abc(s, type)};
    inner.max_restarts(1);
    const supervisor tree{strategy::one_for_one,
                          {child<supervisor>("inner", inner).restart(type_of_inner), a_probe(s, "z")}};
    const pid sup = co_await up(tree);
    const pid before = whereis("inner");
    const pid z = whereis("z");
    for (int i = 0; i < 2; ++i) {
        s->events.clear();
        end_child("b", how);
        co_await sleep_for(100ms);
    }
    const supervisor_ref ref{sup};
    const auto children = co_await ref.which_children();
    EXPECT_EQ(whereis("z"), z);
    if (!is_restarted(type, how)) {
        EXPECT_EQ(whereis("inner"), before);
        EXPECT_EQ(children[0].restarts, 0U);
    } else {
        // It ends with shutdown, which is abnormal for nobody.
        names expected{"-c", "-a"};
        if (how != exit_kind::killed) expected.insert(expected.begin(), "-b");
        const bool again = type_of_inner == restart::permanent;
        if (again) expected.insert(expected.end(), {"+a", "+b", "+c"});
        EXPECT_EQ(s->events, expected);
        EXPECT_EQ(bool(whereis("inner")), again);
        EXPECT_EQ(bool(whereis("b")), again);
        EXPECT_NE(whereis("inner"), before);
        EXPECT_EQ(names_of(children),
                  type_of_inner == restart::temporary ? (names{"z"}) : (names{"inner", "z"}));
        if (again) {
            EXPECT_EQ(children[0].restarts, 1U);
        }
    }
    co_await stop(sup);
}

void add_ends(table& t) {
    for (const auto type : types)
        for (const auto& how : exits())
            for (const auto whom : strategies) {
                const std::string cell = label(type, how, whom);
                t.push_back({cell, [=](script_ptr s) { return plain(s, type, how, whom); }});
                for (const duration apart : {duration{1ms}, duration{5s}, duration{5s} + 1ns})
                    t.push_back({cell + ", again after " + std::to_string(apart.count()) + " ns",
                                 [=](script_ptr s) { return intensity(s, type, how, whom, apart); }});
                for (const auto inner : types)
                    t.push_back({cell + ", escalating from " + std::string{to_string(inner)},
                                 [=](script_ptr s) { return escalation(s, type, how, whom, inner); }});
            }
}

// ---- failures during init and during restart

task<> init_fails(script_ptr s, strategy whom, std::size_t which) {
    trap_exit(true);
    const names all{"a", "b", "c"};
    s->refuses = all[which];
    const supervisor tree{whom, abc(s, restart::permanent)};
    const auto r = co_await start_link(tree, "top");
    EXPECT_FALSE(r);
    EXPECT_EQ(r.error().kind(), exit_kind::shutdown);
    EXPECT_NE(r.error().text().find("child " + all[which] + " could not be started"), std::string_view::npos);
    names expected;
    for (std::size_t i = 0; i < which; ++i) expected.push_back("+" + all[i]);
    for (std::size_t i = which; i-- > 0;) expected.push_back("-" + all[i]);
    EXPECT_EQ(s->events, expected);
    expect_nobody();
}

/// b ends, and `who` does not start `times` times: each try is a restart that counts, 3 are allowed.
task<> restart_fails(script_ptr s, strategy whom, char who, int times) {
    const supervisor tree{whom, abc(s, restart::permanent)};
    const pid sup = co_await up(tree);
    s->events.clear();
    s->refuses = std::string{who};
    s->refusals = times;
    end_child("b", exit_kind::error);
    if (concerns(whom, who) && times >= 3) {
        const auto why = co_await ended(sup);
        EXPECT_EQ(why.text(), "reached maximum restart intensity");
        expect_nobody();
        co_return;
    }
    co_await sleep_for(1s);
    const supervisor_ref ref{sup};
    const auto children = co_await ref.which_children();
    EXPECT_EQ(names_of(children), (names{"a", "b", "c"}));
    for (const auto& c : children) {
        EXPECT_TRUE(c.pid) << c.name;
        EXPECT_EQ(c.pid, whereis(c.name));
        EXPECT_FALSE(c.restarting);
    }
    // In each try those that are concerned come in order, and what the failed one left is taken down before the next.
    names expected{"-b"};
    if (whom != strategy::one_for_one) expected.push_back("-c");
    if (whom == strategy::one_for_all) expected.push_back("-a");
    const int failures = concerns(whom, who) ? times : 0;
    // After a failure the strategy is applied to the one that failed: the others it concerns go down again.
    names up_now;
    std::string first = whom == strategy::one_for_all ? "a" : "b";
    const std::string last = whom == strategy::one_for_one ? "b" : "c";
    for (int tries = 0; tries <= failures; ++tries) {
        for (char n = first[0]; n <= last[0]; ++n) {
            if (n == who && tries < failures) break;
            expected.push_back(std::string{"+"} + n);
            up_now.push_back(std::string{n});
        }
        if (tries == failures) break;
        if (whom == strategy::one_for_all) {
            while (!up_now.empty()) {
                expected.push_back("-" + up_now.back());
                up_now.pop_back();
            }
        } else if (whom == strategy::rest_for_one) {
            first = std::string{who};
        }
    }
    EXPECT_EQ(s->events, expected);
    const auto why = co_await stop(sup);
    EXPECT_EQ(why.kind(), exit_kind::shutdown);
}

void add_failures(table& t) {
    for (const auto whom : strategies) {
        const std::string s{to_string(whom)};
        for (std::size_t which = 0; which < 3; ++which)
            t.push_back({"init of child " + std::to_string(which) + " fails, " + s,
                         [=](script_ptr p) { return init_fails(p, whom, which); }});
        for (const char who : {'a', 'b', 'c'})
            for (const int times : {1, 2, 3, 1000})
                t.push_back(
                    {std::string{"restart of "} + who + " fails " + std::to_string(times) + " times, " + s,
                     [=](script_ptr p) { return restart_fails(p, whom, who, times); }});
    }
}

// ---- ignore

/// b's starts from the `from`th on have nothing to run.
child_spec ignoring(const script_ptr& s, restart type, int from) {
    auto starts = std::make_shared<int>(0);
    return child_spec("b",
                      [s, starts, from]() -> task<start_result> {
                          if (++*starts >= from) co_return pid{};
                          auto r = co_await start_link<probe>("b", s, std::string{"b"});
                          co_return r;
                      })
        .restart(type);
}

task<> ignore(script_ptr s, restart type, strategy whom, int from) {
    const supervisor tree{whom, {a_probe(s, "a"), ignoring(s, type, from), a_probe(s, "c")}};
    const pid sup = co_await up(tree);
    if (from == 2) {
        EXPECT_TRUE(whereis("b"));
        end_child("b", exit_kind::error);
    }
    co_await sleep_for(1s);
    const supervisor_ref ref{sup};
    const auto children = co_await ref.which_children();
    const auto count = co_await ref.count_children();
    // Its specification stays, without a process, unless it is temporary.
    EXPECT_EQ(names_of(children), type == restart::temporary ? (names{"a", "c"}) : (names{"a", "b", "c"}));
    EXPECT_EQ(count.active, 2U);
    EXPECT_EQ(whereis("b"), pid{});
    EXPECT_TRUE(whereis("a"));
    EXPECT_TRUE(whereis("c"));
    if (type != restart::temporary) {
        const auto again = co_await ref.restart_child("b");
        EXPECT_TRUE(again);
        EXPECT_EQ(*again, pid{});
        const auto deleted = co_await ref.delete_child("b");
        EXPECT_TRUE(deleted);
    }
    const auto added = co_await ref.start_child(ignoring(s, type, 1));
    EXPECT_TRUE(added);
    EXPECT_EQ(*added, pid{});
    const auto after = co_await ref.count_children();
    EXPECT_EQ(after.specs, type == restart::temporary ? 2U : 3U);
    co_await stop(sup);
}

// ---- shutdown: infinite, timed, brutal

enum class patience { infinite, timed, none, brutal };

task<> shutdown(script_ptr s, restart type, patience how, duration takes, bool at_run_time) {
    child_spec c = a_probe(s, "b", type);
    switch (how) {
    case patience::infinite: c.shutdown(infinity); break;
    case patience::timed: c.shutdown(2s); break;
    case patience::none: c.shutdown(0s); break;
    case patience::brutal: c.shutdown(brutal_kill); break;
    }
    const supervisor tree{strategy::one_for_one, {c}};
    const pid sup = co_await up(tree);
    const pid b = whereis("b");
    s->events.clear();
    s->terminate_takes = takes;
    const time_point start = now();
    if (at_run_time) {
        const supervisor_ref ref{sup};
        const auto done = co_await ref.terminate_child("b");
        EXPECT_TRUE(done);
    } else {
        co_await stop(sup);
    }
    const duration took = now() - start;
    EXPECT_FALSE(is_alive(b));
    EXPECT_EQ(whereis("b"), pid{});
    switch (how) {
    case patience::infinite:
        EXPECT_EQ(took, takes);
        EXPECT_EQ(s->events, (names{"-b"}));
        break;
    case patience::timed:
        EXPECT_EQ(took, std::min<duration>(takes, 2s));
        EXPECT_EQ(s->events, takes < 2s ? (names{"-b"}) : names{});
        break;
    case patience::none:
        EXPECT_LE(took, 1ns); // a deadline that is due at once
        if (takes > 0s) {     // else it is a race
            EXPECT_EQ(s->events, names{});
        }
        break;
    case patience::brutal:
        EXPECT_EQ(took, 0s);
        EXPECT_EQ(s->events, names{});
        break;
    }
    if (at_run_time) {
        s->terminate_takes = 0s;
        co_await stop(sup);
    }
}

void add_ignore_and_shutdown(table& t) {
    for (const auto type : types) {
        const std::string n{to_string(type)};
        for (const auto whom : strategies)
            for (const int from : {1, 2})
                t.push_back({"ignore at start " + std::to_string(from) + ", " + n + ", " +
                                 std::string{to_string(whom)},
                             [=](script_ptr s) { return ignore(s, type, whom, from); }});
        for (const auto how : {patience::infinite, patience::timed, patience::none, patience::brutal})
            for (const duration takes : {duration{0s}, duration{1s}, duration{3s}})
                for (const bool at_run_time : {false, true})
                    t.push_back({"shutdown, " + n + ", patience " + std::to_string(static_cast<int>(how)) +
                                     ", takes " + std::to_string(takes.count()) +
                                     (at_run_time ? " ns, at run time" : " ns"),
                                 [=](script_ptr s) { return shutdown(s, type, how, takes, at_run_time); }});
    }
}

} // namespace

TEST(OtpMatrix, HoldsInEveryCell) {
    table matrix;
    add_ends(matrix);
    add_failures(matrix);
    add_ignore_and_shutdown(matrix);
    play_each(matrix);
}
