// Who is served when more requests arrive than can be: priorities, limits, and what is counted.
#pragma once

#include <genever/base/clock.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace genever::http {

/// Who gives way when the server is overloaded.
enum class priority : std::uint8_t {
    /// Never refused, but beyond a `max_concurrency` of its own: health checks, metrics, what an operator needs to see. Nobody
    /// is protected from what it costs: it is not for what clients like to ask for.
    critical,
    normal,    ///< refused when it has waited for too long, or too many are being handled
    sheddable, ///< refused before the others are: what can be done later, or left out
};

/// How the requests of a class are treated.
struct traffic {
    http::priority priority = http::priority::normal;
    /// How long a handler may take: it is then destroyed where it waits, and the client gets 503. A handler that does not
    /// wait is not interrupted. Unset: server_options::handler_timeout.
    std::optional<duration> handler_timeout = {};
    /// How many may be handled at once: 503 for those beyond. Unset: what admission finds out by itself
    /// (admission_options::adaptive_concurrency).
    std::optional<std::size_t> max_concurrency = {};
};

/// Requests that are admitted by common rules: usually those of one route. It counts those which are being handled,
/// and learns how many its handlers can have in hand before they only wait for each other. Safe on all threads. Whoever
/// admits a request by it keeps it alive until the response has been made.
class traffic_class {
public:
    explicit traffic_class(traffic t = {});
    ~traffic_class();
    traffic_class(const traffic_class&) = delete;
    traffic_class& operator=(const traffic_class&) = delete;

    const traffic settings;

    /// How many of its requests are being handled, at the moment.
    std::size_t in_hand() const noexcept;
    /// How many may be at present; nothing: as many as come.
    std::optional<std::size_t> limit() const noexcept;

private:
    friend class admission_control;
    struct state;
    std::unique_ptr<state> state_;
};

/// The rules by which a server admits connections and requests; the defaults are meant for use. What is not admitted gets
/// 503 with `Retry-After`, decided from the request's head, before its body is read and its handler is called.
struct admission_options {
    /// Off: requests wait for as long as it takes. The limits on connections, the places kept among them, and a route's own
    /// `max_concurrency` hold all the same.
    bool enabled = true;

    /// How many connections there may be. 0: seven eighths of the file descriptors that the process may have when the
    /// server starts, so that the rest of the program has some, too. A connection beyond gets 503 and is closed. The last
    /// of them are kept for requests of critical priority (`reserved_connections`): others get 503 there.
    std::size_t max_connections = 0;
    /// How many; an eighth of all at most.
    std::size_t reserved_connections = 16;
    /// How many of them one client may have: an IPv4 address, or an IPv6 network of 64 bits. 0: half of max_connections.
    /// (Behind a proxy all clients have its address.)
    std::size_t max_connections_per_client = 0;
    /// How many new connections are accepted in a second; the others wait in the system's backlog. 0: no such bound.
    /// Either way at most 64 are accepted before everybody else has had a turn.
    std::uint32_t accept_rate = 0;

    /// The time that a request waits between being there and being handled is controlled as CoDel does (K. Nichols,
    /// V. Jacobson: Controlling Queue Delay, ACM Queue 10(5), 2012), in the form for requests that are refused and not
    /// dropped (B. Maurer: Fail at Scale, ACM Queue 13(8), 2015): when all have waited for longer than `queue_target` for
    /// a whole `queue_interval`, or one for longer than `queue_limit`, the server is overloaded; from then on those that have waited for
    /// twice the target are refused, until nobody has had to be refused for one interval.
    duration queue_target = std::chrono::milliseconds{5};
    duration queue_interval = std::chrono::milliseconds{100};
    /// The longest wait that is put up with at any time: so long may a burst last that the server works off afterwards.
    duration queue_limit = std::chrono::milliseconds{40};
    /// While the server is overloaded, or a class is limited, whoever has had more than an equal share of the requests that were
    /// admitted meanwhile, within the last second, is refused before the others are: it gets what they leave. Up to about 1,200
    /// clients within half a second can be told apart; while there are more, all count as equal.
    bool fair_shares = true;

