// SPDX-License-Identifier: BSL-1.0
// A machine of a simulated cluster: a disk, clocks, and one process after another, each with one life of a node in it.
#pragma once

#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/power_cut.hpp>
#include <mailfs/host/sim_host.hpp>
#include <mailfs/replication/arbiter.hpp>
#include <mailfs/replication/member_options.hpp>
#include <mailfs/transport/sim_network.hpp>
#include <mailfs/transport/sim_process.hpp>
#include <mailfs/types/guid.hpp>

#include "schedule.hpp"
#include "sim_fs.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace mailfs::sim {

/// What a node is made of, for one life.
struct node_parts {
    sim_network* network = nullptr;
    std::shared_ptr<sim_process> process{};
    sim_host host;
    sim_fs fs;
    std::uint32_t number = 1;  ///< 1 and up
    std::uint32_t nodes = 1;   ///< of the cluster
    std::size_t copies_in_memory = 2, copies_on_disk = 2;
    tuning tuned{};
    shared_store arbiter{};    ///< where there is a store that all reach
    std::uint32_t unflushed_node_max = 256U << 20;
    std::uint16_t version_min = 1, version_max = 1;
    disk_history disk = disk_history::whole;
    std::function<bool()> may_create{};  ///< whether this one makes the mailbox, which is nowhere yet
};

inline guid const mailbox_id = guid::from_words(0x6d61'696c, 0x626f'78);

template <class Node>
class machine {
public:
    /// `store`: none: the machine has a disk of its own.
    machine(sim_network& network, std::uint32_t number, sim_clock clock, std::shared_ptr<sim_store> const& store = {})
        : network_(network), number_(number), host_(network.world(), std::move(clock), number), disk_(store ? store->files() : memory_fs()),
          way_(store ? std::make_shared<store_way>(store_way{.store = store}) : nullptr), pace(std::make_shared<disk_pace>(network.world().stream(0x6469'736b, number))) {}
    machine(machine const&) = delete;
    machine& operator=(machine const&) = delete;
    ~machine() { crash(); }

    std::uint32_t number() const noexcept { return number_; }
    Node* node() const noexcept { return node_.get(); }
    bool is_up() const noexcept { return process_ != nullptr && process_->alive(); }
    /// There is a state that clients may be shown.
    bool shows() const { return is_up() && node_->shows(); }
    std::uint64_t lives() const noexcept { return lives_; }
    sim_process& process() noexcept { return *process_; }
    sim_clock const& clock() const noexcept { return host_.clock(); }
    fault_control& faults() noexcept { return fs_->faults(); }
    /// The disk as its processes see it.
    memory_fs files() const { return disk_.inner(); }
    /// What the disk would have if the power were cut now.
    memory_fs stable_files() const { return disk_.after(power_cut::lose_all, 0); }
    /// None: it has a disk of its own.
    store_way* way() const noexcept { return way_.get(); }

    /// `parts` says all but the machine's own. `ended`: it died, of itself too.
    void start(node_parts parts_of_all, std::function<void()> ended) {
        process_ = sim_process::start(network_.world(), number_);
        process_->at_death(std::move(ended));
        disk_ = disk_.another_process();
        fs_ = std::make_unique<sim_fs>(process_, pace, disk_, way_);
        parts_of_all.network = &network_;
        parts_of_all.process = process_;
        parts_of_all.host = host_;
        parts_of_all.fs = *fs_;
        parts_of_all.number = number_;
        node_ = std::make_unique<Node>(std::move(parts_of_all));
        process_->spawn(node_->run());
        ++lives_;
    }
    /// The process ends. Nobody may hold a view on its state.
    void crash() {
        if (!process_) return;
        disk_.faults().stop();
        process_->kill();
        node_.reset();
        fs_.reset();
        process_.reset();
    }
    /// All that is on its disk, as a process that reads it now finds it.
    memory_fs backup() const { return disk_.after(power_cut::keep_all, 0); }
    /// In the place of the one it had; no process runs.
    void put_disk(memory_fs const& found) { disk_ = faulty_fs<>(found); }
    /// The machine goes down.
    void cut_power(power_cut how, std::uint64_t seed) {
        network_.vanish(number_);
        auto found = disk_.after(how, seed);
        crash();
        disk_ = way_ ? faulty_fs<>(way_->store->files()) : faulty_fs<>(std::move(found));
        host_.boot_again();
    }

private:
    sim_network& network_;
    std::uint32_t number_;
    sim_host host_;
    faulty_fs<> disk_;
    std::shared_ptr<store_way> way_;

public:
    std::shared_ptr<disk_pace> pace;

private:
    std::shared_ptr<sim_process> process_;
    std::unique_ptr<sim_fs> fs_;
    std::unique_ptr<Node> node_;
    std::uint64_t lives_ = 0;
};

}  // namespace mailfs::sim
