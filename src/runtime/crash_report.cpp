#include <genever/runtime/crash_report.hpp>

#include "report_text.hpp"
#include "runtime_core.hpp"

#include <genever/base/demangle.hpp>
#include <genever/base/json_text.hpp>
#include <genever/base/stack_trace.hpp>

#include <algorithm>
#include <chrono>

namespace genever {

namespace {

bool has_stack(const crash_report& r) {
    return r.reason.exception() && r.reason.trace() && !r.reason.trace()->empty();
}

std::string readable(duration d) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
    if (ms < 10'000) return std::to_string(ms) + " ms";
    if (ms < 600'000) return std::to_string(ms / 1000) + " s";
    if (ms < 36'000'000) return std::to_string(ms / 60'000) + " min";
    return std::to_string(ms / 3'600'000) + " h";
}

template <class List>
void append_json_list(std::string& out, std::string_view name, const List& list) {
    (out += ",\"") += name;
    out += "\":[";
    const char* separator = "";
    for (const auto& each : list) {
        out += separator;
        append_json_string(out, each);
        separator = ",";
    }
    out += ']';
}

void append_json_member(std::string& out, std::string_view name, std::string_view value) {
    if (value.empty()) return;
    (out += ",\"") += name;
    out += "\":";
    append_json_string(out, value);
}

} // namespace

std::string to_string(const crash_report& r) {
    std::string s = r.part.empty() ? "process " : r.part + " crashed in process ";
    s += detail::who(r.pid, r.label, r.names);
    if (r.part.empty()) s += " crashed";
    s += "\n  reason: " + to_string(r.reason);
    if (!r.last_message.empty()) s += "\n  handling: " + r.last_message;
    s += "\n  mailbox: " + std::to_string(r.mailbox_length) + " message" + (r.mailbox_length == 1 ? "" : "s");
    if (r.uptime) s += "\n  up for: " + readable(*r.uptime);
    if (!r.ancestors.empty()) {
        s += "\n  started by: ";
        const char* separator = "";
        for (const auto& a : r.ancestors) {
            (s += separator) += a;
            separator = ", ";
        }
    }
    if (r.repeated != 0) s += "\n  and " + std::to_string(r.repeated) + " more like it since the last report";
    if (has_stack(r)) s += "\n  stack of the throw:\n" + to_string(*r.reason.trace());
    return s;
}

std::string to_json_members(const crash_report& r) {
    std::string s = R"("event":"crash","pid":)";
    append_json_string(s, to_string(r.pid));
    append_json_member(s, "part", r.part);
    append_json_member(s, "label", r.label);
    if (!r.names.empty()) append_json_list(s, "names", r.names);
    append_json_member(s, "reason", to_string(r.reason.kind()));
    append_json_member(s, "type", r.reason.type());
    append_json_member(s, "text", r.reason.text());
    append_json_member(s, "last_message", r.last_message);
    s += ",\"mailbox_length\":" + std::to_string(r.mailbox_length);
    if (r.uptime)
        s += ",\"uptime_ms\":" +
             std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(*r.uptime).count());
    if (!r.ancestors.empty()) append_json_list(s, "ancestors", r.ancestors);
    if (r.repeated != 0) s += ",\"repeated\":" + std::to_string(r.repeated);
    if (has_stack(r)) {
        s += ",\"stack\":[";
        const char* separator = "";
        for (const stack_frame& f : symbolise(r.reason.trace()->addresses())) {
            s += separator;
            s += "{\"function\":";
            append_json_string(s, f.function);
            append_json_member(s, "file", f.file);
            if (f.line != 0) s += ",\"line\":" + std::to_string(f.line);
            s += '}';
            separator = ",";
        }
        s += ']';
    }
    return s;
}

// ---- making one

namespace detail {

namespace {

constexpr std::size_t most_ancestors = 16;

std::vector<std::string> ancestors_from(pid p) {
    std::vector<std::string> all;
    while (p && all.size() < most_ancestors) {
        std::string label;
        std::vector<std::string> names;
        pid parent;
        bool lives = false;
        if (process* block = find_block(p)) {
            spin_guard g{block->lock};
            lives = block->generation == p.generation() &&
                    block->state.load(std::memory_order_relaxed) != run_state::dead;
            if (lives && block->extras) {
                label = block->extras->label.view();
                if (const rare_extras* rare = existing_rare(*block)) names = rare->names;
                parent = block->extras->parent;
            }
        }
        all.push_back(who(p, label, names));
        if (!lives) break;
        p = parent;
    }
    return all;
}

/// FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv), 64 bits.
constexpr std::uint64_t fnv_start = 0xcbf29ce484222325U;
void mix(std::uint64_t& hash, const void* data, std::size_t size) noexcept {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3U;
}

/// The same exception, thrown at the same place. Not 0.
std::uint64_t kind_of_crash(const exit_reason& r, std::string_view label) noexcept {
    std::uint64_t hash = fnv_start;
    mix(hash, r.type().data(), r.type().size());
    const stack_trace* t = r.trace();
    if (r.exception() && t && !t->empty()) {
        const auto frames = t->addresses();
        mix(hash, frames.data(), std::min<std::size_t>(frames.size(), 4) * sizeof frames[0]);
    } else {
        mix(hash, r.text().data(), r.text().size());
        mix(hash, label.data(), label.size());
    }
    return hash == 0 ? 1 : hash;
}

} // namespace

void complete(crash_report& r, const process_extras& x, std::int64_t now) {
    if (x.born_at != process_extras::unknown) r.uptime = duration{now - x.born_at};
    r.ancestors = ancestors_from(x.parent);
    if (x.last_message) r.last_message = demangle(*x.last_message);
}

void note_last_message(const std::type_info& type) noexcept {
    process* p = current_process();
    if (!p) return;
    spin_guard g{p->lock};
    if (p->extras) p->extras->last_message = &type;
}

runtime_core::crash_admission runtime_core::admit_crash(const exit_reason& why, std::string_view label) {
    if (on_crash_) return {true};
    const std::uint64_t kind = kind_of_crash(why, label);
    const auto before = reporter_.admit(kind, system_now());
    return {before.has_value(), kind, before.value_or(0)};
}

void runtime_core::tell(crash_report r, const crash_admission& a) {
    r.repeated = a.counted_before;
    if (on_crash_)
        on_crash_(r);
    else
        reporter_.take(std::move(r), a.kind);
}

} // namespace detail

void report_crash(std::string_view what, exit_reason reason) noexcept {
    using namespace detail;
    thread_state* t = this_thread();
    process* p = current_process();
    if (!t || !p) return;
    t->core->report_crash(reason, {}, [&] {
        crash_report r;
        r.pid = pid_of(*p);
        r.part = what;
        r.reason = reason;
        r.mailbox_length = p->arrived - p->consumed.load(std::memory_order_relaxed);
        const process_extras* x = nullptr;
        {
            spin_guard g{p->lock};
            x = p->extras; // its own: nobody else ends it
            if (x) {
                r.label = x->label.view();
                if (x->rare) r.names = x->rare->names;
            }
        }
        if (x) complete(r, *x, t->core->now());
        return r;
    });
}

} // namespace genever
