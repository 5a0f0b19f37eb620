#include <genever/runtime/simulation.hpp>

#include "runtime_core.hpp"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace genever {

using namespace detail;

simulation::simulation(std::uint64_t seed, crash_handler on_crash)
    : seed_(seed), core_(std::make_unique<runtime_core>(runtime_core::simulated{seed}, std::move(on_crash))) {
}

simulation::~simulation() = default;

bool simulation::step() {
    enter_thread in{core_->simulation_thread()};
    return core_->step();
}

void simulation::run_until_set(const end_slot& end) {
    enter_thread in{core_->simulation_thread()};
    while (!end.is_set()) {
        if (core_->step() || core_->advance_clock()) continue;
        std::string waiting;
        for (pid q : processes()) {
            auto i = info(q);
            waiting += "\n  " + to_string(q);
            if (i && !i->label.empty()) (waiting += ' ') += i->label;
            if (i) (waiting += " in ") += i->suspension_point();
        }
        throw std::runtime_error("genever: deadlock: nobody is ready, no timer is armed; living:" + waiting);
    }
}

void simulation::run_for(duration d) {
    enter_thread in{core_->simulation_thread()};
    core_->run_simulated_for(d.count());
}

std::size_t simulation::live() const noexcept { return static_cast<std::size_t>(core_->live()); }

std::uint64_t simulation::random(std::uint64_t bound) noexcept { return core_->random()() % bound; }

namespace {

std::optional<std::uint64_t> number_in(const char* variable) noexcept {
    const char* text = std::getenv(variable);
    std::uint64_t n = 0;
    if (!text || std::from_chars(text, text + std::strlen(text), n).ec != std::errc{}) return {};
    return n;
}

} // namespace

unsigned seeds_to_run(unsigned fallback) noexcept {
    return static_cast<unsigned>(number_in("GENEVER_SEEDS").value_or(fallback));
}

std::optional<std::uint64_t> seed_to_replay() noexcept { return number_in("GENEVER_SEED"); }

} // namespace genever
