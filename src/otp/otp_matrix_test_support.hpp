// OTP's matrix of supervision as one table: each cell is a scenario with its expectation, worked out from OTP's rules and not from
// the supervisor's code, and runs under every seed.
#pragma once

#include "supervisor_test_support.hpp"

#include <genever/otp/supervisor.hpp>
#include <genever/runtime/time.hpp>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace genever::test::matrix {

struct cell {
    std::string name;
    std::function<task<>(script_ptr)> play;
};
using table = std::vector<cell>;

inline const std::vector<restart> types{restart::permanent, restart::transient, restart::temporary};
inline const std::vector<strategy> strategies{strategy::one_for_one, strategy::one_for_all,
                                              strategy::rest_for_one};

inline std::vector<exit_reason> exits() {
    return {exit_kind::normal, exit_kind::shutdown, exit_reason::shutdown("with a reason"),
            exit_kind::error,  exit_kind::killed,   exit_kind::noproc};
}

// ---- OTP's rules

inline bool is_abnormal(const exit_reason& how) {
    return how.kind() != exit_kind::normal && how.kind() != exit_kind::shutdown;
}
inline bool is_restarted(restart type, const exit_reason& how) {
    return type == restart::permanent || (type == restart::transient && is_abnormal(how));
}
/// Whether a restart of b concerns a, b, c.
inline bool concerns(strategy whom, char name) {
    return name == 'b' || whom == strategy::one_for_all || (name == 'c' && whom == strategy::rest_for_one);
}

/// What b's end and restart look like among a, b, c, all permanent but b.
inline names restart_of_b(strategy whom, const exit_reason& how) {
    names e;
    if (how != exit_kind::killed) e.push_back("-b");
    for (char sibling : {'c', 'a'})
        if (concerns(whom, sibling)) e.push_back(std::string{"-"} + sibling);
    for (char started : {'a', 'b', 'c'})
        if (concerns(whom, started)) e.push_back(std::string{"+"} + started);
    return e;
}

inline std::string label(restart type, const exit_reason& how, strategy whom) {
    return std::string{to_string(type)} + ", " + to_string(how) + ", " + std::string{to_string(whom)};
}

inline void expect_nobody() {
    for (const char* n : {"top", "a", "b", "c"}) EXPECT_EQ(whereis(n), pid{}) << n;
}

// GCC 12 cannot hold an array in a coroutine's frame: loops over a list go over a vector.
inline names names_of(const std::vector<child_info>& children) {
    names all;
    for (const auto& c : children) all.push_back(c.name);
    return all;
}

inline std::vector<child_spec> abc(const script_ptr& s, restart type_of_b) {
    return {a_probe(s, "a"), a_probe(s, "b", type_of_b), a_probe(s, "c")};
}

inline void play_each(const table& all) {
    under_seeds([&](simulation& sim) {
        for (const cell& c : all) {
            SCOPED_TRACE(c.name);
            sim.run([&]() -> task<> {
                auto s = std::make_shared<script>();
                co_await c.play(s);
            });
            EXPECT_EQ(sim.live(), 0U);
            if (::testing::Test::HasFailure()) return;
        }
    });
    ::testing::Test::RecordProperty("cells", static_cast<int>(all.size()));
}

} // namespace genever::test::matrix
