// What must hold of processes, links, monitors, exits and names by OTP's documentation, as a model that is fed with
// every operation of a program, asked what each of them shall answer, and told of what each process receives and when
// its frames are gone. For programs in a simulation: one operation at a time.
#pragma once

#include <genever/runtime/mailbox_limit.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/time.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace genever::test {

/// Exit reasons count as the same when kind and text are.
inline bool same_reason(const exit_reason& a, const exit_reason& b) {
    return a.kind() == b.kind() && a.text() == b.text();
}

/// How often what a soak is to show has happened.
struct soak_counts {
    int returned = 0;
    int thrown = 0;
    int killed = 0;
    int ended_by_link = 0;
    int trapped_links = 0;
    int numbers = 0;
    int exits = 0;
    int downs = 0;
    int noproc_downs = 0;
    int timeouts = 0;
    int freed_names = 0;
    int refused = 0;
    int dropped = 0;
    int waited = 0;
};

class soak_model {
public:
    explicit soak_model(soak_counts& c) : counts(c) {}
    soak_counts& counts;

    enum lane : unsigned { numbers = 1, downs = 2, exits = 4 };

    struct entry {
        pid id;
        bool alive = true;
        bool trapping = false;
        std::optional<exit_reason> doomed; // has been sent what ends it
        std::optional<exit_reason> ended;  // has returned, or is about to throw
        std::set<int> links;
        std::map<std::uint64_t, int> monitoring; // its own monitors on who lives
        std::map<std::uint64_t, int> watchers;   // others' monitors on it
        std::vector<std::uint64_t> refs;         // every monitor it ever made
        std::set<std::string> names;
        std::map<int, long> sent; // to whom, how many
        std::deque<std::pair<int, long>>
            mail; // from whom, which, in the order in which they shall be received
        mailbox_limit limit = {};
        int sends_to = -1;                       // whom it waits for, to have room
        unsigned waits_for = 0;                  // the lanes that would end its current wait
        time_point wakes_by = time_point::max(); // when that ends in any case
        int frames = 0;                          // witnesses
        int messages = 0;
    };

    int in_line = 0; // messages that were sent by waiting for room

    int size() const { return static_cast<int>(all_.size()); }
    entry& at(int i) { return all_[static_cast<std::size_t>(i)]; }
    int living() const {
        return static_cast<int>(std::ranges::count_if(all_, [](const entry& e) { return e.alive; }));
    }

    // ---- birth and death

    int about_to_spawn() {
        all_.emplace_back();
        expected_.emplace_back();
        return size() - 1;
    }
    void spawned(int i, pid id) {
        EXPECT_TRUE(pids_.emplace(id, i).second) << to_string(id) << " was used before";
        at(i).id = id;
    }
    /// The frames of `i` are gone.
    void died(int i) {
        entry& e = at(i);
        EXPECT_TRUE(e.alive) << name(i) << " died twice";
        if (!e.doomed && !e.ended) ADD_FAILURE() << name(i) << " was destroyed, nobody had killed it";
        const exit_reason why = e.doomed ? *e.doomed : e.ended.value_or(exit_reason{});
        if (!e.doomed) ++(why == exit_kind::normal ? counts.returned : counts.thrown);
        if (why == exit_kind::killed) ++counts.killed;
        counts.freed_names += static_cast<int>(e.names.size());
        e.alive = false;
        e.waits_for = 0;
        e.wakes_by = time_point::max();
        e.mail.clear();
        e.sends_to = -1;
        for (const auto& n : e.names) names_.erase(n);
        expected_[static_cast<std::size_t>(i)].clear();
        for (int other : std::set<int>{e.links}) link_exit(other, i, why);
        for (auto [ref, whom] : e.monitoring) at(whom).watchers.erase(ref);
        for (auto [ref, watcher] : std::map<std::uint64_t, int>{e.watchers}) {
            at(watcher).monitoring.erase(ref);
            expect(watcher, {downs, e.id, ref, why});
        }
        e.links.clear();
        e.watchers.clear();
        e.monitoring.clear();
    }

    // ---- signals. `from` is a pid: the sender may be none of the model's.

    void exit_sent(int to, pid from, const exit_reason& why) {
        entry& e = at(to);
        if (!e.alive) return;
        if (e.trapping && why.kind() != exit_kind::killed)
            expect(to, {exits, from, 0, why});
        else if (why.kind() != exit_kind::normal || from == e.id)
            doom(to, why);
    }
    void linked(int me, int other) {
        if (me == other) return;
        if (at(other).alive) {
            at(me).links.insert(other);
            at(other).links.insert(me);
        } else {
            link_exit(me, other, exit_kind::noproc);
        }
    }
    void unlinked(int me, int other) {
        at(me).links.erase(other);
        at(other).links.erase(me);
    }
    void monitored(int me, int other, monitor_ref ref) {
        at(me).refs.push_back(ref.value);
        if (at(other).alive) {
            at(me).monitoring[ref.value] = other;
            at(other).watchers[ref.value] = me;
        } else {
            expect(me, {downs, at(other).id, ref.value, exit_kind::noproc});
        }
    }
    void demonitored(int me, monitor_ref ref) {
        entry& e = at(me);
        if (auto i = e.monitoring.find(ref.value); i != e.monitoring.end()) {
            at(i->second).watchers.erase(ref.value);
            e.monitoring.erase(i);
        }
        std::erase_if(expected_of(me),
                      [&](const signal& s) { return s.what == downs && s.ref == ref.value; });
    }

