#include <genever/web/router.hpp>

#include "web/pattern.hpp"
#include "web/route_table.hpp"

#include <stdexcept>

namespace genever::web {

route_ref& route_ref::name(std::string_view n) {
    for (std::size_t i = first_; i < first_ + count_; ++i) state_->infos[i].name = n;
    return *this;
}

route_ref& route_ref::priority(http::priority p) {
    for (std::size_t i = first_; i < first_ + count_; ++i) state_->routes[i].traffic.priority = p;
    return *this;
}

route_ref& route_ref::timeout(duration limit) {
    if (limit <= duration{0})
        throw std::invalid_argument("genever: the timeout of the route " + state_->infos[first_].pattern +
                                    " must be longer than nothing");
    for (std::size_t i = first_; i < first_ + count_; ++i) state_->routes[i].traffic.handler_timeout = limit;
    return *this;
}

route_ref& route_ref::max_concurrency(std::size_t n) {
    if (n == 0)
        throw std::invalid_argument("genever: the route " + state_->infos[first_].pattern +
                                    " would never be handled: max_concurrency must be at least 1");
    for (std::size_t i = first_; i < first_ + count_; ++i) state_->routes[i].traffic.max_concurrency = n;
    return *this;
}

std::string route_group::prefix_below(std::string_view prefix) const {
    return detail::join_patterns(prefix_, prefix);
}

std::size_t route_group::add(http::method m, std::string_view pattern, std::vector<detail::step_ptr> chain) {
    const std::string whole =
        prefix_.empty() ? std::string{pattern} : detail::join_patterns(prefix_, pattern);
    const std::size_t number = state_->routes.size();
    std::vector<std::string> names = state_->trees[static_cast<std::size_t>(m)].insert(
        whole, static_cast<detail::route_tree::route_number>(number));
    state_->routes.push_back({whole, std::move(names), std::move(chain), {.priority = priority_}, nullptr});
    state_->infos.push_back({m, whole, {}});
    return number;
}

router::router() : route_group(nullptr, {}, {}), owned_(std::make_unique<detail::router_state>()) {
    state_ = owned_.get();
}
router::router(const router& o) : route_group(o), owned_(std::make_unique<detail::router_state>(*o.owned_)) {
    state_ = owned_.get();
}
router::router(router&& o) noexcept = default;
router& router::operator=(router o) noexcept {
    std::swap(state_, o.state_);
    std::swap(prefix_, o.prefix_);
    std::swap(middleware_, o.middleware_);
    std::swap(priority_, o.priority_);
    std::swap(owned_, o.owned_);
    return *this;
}
router::~router() = default;

void router::set_no_route(detail::step_ptr s) { state_->no_route = std::move(s); }
void router::set_no_method(detail::step_ptr s) { state_->no_method = std::move(s); }
void router::redirect_trailing_slash(bool on) noexcept { state_->redirect_trailing_slash = on; }

std::vector<route_info> router::routes() const { return state_->infos; }

namespace {
struct handle_by_table {
    static constexpr bool admits = true;
    std::shared_ptr<const detail::route_table> table;
    task<> operator()(http::exchange& x) const { return table->handle(x); }
};
} // namespace

router::operator http::handler() const {
    return handle_by_table{std::make_shared<const detail::route_table>(*state_, middleware_)};
}

} // namespace genever::web
