// What must hold of channels by Go's rules, as a model that is told of each operation of a program and of who waits where,
// and asked what each of them shall answer. For programs in a simulation: one operation at a time.
#pragma once

#include <genever/csp/chan.hpp>
#include <genever/runtime/process_info.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace genever::test {

class channel_model;

/// What the programs send. Each is in one place at a time, and the model knows when it is in none any more.
class sent_value {
public:
    sent_value(channel_model& m, int number) noexcept : m_(&m), number_(number) {}
    sent_value(sent_value&& o) noexcept : m_(std::exchange(o.m_, nullptr)), number_(o.number_) {}
    sent_value& operator=(sent_value&& o) noexcept {
        std::swap(m_, o.m_);
        std::swap(number_, o.number_);
        return *this;
    }
    ~sent_value();
    int number() const { return m_ ? number_ : -1; }

private:
    channel_model* m_;
    int number_;
};

/// How often what a soak is to show has happened.
struct channel_counts {
    int received = 0;
    int told_of_close = 0;
    int refused_by_close = 0;
    int left = 0; // waits that a kill, a link or a deadline has ended
    int left_served =
        0; // of those, the ones of processes that had been served, or ready, when they were killed
    int out_of_order = 0; // values that came back and were then seen after a younger one
    int sent_unheard = 0; // values that were received although their sender never went on
    int drained = 0;
};

class channel_model {
public:
    explicit channel_model(channel_counts& c) : counts(c) {}
    ~channel_model() {
        for (channel& c : channels_) c.handle = nil; // what is left in it goes, and may
        for (const value& v : values_) EXPECT_FALSE(v.exists) << "a value leaked";
    }
    channel_model(const channel_model&) = delete;
    channel_model& operator=(const channel_model&) = delete;

    channel_counts& counts;

    enum direction : unsigned char { receives, sends };
    static constexpr int nobody = -1;
    static constexpr int starter = -2; // who runs the programs

    // ---- channels

    /// `owner`: the only one who receives from it.
    void open(std::size_t capacity, int owner) { channels_.emplace_back(capacity, owner); }
    int size() const { return static_cast<int>(channels_.size()); }
    const chan<sent_value>& handle(int c) { return at(c).handle; }
    bool may_receive(int c, int who) { return at(c).receiver == nobody || at(c).receiver == who; }
    void close(int c) {
        bool thrown = false;
        try {
            at(c).handle.close();
        } catch (const closed_channel&) {
            thrown = true;
        }
        EXPECT_EQ(thrown, std::exchange(at(c).closed, true)) << name(c);
    }

    // ---- values

    /// The value that `who` will try to send to `c`.
    sent_value offer(int who, int c) {
        values_.emplace_back(who, c, ++at(c).offered[who]);
        return {*this, static_cast<int>(values_.size()) - 1};
    }
    void sent(int number) {
        value& v = of(number);
        v.sent = true;
        EXPECT_TRUE(v.exists || v.receiver != nobody) << name(v) << " was sent, and is lost";
    }
    /// The send has failed.
    void not_sent(int number) {
        value& v = of(number);
        v.refused = true;
        EXPECT_EQ(v.receiver, nobody) << name(v) << " was not sent, and was received";
    }
    void told_of_closed_to_sender(int c) {
        EXPECT_TRUE(at(c).closed) << name(c) << " refuses a send";
        ++counts.refused_by_close;
    }
    /// The end of a receive by `who`; nothing: it was told that `c` is closed.
    void received(int who, int c, const std::optional<sent_value>& got) {
        channel& ch = at(c);
        if (!got) {
            EXPECT_TRUE(ch.closed) << "#" << who << " got nothing from " << name(c);
            EXPECT_LE(ch.handle.size(), came_back_at_most(c)) << "nothing, from " << name(c);
            ++counts.told_of_close;
            return;
        }
        take(who, c, got->number());
        ++counts.received;
    }
    void gone(int number) noexcept {
        value& v = of(number);
        v.exists = false;
        if (v.sent && v.receiver == nobody && at(v.channel).handle != nil)
            ADD_FAILURE() << name(v) << " was sent, and is lost";
    }

    // ---- what shall happen next, as long as nobody else runs. Nothing: that cannot be told.

    /// Whether a receive goes on at once.
    bool ready_to_receive(int c) {
        return at(c).closed || at(c).handle.size() > 0 || count_parked(c, sends) > 0;
    }
    std::optional<bool> ready_to_send(int c) {
        channel& ch = at(c);
        if (ch.closed || count_parked(c, receives) > 0 || ch.handle.size() < ch.capacity) return true;
        if (ch.handle.size() - came_back_at_most(c) >= ch.capacity) return false;
        return std::nullopt;
    }

    // ---- waits

    /// Where a process waits, while this lives. They nest.
    class waiting {
    public:
        waiting(channel_model& m, int who, pid id) : m_(&m), who_(who), id_(id) {}
        waiting(const waiting&) = delete;
        waiting& operator=(const waiting&) = delete;
        ~waiting() {
            for (auto [c, at] : at_) {
                if (!over_ && at->what == receives) ++m_->at(c).left_receives;
                m_->at(c).waiters.erase(at);
            }
            if (!over_) ++m_->counts.left;
        }
        void at(int c, direction what) {
            auto& all = m_->at(c).waiters;
            at_.emplace_back(c, all.insert(all.end(), {who_, id_, what}));
        }
        /// The process has gone on.
        void over() { over_ = true; }

    private:
        struct entry {
            int who;
            pid id;
            direction what;
        };
        friend channel_model;

        channel_model* m_;
        int who_;
        pid id_;
        bool over_ = false;
        std::vector<std::pair<int, std::list<entry>::iterator>> at_;
    };