    /// Whether to limit how many requests of a class are handled at once where their handlers do nothing but
    /// wait for each other: see docs/overload.md.
    bool adaptive_concurrency = true;
    /// No such limit is below this.
    std::size_t least_concurrency = 4;
    /// How many of a class are handled at once before any has told how long it takes. From there on as many more as the service can
    /// take: twice as many in the time that a handler takes, or in 50 ms where it takes longer. At least 1, least_concurrency,
    /// and twice the workers.
    std::size_t initial_concurrency = 16;
    /// How long a request may wait for its class to grow so far before it is refused: a surge that the service can take passes. 0: not at
    /// all. When those that end all take longer than usual nobody waits.
    duration surge_patience = std::chrono::milliseconds{100};

    /// How many refusals are answered at once, in a second and for each worker. Clients that ask again as soon as they are
    /// refused would otherwise have the server do nothing but refuse; what goes beyond is answered later, whoever asked.
    std::uint32_t refusal_rate = 10000;
    /// No refusal waits for longer than this.
    duration refusal_patience = std::chrono::seconds{1};
    /// What `Retry-After` says; whole seconds, at least one.
    duration retry_after = std::chrono::seconds{1};
};

/// Why a request or a connection was not served, or not to its end.
enum class refusal : std::uint8_t {
    none,
    queue_delay,        ///< it has waited for too long (503)
    sheddable,          ///< the server is overloaded, and this one is the first to give way (503)
    share,              ///< its client has had more than its share while others wait (503)
    concurrency,        ///< too many of its class are being handled (503)
    reserved,           ///< the connection is one of the last, which are for critical requests (503)
    connections,        ///< there are too many connections (503 and the end)
    client_connections, ///< its client has too many connections (503 and the end)
    handler_timeout,    ///< its handler took too long, and was destroyed (503)
    client_gone, ///< its client went away while it waited for its handler, which was destroyed, or for a place
    header_timeout, ///< its head did not come in time (408)
    body_timeout,   ///< its body did not come in time, or too slowly
    write_timeout,  ///< its client did not read the response in time
    idle_timeout,   ///< no request came on the connection for too long (the end)
};
inline constexpr std::size_t refusal_count = 14;

/// The name of a refusal as it stands in this enumeration.
const char* to_string(refusal r) noexcept;

/// What a server has done since it was made. Give one server one (server_options::stats) and read it whenever you
/// like, from any thread.
class server_stats {
public:
    /// How many requests were admitted. One that was admitted by a class and then by a more specific one (exchange::admit) counts
    /// twice.
    std::uint64_t admitted() const noexcept;
    std::uint64_t refused(refusal why) const noexcept;
    /// All that were not admitted: without those that ran out of time, or whose clients went away.
    std::uint64_t refused() const noexcept;
    /// How many connections were accepted, refused ones included.
    std::uint64_t accepted() const noexcept;
    /// How many connections there are, at the moment.
    std::uint64_t connections() const noexcept { return connections_.load(std::memory_order_relaxed); }
    /// Whether requests have had to be refused within one queue_interval before `now` because they waited for too long.
    bool overloaded(time_point now) const noexcept {
        return now.time_since_epoch().count() < overloaded_until_.load(std::memory_order_relaxed);
    }

private:
    friend class admission_control;
    // Counted by many threads: each has a place of its own among a few, and reading adds them up.
    struct alignas(64) place {
        std::atomic<std::uint64_t> admitted{0};
        std::atomic<std::uint64_t> accepted{0};
        std::atomic<std::uint64_t> refused[refusal_count]{};
    };
    static constexpr std::size_t places = 8;
    place& mine() noexcept;

    place places_[places];
    std::atomic<std::uint64_t> connections_{0};
    std::atomic<duration::rep> overloaded_until_{0};
};

} // namespace genever::http
