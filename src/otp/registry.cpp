// A registry's processes: a supervisor with one keeper for each partition, which is linked to those that have keys.
#include <genever/otp/registry.hpp>

#include <genever/otp/gen_server.hpp>
#include <genever/otp/supervisor.hpp>

namespace genever::detail {

namespace {

class registry_keeper : public gen_server<registry_keeper> {
public:
    registry_keeper(std::shared_ptr<registry_base> table, std::size_t partition) noexcept
        : table_(std::move(table)), partition_(partition) {}
    // However it ends: nobody would forget the entries any more.
    ~registry_keeper() {
        if (open_) table_->close(partition_);
    }

    void init() {
        trap_exit(true);
        table_->open(partition_, self());
        open_ = true;
    }
    void handle(const exit_signal& s) { table_->forget(partition_, s.from); }

private:
    std::shared_ptr<registry_base> table_;
    std::size_t partition_;
    bool open_ = false;
};

} // namespace

registry_base::registry_base(std::string name, registry_options o)
    : name_(std::move(name)), keepers_(o.partitions) {
    if (o.partitions == 0) throw std::invalid_argument("genever: a registry has at least one partition");
}

registry_base::~registry_base() = default;

void registry_base::open(std::size_t partition, pid keeper) {
    clear(partition); // what was registered while no keeper ran
    // release: pairs with the acquire of keeper_of
    keepers_[partition].store(keeper.to_u64(), std::memory_order_release);
}

void registry_base::close(std::size_t partition) noexcept {
    keepers_[partition].store(0, std::memory_order_release); // as above
    clear(partition);
}

pid registry_base::keeper_if_any(pid owner) const noexcept {
    // acquire: pairs with the release of open
    return pid::from_u64(keepers_[partition_of(owner)].load(std::memory_order_acquire));
}

pid registry_base::keeper_of(pid owner) const {
    if (const pid keeper = keeper_if_any(owner)) return keeper;
    throw_not_running();
}

void registry_base::throw_not_running() const {
    throw std::runtime_error("genever: the registry " + name_ + " does not run");
}

// One crash concerns all: no process may have lost only some of its keys.
task<start_result> start_registry(std::shared_ptr<registry_base> table) {
    std::vector<child_spec> keepers;
    for (std::size_t i = 0; i < table->partitions(); ++i)
        keepers.push_back(child<registry_keeper>(table->name() + '#' + std::to_string(i), table, i));
    return start_link(supervisor{strategy::one_for_all, std::move(keepers)}, table->name());
}

} // namespace genever::detail
