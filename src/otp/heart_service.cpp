#include "heart_service.hpp"

#include "program_image.hpp"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace genever::detail {

time_point steady_now() noexcept {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return time_point{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
}

void say(log::level l, const std::string& text) { log::write_unqueued(l, "heart: " + text); }

std::string what_ended(int status) {
    if (WIFEXITED(status)) return "exited with code " + std::to_string(WEXITSTATUS(status));
    const int signal = WTERMSIG(status);
    const char* name = sigabbrev_np(signal);
    return "was ended by SIG" + (name ? std::string{name} : std::to_string(signal)) +
           (WCOREDUMP(status) ? ", core dumped" : "");
}

int exit_code(int status) noexcept {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The service manager's word is with the heart, which is the process that it knows.
launcher::launcher(const heart_orders& orders)
    : orders_(orders), arguments_(start_arguments()),
      environment_(without(start_environment(), [](std::string_view name) {
          return name.starts_with("GENEVER_HEART") || name == "NOTIFY_SOCKET" || name == "WATCHDOG_USEC" ||
                 name == "WATCHDOG_PID" || name.starts_with("LISTEN_");
      })) {}

std::unique_ptr<service> launcher::start(role part, const program_file& program, int number) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return nullptr;
    const pid_t id = fork();
    if (id == 0) become_service(program, part == role::candidate, ends[1]);
    const int why = errno;
    ::close(ends[1]);
    if (id < 0) {
        ::close(ends[0]);
        errno = why;
        return nullptr;
    }
    auto s = std::make_unique<service>(orders_.options, steady_now());
    s->number = number;
    s->part = part;
    s->id = id;
    s->socket = ends[0];
    return s;
}

// In the child.
void launcher::become_service(const program_file& program, bool held, int socket) {
    // Without a heart nobody would start it again: it drains, and ends.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != orders_.heart) _exit(1);
    fcntl(socket, F_SETFD, 0);
    service_orders o;
    o.service = getpid();
    o.socket = socket;
    o.held = held;
    const duration every = hang_watch{orders_.options.hang_timeout, {}}.look_every();
    o.beat_every = every;
    environment_.push_back(std::string{service_orders_variable} + '=' + to_text(o));
    const std::vector<char*> argv = pointers(arguments_);
    const std::vector<char*> envp = pointers(environment_);
    std::signal(SIGPIPE, SIG_DFL);
    std::signal(SIGHUP, SIG_IGN); // means an upgrade here, and is the heart's affair
    // A stop that is asked for before `run` has begun waits for it.
    sigset_t mask = signals_;
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigprocmask(SIG_SETMASK, &mask, nullptr);
    // By the descriptor: it is the file that was chosen, whatever has got its name since. A script has to go by its name,
    // for its interpreter opens it.
    const char* path = orders_.program.c_str();
    syscall(SYS_execveat, program.fd(), "", argv.data(), envp.data(), AT_EMPTY_PATH);
    if (errno == ENOENT && same_file(path, program.fd())) execve(path, argv.data(), envp.data());
    say(log::level::error, std::string{"cannot execute "} + path + ": " + std::strerror(errno));
    _exit(127);
}

} // namespace genever::detail
