#include <genever/csp/error_group.hpp>

namespace genever {

void detail::error_group_state::on_failure(const std::exception_ptr& e) noexcept {
    source.cancel(exit_reason::from_exception(e));
}

void error_group::wait_awaiter::await_resume() {
    auto& group = static_cast<detail::error_group_state&>(*set_);
    group.source.cancel();
    if (auto e = group.error()) std::rethrow_exception(e);
}

} // namespace genever
