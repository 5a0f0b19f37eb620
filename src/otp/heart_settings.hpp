// The heart's settings: from the environment, and on their way from the program to its heart.
#pragma once

#include <genever/otp/heart_options.hpp>

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace genever::detail {

/// Looks up a variable of the environment; null: it is not set.
using environment = std::function<const char*(const char* name)>;

/// `o` with what the environment says instead; the error says what is wrong with it.
std::expected<heart_options, std::string> with_environment(heart_options o, const environment& get);

/// What a heart is told by the program that becomes it.
struct heart_orders {
    pid_t heart = 0; // for this process only: children inherit the environment
    heart_options options;
    std::string program; // the path of what is to be started
};
std::string to_text(const heart_orders& o);
std::optional<heart_orders> heart_orders_from(std::string_view text);

/// What a service is told by the heart that starts it.
struct service_orders {
    pid_t service = 0; // for this process only
    int socket = -1;   // to the heart
    bool held = false; // accepts no connection before its tree is up
    duration beat_every = infinity;
};
std::string to_text(const service_orders& o);
std::optional<service_orders> service_orders_from(std::string_view text);

inline constexpr const char* heart_orders_variable = "GENEVER_HEART_ORDERS";
inline constexpr const char* service_orders_variable = "GENEVER_HEART_SERVICE";
/// Of both texts and of the messages (heart_message.hpp): an upgrade may bring together two builds.
inline constexpr int heart_protocol = 1;

} // namespace genever::detail