    /// `who` will be killed.
    void about_to_kill(int who) {
        for (channel& c : channels_)
            for (const auto& w : c.waiters)
                if (w.who == who && w.what == receives && !parked(w.id)) ++counts.left_served;
    }

    /// What holds whenever a process runs: nobody waits at `c` for what is there.
    void check(int c) {
        channel& ch = at(c);
        EXPECT_EQ(ch.handle.is_closed(), ch.closed) << name(c);
        const std::size_t size = ch.handle.size();
        EXPECT_LE(size, ch.capacity + came_back_at_most(c)) << name(c);
        for (const auto& w : ch.waiters) {
            if (!parked(w.id)) continue;
            const std::string who = "#" + std::to_string(w.who) + " waits at " + name(c);
            EXPECT_FALSE(ch.closed) << who << ", which is closed";
            if (w.what == receives)
                EXPECT_EQ(size, 0U) << who << " for a value, which is there";
            else
                EXPECT_GE(size, ch.capacity) << who << " for room, which is there";
            const direction other = w.what == receives ? sends : receives;
            for (const auto& partner : ch.waiters)
                if (partner.what == other && partner.who != w.who && parked(partner.id))
                    ADD_FAILURE() << who << ", and so does its partner #" << partner.who;
        }
    }
    void check_all() {
        for (int c = 0; c < size(); ++c) check(c);
    }

    /// Gives what waits at `c` something that it shall not live to have.
    void feed(int c) {
        for (int i = 0; i < 3 && !at(c).closed; ++i) {
            sent_value v = offer(starter, c);
            const int number = v.number();
            at(c).handle.try_send(std::move(v)) ? sent(number) : not_sent(number);
        }
    }
    /// Takes what is left in `c`, when no process lives.
    void drain(int c) {
        EXPECT_TRUE(at(c).waiters.empty()) << name(c);
        const int who = at(c).receiver == nobody ? starter : at(c).receiver;
        while (auto v = at(c).handle.try_recv()) {
            take(who, c, v->number());
            ++counts.drained;
        }
        EXPECT_EQ(at(c).handle.size(), 0U);
        // Nobody holds one, so each that was sent has been received.
        for (const value& v : values_) {
            if (v.channel != c) continue;
            EXPECT_FALSE(v.exists) << name(v) << " is nowhere, and lives";
            EXPECT_TRUE(!v.sent || v.receiver != nobody) << name(v) << " was sent, and never received";
            if (!v.sent && v.receiver != nobody) ++counts.sent_unheard;
        }
    }

private:
    struct value {
        value(int s, int c, long n) : sender(s), channel(c), place_in_line(n) {}
        int sender;
        int channel;
        long place_in_line; // among the sender's for this channel
        bool exists = true;
        bool sent = false;
        bool refused = false;
        int receiver = nobody;
    };
    struct channel {
        channel(std::size_t room, int owner) : handle(room), capacity(room), receiver(owner) {}
        chan<sent_value> handle;
        std::size_t capacity;
        int receiver; // if there is but one
        bool closed = false;
        std::map<int, long> offered;                // by whom, how many
        std::map<std::pair<int, int>, long> newest; // what a receiver has had of a sender
        std::list<waiting::entry> waiters;
        std::size_t left_receives = 0; // each may have given a value back
        std::size_t taken_back =
            0; // of what may lie there, before the ring, so much is known not to any more
        std::size_t out_of_order = 0;
    };

    channel& at(int c) { return channels_[static_cast<std::size_t>(c)]; }
    value& of(int number) { return values_[static_cast<std::size_t>(number)]; }
    std::string name(int c) {
        return "channel " + std::to_string(c) + " (of " + std::to_string(at(c).capacity) + ')';
    }
    std::string name(const value& v) {
        return "value " + std::to_string(v.place_in_line) + " of #" + std::to_string(v.sender) + " to " +
               name(v.channel);
    }
    static bool parked(pid id) {
        const auto i = info(id);
        return i && i->state == process_state::parked;
    }
    std::ptrdiff_t count_parked(int c, direction what) {
        return std::ranges::count_if(at(c).waiters,
                                     [&](const auto& w) { return w.what == what && parked(w.id); });
    }
    /// How many of the values in `c` may have come back from receivers.
    std::size_t came_back_at_most(int c) {
        channel& ch = at(c);
        const std::size_t size = ch.handle.size();
        if (ch.left_receives - ch.taken_back > size) ch.taken_back = ch.left_receives - size;
        return ch.left_receives - ch.taken_back;
    }

    void take(int who, int c, int number) {
        if (number < 0) {
            ADD_FAILURE() << "#" << who << " received what has been moved from";
            return;
        }
        value& v = of(number);
        channel& ch = at(c);
        EXPECT_EQ(v.channel, c) << name(v);
        EXPECT_EQ(v.receiver, nobody) << name(v) << " was received twice";
        EXPECT_FALSE(v.refused) << name(v) << " was not sent, and was received";
        v.receiver = who;
        long& newest = ch.newest[{who, v.sender}];
        if (v.place_in_line < newest) {
            // Only one that came back to a channel of several receivers; as long as it lies there, it is in its place.
            EXPECT_TRUE(ch.receiver == nobody && who != starter) << name(v) << " came out of order";
            EXPECT_LE(++ch.out_of_order, ch.left_receives) << name(v) << " came out of order";
            ++counts.out_of_order;
        }
        newest = std::max(newest, v.place_in_line);
    }

    std::deque<channel> channels_;
    std::deque<value> values_;
};

inline sent_value::~sent_value() {
    if (m_) m_->gone(number_);
}

} // namespace genever::test
