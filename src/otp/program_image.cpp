#include "program_image.hpp"

#include <algorithm>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

namespace genever::detail {

namespace {

constexpr int noted_descriptors = 256; // those that a program inherits are small
bool open_at_start[noted_descriptors];

std::vector<std::string> read_list(const char* path) {
    std::string all;
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return {};
    char piece[4096];
    for (ssize_t n; (n = ::read(fd, piece, sizeof piece)) > 0;)
        all.append(piece, static_cast<std::size_t>(n));
    ::close(fd);
    std::vector<std::string> list;
    for (std::size_t at = 0; at < all.size();) {
        const std::size_t end = std::min(all.find('\0', at), all.size());
        list.push_back(all.substr(at, end - at));
        at = end + 1;
    }
    return list;
}

std::string link_target(const char* path) {
    char text[4096];
    const ssize_t n = ::readlink(path, text, sizeof text);
    return n > 0 ? std::string(text, static_cast<std::size_t>(n)) : std::string{};
}

} // namespace

std::string program_path() {
    std::string path;
    if (const unsigned long name = getauxval(AT_EXECFN)) path = reinterpret_cast<const char*>(name);
    if (!path.empty() && path.front() != '/') {
        char* here = ::getcwd(nullptr, 0);
        path = here ? std::string{here} + '/' + path : std::string{};
        std::free(here);
    }
    const int running = ::open("/proc/self/exe", O_PATH | O_CLOEXEC);
    if (running < 0) return path;
    if (path.empty() || !same_file(path.c_str(), running)) path = link_target("/proc/self/exe");
    ::close(running);
    return path;
}

std::vector<std::string> start_arguments() { return read_list("/proc/self/cmdline"); }
std::vector<std::string> start_environment() { return read_list("/proc/self/environ"); }

std::vector<char*> pointers(std::vector<std::string>& from) {
    std::vector<char*> p;
    p.reserve(from.size() + 1);
    for (std::string& s : from) p.push_back(s.data());
    p.push_back(nullptr);
    return p;
}

bool same_file(const char* path, int fd) noexcept {
    struct stat a;
    struct stat b;
    return ::stat(path, &a) == 0 && ::fstat(fd, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

void note_open_descriptors() noexcept {
    for (int fd = 3; fd < noted_descriptors; ++fd) open_at_start[fd] = ::fcntl(fd, F_GETFD) >= 0;
}

void keep_private_what_was_opened() noexcept {
    DIR* all = ::opendir("/proc/self/fd");
    if (!all) return;
    while (const dirent* e = ::readdir(all)) {
        const int fd = std::atoi(e->d_name);
        if (fd > 2 && (fd >= noted_descriptors || !open_at_start[fd])) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    ::closedir(all);
}

} // namespace genever::detail
