#include "overseer.hpp"

#include "heart_message.hpp"
#include "heart_settings.hpp"
#include "listener_table.hpp"
#include "systemd.hpp"

#include <genever/base/log.hpp>

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <mutex>
#include <unistd.h>
#include <utility>

namespace genever::detail {

namespace {

/// The socket to the heart. Shared, since listeners that still close may outlive the rest.
class heart_line final : public socket_source {
public:
    explicit heart_line(int socket) noexcept : socket_(socket) {}
    ~heart_line() override { ::close(socket_); }

    std::expected<int, std::error_code> listener(const sockaddr* at, socklen_t size, int backlog) override {
        std::lock_guard g{lock_};
        const heart_message question{heart_word::listen, ++serial_, backlog, 0, {at, size}};
        if (!send_message(socket_, question, true)) return -1;
        for (;;) {
            heart_answer a;
            int fd = -1;
            // Without a heart this program is about to be told to stop: let it see whether it can bind.
            if (!take_answer(socket_, a, fd)) return -1;
            if (a.serial == serial_ && a.error == 0 && fd >= 0) return fd;
            if (fd >= 0) ::close(fd);
            if (a.serial == serial_)
                return std::unexpected(
                    std::error_code{a.error == 0 ? EPROTO : a.error, std::generic_category()});
        }
    }

    void closed(const sockaddr* at, socklen_t size) noexcept override {
        send_message(socket_, {heart_word::closed, 0, 0, 0, {at, size}}, true);
    }

    void say(heart_word w, bool may_block) noexcept { send_message(socket_, {w, 0, 0, 0, {}}, may_block); }

private:
    const int socket_;
    std::mutex lock_; // of a question and its answer
    std::uint32_t serial_ = 0;
};

class heart_overseer final : public overseer {
public:
    explicit heart_overseer(const service_orders& o)
        : line_(std::make_shared<heart_line>(o.socket)), orders_(o) {}

    void ready() noexcept override { line_->say(heart_word::ready, true); }
    void stopping() noexcept override { line_->say(heart_word::stopping, true); }
    void ended() noexcept override { line_->say(heart_word::ended, true); }
    void beat() noexcept override { line_->say(heart_word::alive, false); }
    duration beat_every() const noexcept override { return orders_.beat_every; }
    bool holds_connections() const noexcept override { return orders_.held; }
    std::shared_ptr<socket_source> sockets() noexcept override { return line_; }

private:
    std::shared_ptr<heart_line> line_;
    service_orders orders_;
};

/// The sockets that the service manager has passed; what is not among them is bound.
class passed_listeners final : public socket_source {
public:
    explicit passed_listeners(int count) {
        for (int fd = first_passed_socket; fd < first_passed_socket + count; ++fd)
            if (const auto taken = table_.adopt(fd); !taken)
                log::write(log::level::warning, not_adopted(fd, taken.error()));
    }

    std::expected<int, std::error_code> listener(const sockaddr* at, socklen_t size, int backlog) override {
        std::lock_guard g{lock_};
        auto failed = [](int e) { return std::unexpected(std::error_code{e, std::generic_category()}); };
        const socket_address a{at, size};
        const auto fd = table_.take(a, backlog, 0, false);
        if (!fd) return failed(fd.error());
        if (*fd < 0) return -1;
        const int copy = fcntl(*fd, F_DUPFD_CLOEXEC, 0); // the original stays for the next listener
        if (copy < 0) {
            const int why = errno;
            table_.give_back(a, 0, time_point{});
            return failed(why);
        }
        return copy;
    }

    void closed(const sockaddr* at, socklen_t size) noexcept override {
        std::lock_guard g{lock_};
        table_.give_back({at, size}, 0, time_point{});
    }

private:
    std::mutex lock_;
    listener_table table_;
};

class service_manager final : public overseer {
public:
    service_manager(const environment& get, pid_t self) : notify_(get("NOTIFY_SOCKET")) {
        if (auto limit = watchdog_limit(get, self); limit && notify_) beat_every_ = *limit / 2;
        if (const int n = passed_sockets(get, self)) passed_ = std::make_shared<passed_listeners>(n);
    }

    void ready() noexcept override { notify_.tell("READY=1"); }
    void stopping() noexcept override { notify_.tell("STOPPING=1"); }
    void ended() noexcept override {}
    void beat() noexcept override { notify_.tell("WATCHDOG=1"); }
    duration beat_every() const noexcept override { return beat_every_; }
    std::shared_ptr<socket_source> sockets() noexcept override { return passed_; }

private:
    notify_socket notify_;
    duration beat_every_ = infinity;
    std::shared_ptr<passed_listeners> passed_;
};

} // namespace

std::expected<std::shared_ptr<overseer>, std::string> find_heart() {
    const char* text = std::getenv(service_orders_variable);
    if (!text) return nullptr;
    const auto orders = service_orders_from(text);
    unsetenv(service_orders_variable); // it is for this process only
    if (!orders)
        return std::unexpected(
            "the heart that has started this program is of another version of Genever: stop it and "
            "start the service anew, with the heart of this version");
    if (orders->service != getpid()) return nullptr;
    if (fcntl(orders->socket, F_SETFD, FD_CLOEXEC) != 0)
        return std::unexpected("the heart's socket is not there");
    return std::make_shared<heart_overseer>(*orders);
}

std::shared_ptr<overseer> find_service_manager() {
    return std::make_shared<service_manager>([](const char* name) { return std::getenv(name); }, getpid());
}

} // namespace genever::detail
