// OTP's matrix: significant children, and children at run time.
#include "otp_matrix_test_support.hpp"

using namespace genever;
using namespace genever::test;
using namespace genever::test::matrix;
using namespace std::chrono_literals;

namespace {

// ---- significant children and auto_shutdown

/// b and c are significant, a is not. b ends, then c.
task<> auto_shuts_down(script_ptr s, auto_shutdown rule, restart type, exit_reason how, strategy whom) {
    supervisor spec{
        whom, {a_probe(s, "a"), a_probe(s, "b", type).significant(), a_probe(s, "c", type).significant()}};
    spec.auto_shutdown(rule).max_restarts(100);
    const pid sup = co_await up(spec);
    const bool by_itself = !is_restarted(type, how); // and so for good
    const names ending{"b", "c"};
    for (const auto& n : ending) {
        end_child(n, how);
        co_await sleep_for(100ms);
        const bool over = by_itself && (rule == auto_shutdown::any_significant || n == "c");
        EXPECT_EQ(is_alive(sup), !over) << n;
        if (!over) continue;
        const auto why = co_await ended(sup);
        EXPECT_EQ(why.kind(), exit_kind::shutdown);
        EXPECT_EQ(whereis("a"), pid{});
        EXPECT_EQ(s->events.back(), "-a");
        co_return;
    }
    co_await stop(sup);
}

/// What the supervisor does itself to a significant child ends nothing.
task<> significant_by_hand(script_ptr s, auto_shutdown rule, restart type, strategy whom) {
    supervisor spec{
        whom, {a_probe(s, "a"), a_probe(s, "b", type).significant(), a_probe(s, "c", type).significant()}};
    spec.auto_shutdown(rule);
    const pid sup = co_await up(spec);
    const supervisor_ref ref{sup};
    end_child("a", exit_kind::error); // one_for_all and rest_for_one take b and c down
    co_await sleep_for(100ms);
    EXPECT_TRUE(is_alive(sup));
    const names both{"b", "c"};
    for (const auto& n : both) {
        if (!whereis(n)) continue; // temporary, and terminated for a's restart
        const auto done = co_await ref.terminate_child(n);
        EXPECT_TRUE(done);
        co_await sleep_for(100ms);
        EXPECT_TRUE(is_alive(sup)) << n;
    }
    co_await stop(sup);
}

task<> never_significant(script_ptr s, restart type, strategy whom) {
    trap_exit(true);
    const supervisor tree{whom, {a_probe(s, "a", type).significant()}};
    const auto r = co_await start_link(tree, "top");
    EXPECT_FALSE(r);
    supervisor any{whom, {a_probe(s, "a", restart::permanent).significant()}};
    any.auto_shutdown(auto_shutdown::any_significant);
    const auto permanent = co_await start_link(any, "top");
    EXPECT_FALSE(permanent);
    EXPECT_TRUE(s->events.empty());
    const supervisor empty{whom, {}};
    const pid sup = co_await up(empty);
    const supervisor_ref ref{sup};
    const auto added = co_await ref.start_child(a_probe(s, "a", type).significant());
    EXPECT_FALSE(added);
    EXPECT_EQ(added.error().kind, child_error::what::bad_spec);
    co_await stop(sup);
}

void add_significant(table& t) {
    for (const auto whom : strategies)
        for (const auto type : {restart::transient, restart::temporary}) {
            const std::string cell = std::string{to_string(type)} + ", " + std::string{to_string(whom)};
            t.push_back({"significant, never, " + cell,
                         [=](script_ptr s) { return never_significant(s, type, whom); }});
            for (const auto rule : {auto_shutdown::any_significant, auto_shutdown::all_significant}) {
                const std::string r = rule == auto_shutdown::any_significant ? "any, " : "all, ";
                t.push_back({"significant by hand, " + r + cell,
                             [=](script_ptr s) { return significant_by_hand(s, rule, type, whom); }});
                for (const auto& how : exits()) {
                    // A restart of b with its strategy takes c down: no end by itself.
                    t.push_back({"significant, " + r + cell + ", " + to_string(how),
                                 [=](script_ptr s) { return auto_shuts_down(s, rule, type, how, whom); }});
                }
            }
        }
}

// ---- children at run time, with each documented error

task<> at_run_time(script_ptr s, restart type, strategy whom) {
    using what = child_error::what;
    const supervisor tree{whom, {a_probe(s, "a")}};
    const pid sup = co_await up(tree);
    const supervisor_ref ref{"top"};
    const bool temporary = type == restart::temporary;

    const names nobody{"b", ""};
    for (const auto& n : nobody) { // nobody of that name
        const auto terminated = co_await ref.terminate_child(n);
        EXPECT_EQ(terminated.error().kind, what::not_found);
        const auto restarted = co_await ref.restart_child(n);
        EXPECT_EQ(restarted.error().kind, what::not_found);
        const auto deleted = co_await ref.delete_child(n);
        EXPECT_EQ(deleted.error().kind, what::not_found);
    }

    const auto b = co_await ref.start_child(a_probe(s, "b", type));
    EXPECT_TRUE(b);
    EXPECT_EQ(*b, whereis("b"));
    auto again = co_await ref.start_child(a_probe(s, "b", type));
    EXPECT_EQ(again.error().kind, what::already_started);
    EXPECT_EQ(again.error().pid, *b);
    auto restarted = co_await ref.restart_child("b");
    EXPECT_EQ(restarted.error().kind, what::running);
    auto deleted = co_await ref.delete_child("b");
    EXPECT_EQ(deleted.error().kind, what::running);

    auto terminated = co_await ref.terminate_child("b");
    EXPECT_TRUE(terminated);
    EXPECT_FALSE(is_alive(*b));
    co_await sleep_for(10s); // it stays down
    EXPECT_EQ(whereis("b"), pid{});
    auto count = co_await ref.count_children();
    EXPECT_EQ(count.specs, temporary ? 1U : 2U);
    EXPECT_EQ(count.active, 1U);
    if (!temporary) {
        again = co_await ref.start_child(a_probe(s, "b", type));
        EXPECT_EQ(again.error().kind, what::already_present);
        terminated = co_await ref.terminate_child("b"); // once more is no error
        EXPECT_TRUE(terminated);
        s->refuses = "b";
        s->refusals = 1;
        restarted = co_await ref.restart_child("b");
        EXPECT_EQ(restarted.error().kind, what::start_failed);
        EXPECT_EQ(restarted.error().reason.text(), "b refuses");
        co_await sleep_for(10s); // no try by itself
        EXPECT_EQ(whereis("b"), pid{});
        restarted = co_await ref.restart_child("b");
        EXPECT_TRUE(restarted);
        EXPECT_EQ(*restarted, whereis("b"));
        terminated = co_await ref.terminate_child("b");
        deleted = co_await ref.delete_child("b");
        EXPECT_TRUE(deleted);
    }
    restarted = co_await ref.restart_child("b");
    EXPECT_EQ(restarted.error().kind, what::not_found);

    s->refuses = "c"; // what cannot be started is not kept
    s->refusals = 1;
    auto c = co_await ref.start_child(a_probe(s, "c", type));
    EXPECT_EQ(c.error().kind, what::start_failed);
    EXPECT_EQ(c.error().reason.text(), "c refuses");
    count = co_await ref.count_children();
    EXPECT_EQ(count.specs, 1U);
    std::vector<child_spec> wrong;
    wrong.emplace_back("", nullptr);
    wrong.emplace_back("x", nullptr);
    wrong.push_back(a_probe(s, "x", type).shutdown(-1s));
    for (const auto& bad : wrong) {
        const auto r = co_await ref.start_child(bad);
        EXPECT_EQ(r.error().kind, what::bad_spec);
    }

    // The name of a stranger.
    const pid stranger = spawn([]() -> task<> { co_await sleep_for(1h); });
    register_name("c", stranger);
    c = co_await ref.start_child(a_probe(s, "c", type));
    EXPECT_EQ(c.error().kind, what::start_failed);
    unregister_name("c");
    exit(stranger, exit_kind::killed);

    c = co_await ref.start_child(a_probe(s, "c", type));
    const supervisor inner{whom, {a_probe(s, "d")}};
    const auto nested = co_await ref.start_child(child<supervisor>("n", inner));
    EXPECT_TRUE(c);
    EXPECT_TRUE(nested);
    count = co_await ref.count_children();
    EXPECT_EQ(count.specs, 3U);
    EXPECT_EQ(count.active, 3U);
    EXPECT_EQ(count.workers, 2U);
    EXPECT_EQ(count.supervisors, 1U);
    const auto children = co_await ref.which_children();
    EXPECT_EQ(names_of(children), (names{"a", "c", "n"}));
    s->events.clear();
    co_await stop(sup);
    EXPECT_EQ(s->events, (names{"-d", "-c", "-a"}));
}

/// While a restart fails again and again the child is restarting, until somebody terminates it.
task<> while_restarting(script_ptr s, strategy whom) {
    using what = child_error::what;
    supervisor spec{whom, abc(s, restart::permanent)};
    spec.max_restarts(1'000'000);
    const pid sup = co_await up(spec);
    const supervisor_ref ref{sup};
    s->refuses = "b";
    end_child("b", exit_kind::error);
    while (whereis("b")) co_await yield();
    for (;;) { // the supervisor answers between two tries
        const auto children = co_await ref.which_children();
        if (children[1].restarting) break;
    }
    const auto restarted = co_await ref.restart_child("b");
    EXPECT_EQ(restarted.error().kind, what::restarting);
    const auto deleted = co_await ref.delete_child("b");
    EXPECT_EQ(deleted.error().kind, what::restarting);
    const auto again = co_await ref.start_child(a_probe(s, "b"));
    EXPECT_EQ(again.error().kind, what::restarting);
    const auto terminated = co_await ref.terminate_child("b");
    EXPECT_TRUE(terminated);
    co_await sleep_for(1s);
    const auto children = co_await ref.which_children();
    for (const auto& c : children) {
        EXPECT_FALSE(c.restarting) << c.name;
        EXPECT_EQ(bool(c.pid), c.name != "b") << c.name; // its siblings do not wait for it any more
    }
    const auto gone = co_await ref.delete_child("b");
    EXPECT_TRUE(gone);
    co_await stop(sup);
}

void add_run_time(table& t) {
    for (const auto whom : strategies) {
        t.push_back({"while restarting, " + std::string{to_string(whom)},
                     [=](script_ptr s) { return while_restarting(s, whom); }});
        for (const auto type : types)
            t.push_back({"at run time, " + std::string{to_string(type)} + ", " + std::string{to_string(whom)},
                         [=](script_ptr s) { return at_run_time(s, type, whom); }});
    }
}

} // namespace

TEST(OtpMatrix, HoldsInEveryCellOfWhatIsDoneAtRunTime) {
    table matrix;
    add_significant(matrix);
    add_run_time(matrix);
    play_each(matrix);
}