    // ---- messages

    /// The number of the next message from `me` to `to`, where it is sent to a living process.
    long next_number(int me, int to) { return at(me).sent[to] + 1; }
    /// `line`: others wait to send, and the room that there is for the moment is theirs.
    void sent(int me, int to, bool line, send_result answer) {
        entry& e = at(to);
        send_result expected = send_result::delivered;
        const bool unlimited = e.limit.capacity == mailbox_limit::unlimited;
        if (!e.alive) {
            expected = send_result::noproc;
        } else if (!unlimited && (line || !has_room(to))) {
            switch (e.limit.policy) {
            case mailbox_policy::drop_oldest:
                while (!e.mail.empty()) {
                    ++counts.dropped;
                    e.mail.pop_front();
                    if (has_room(to)) break;
                }
                break;
            case mailbox_policy::drop_newest: expected = send_result::dropped; break;
            case mailbox_policy::reject:
            case mailbox_policy::wait: expected = send_result::full; break;
            }
        }
        EXPECT_EQ(to_string(answer), to_string(expected)) << name(me) << " sends to " << name(to);
        if (expected) e.mail.emplace_back(me, ++at(me).sent[to]);
        if (e.alive && !expected) ++counts.refused;
    }
    /// The end of a send that may wait.
    void sent_in_turn(int me, int to, bool waited, send_result answer) {
        if (me == to && answer == send_result::full) return; // it does not wait for itself
        const send_result expected = at(to).alive ? send_result::delivered : send_result::noproc;
        EXPECT_EQ(to_string(answer), to_string(expected)) << name(me) << " sends to " << name(to);
        if (!expected) return;
        EXPECT_TRUE(has_room(to)) << name(me) << " sends more to " << name(to) << " than that takes";
        at(to).mail.emplace_back(me, ++at(me).sent[to]);
        if (waited) ++counts.waited;
    }
    bool has_room(int i) { return at(i).mail.size() < at(i).limit.capacity; }
    void got_number(int me, int from, int to, long number) {
        entry& e = at(me);
        EXPECT_TRUE(e.alive) << name(me) << " received when it was dead";
        EXPECT_EQ(to, me);
        ++counts.numbers;
        if (e.mail.empty()) {
            ADD_FAILURE() << name(me) << " received more than it was sent";
            return;
        }
        EXPECT_EQ(e.mail.front(), std::pair(from, number)) << name(me) << " received out of order";
        e.mail.pop_front();
    }
    void got_exit(int me, const exit_signal& s) {
        got(me, {exits, s.from, 0, s.reason}, [&](const signal& e) { return e.from == s.from; });
    }
    void got_down(int me, const down& d) {
        const auto who = pids_.find(d.pid);
        if (who != pids_.end() && d.reason != exit_kind::noproc) {
            EXPECT_EQ(at(who->second).frames, 0) << "heard of the end before the frames were gone";
            EXPECT_EQ(at(who->second).messages, 0) << "heard of the end before the mailbox was emptied";
        }
        got(me, {downs, d.pid, d.ref.value, d.reason}, [&](const signal& e) { return e.ref == d.ref.value; });
    }
    /// A look at everything in the mailbox of `me` has found nothing.
    void found_nothing(int me) {
        EXPECT_EQ(lanes_with_mail(me), 0U) << name(me) << " found its mailbox empty";
    }
    unsigned lanes_with_mail(int i) {
        unsigned lanes = at(i).mail.empty() ? 0U : numbers;
        for (const signal& s : expected_of(i)) lanes |= s.what;
        return lanes;
    }

    // ---- names

    bool registered(const std::string& n, int p) {
        if (!at(p).alive || names_.contains(n)) return false;
        names_[n] = p;
        at(p).names.insert(n);
        return true;
    }
    bool unregistered(const std::string& n) {
        const auto i = names_.find(n);
        if (i == names_.end()) return false;
        at(i->second).names.erase(n);
        names_.erase(i);
        return true;
    }
    pid has_name(const std::string& n) {
        const auto i = names_.find(n);
        return i == names_.end() ? pid{} : at(i->second).id;
    }

    // ---- what can be seen from outside

