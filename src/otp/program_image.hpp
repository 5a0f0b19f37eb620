// The program that runs, as something to be started anew: its file, its arguments, its environment.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace genever::detail {

/// The path by which this program was started, made absolute, with its symbolic links: a later program of that name is found
/// by it. Where the file there is another one than the running one, the running one's path.
std::string program_path();

/// What this program was started with, whatever has become of it since; empty without /proc.
std::vector<std::string> start_arguments();
std::vector<std::string> start_environment();

/// `from` without the variables for which `drop(name)` is true.
template <class Drop>
std::vector<std::string> without(std::vector<std::string> from, Drop drop) {
    std::erase_if(from,
                  [&](const std::string& s) { return drop(std::string_view{s}.substr(0, s.find('='))); });
    return from;
}

/// The pointers that execve wants; valid as long as `from` does not change.
std::vector<char*> pointers(std::vector<std::string>& from);

/// Whether a path and a descriptor are the same file.
bool same_file(const char* path, int fd) noexcept;

/// Notes which descriptors are open, as the first thing that a program does; `keep_private` then marks all that were
/// opened later close-on-exec, so that no other program holds them.
void note_open_descriptors() noexcept;
void keep_private_what_was_opened() noexcept;

} // namespace genever::detail