    /// `at_rest`: nobody is ready.
    void compare(int i, bool at_rest = false) {
        const entry& e = at(i);
        EXPECT_EQ(is_alive(e.id), e.alive) << name(i);
        const auto seen = info(e.id);
        EXPECT_EQ(seen.has_value(), e.alive) << name(i);
        if (!seen || !e.alive) return;
        EXPECT_EQ(seen->trap_exit, e.trapping) << name(i);
        EXPECT_EQ(seen->links.size(), e.links.size()) << name(i);
        EXPECT_EQ(seen->monitored_by.size(), e.watchers.size()) << name(i);
        // A process that is about to run may have one in its hands.
        const std::size_t in_hands = !at_rest && e.waits_for != 0 ? 1 : 0;
        EXPECT_LE(seen->mailbox_length, e.mail.size()) << name(i);
        EXPECT_GE(seen->mailbox_length + in_hands, e.mail.size()) << name(i);
        EXPECT_EQ(seen->mailbox, e.limit) << name(i);
        EXPECT_EQ((std::set<std::string>{seen->names.begin(), seen->names.end()}), e.names) << name(i);
    }
    /// To be called when nobody is ready: nothing that was sent may still be on its way.
    void compare_all_at_rest() {
        for (int i = 0; i < size(); ++i) {
            compare(i, true);
            entry& e = at(i);
            if (!e.alive) {
                EXPECT_EQ(e.frames, 0) << name(i);
                EXPECT_EQ(e.messages, 0) << name(i);
                continue;
            }
            if (e.doomed) ADD_FAILURE() << name(i) << " lives, and was to end with " << to_string(*e.doomed);
            if (e.waits_for & lanes_with_mail(i)) ADD_FAILURE() << name(i) << " was not woken for a message";
            if (e.sends_to >= 0 && (!at(e.sends_to).alive || has_room(e.sends_to)))
                ADD_FAILURE() << name(i) << " was not woken to send to " << name(e.sends_to);
            if (e.wakes_by < now()) ADD_FAILURE() << name(i) << " was not woken in time";
        }
    }

private:
    struct signal {
        lane what;
        pid from;
        std::uint64_t ref;
        exit_reason why;
    };

    std::string name(int i) { return "#" + std::to_string(i) + ' ' + to_string(at(i).id); }
    std::vector<signal>& expected_of(int i) { return expected_[static_cast<std::size_t>(i)]; }

    void expect(int to, signal s) {
        if (at(to).alive) expected_of(to).push_back(std::move(s));
    }
    void doom(int i, const exit_reason& why) {
        if (!at(i).doomed) at(i).doomed = why; // the first one counts
    }
    /// The end of `from` reaches `to` by a link.
    void link_exit(int to, int from, const exit_reason& why) {
        entry& e = at(to);
        e.links.erase(from);
        if (!e.alive) return;
        if (why.kind() != exit_kind::normal) ++(e.trapping ? counts.trapped_links : counts.ended_by_link);
        if (e.trapping)
            expect(to, {exits, at(from).id, 0, why});
        else if (why.kind() != exit_kind::normal)
            doom(to, why);
    }
    /// The earliest signal of its kind that `fits` must be the same; and for monitors, no earlier `down` of the same
    /// process, other than of the same end, may still be missing.
    template <class Fits>
    void got(int me, const signal& s, Fits fits) {
        EXPECT_TRUE(at(me).alive) << name(me) << " received when it was dead";
        auto& list = expected_of(me);
        const auto i =
            std::ranges::find_if(list, [&](const signal& e) { return e.what == s.what && fits(e); });
        if (i == list.end()) {
            ADD_FAILURE() << name(me) << " got " << (s.what == downs ? "down" : "exit_signal") << " of "
                          << to_string(s.from) << " for " << to_string(s.why) << ", which nobody sent";
            return;
        }
        EXPECT_EQ(i->from, s.from);
        EXPECT_TRUE(same_reason(i->why, s.why))
            << name(me) << " got " << to_string(s.why) << " instead of " << to_string(i->why);
        for (auto earlier = list.begin(); earlier != i; ++earlier)
            if (earlier->what == s.what && earlier->from == s.from && !same_reason(earlier->why, i->why))
                ADD_FAILURE() << name(me) << " got a signal of " << to_string(s.from)
                              << " before an earlier one";
        ++(s.what == downs ? counts.downs : counts.exits);
        if (s.what == downs && s.why == exit_kind::noproc) ++counts.noproc_downs;
        list.erase(i);
    }

    std::deque<entry> all_;
    std::deque<std::vector<signal>> expected_; // of each: in the order in which they were sent
    std::map<pid, int> pids_;
    std::map<std::string, int> names_;
};

/// One place in a process's frames, or one message, where its owner counts them.
class counted_place {
public:
    explicit counted_place(int& n) : n_(&n) { ++n; }
    counted_place(const counted_place& o) : n_(o.n_) { ++*n_; }
    counted_place& operator=(const counted_place&) = delete;
    ~counted_place() { --*n_; }

private:
    int* n_;
};

/// Lives as long as what a process was started with: its end is the process's.
class life {
public:
    life(soak_model& m, int me) : m_(&m), me_(me) {}
    life(life&& o) noexcept : m_(std::exchange(o.m_, nullptr)), me_(o.me_) {}
    life& operator=(life&&) = delete;
    ~life() {
        if (m_) m_->died(me_);
    }
    int me() const { return me_; }

private:
    soak_model* m_;
    int me_;
};

} // namespace genever::test
