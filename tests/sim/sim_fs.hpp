// SPDX-License-Identifier: BSL-1.0
// The disk of a simulated machine, or the store that all reach, as one of its processes sees it: calls take simulated time, and
// may be its last.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/transport/sim_process.hpp>
#include <mailfs/transport/sim_world.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs::sim {

/// How long the calls of one disk take; changed while it runs.
struct disk_pace {
    explicit disk_pace(mailfs::detail::seeded_random c) : chance(c) {}
    sim_time append_max = 20, sync_min = 20, sync_max = 400;  ///< microseconds
    mailfs::detail::seeded_random chance;

    sim_time append_time() { return chance.up_to(append_max); }
    sim_time sync_time() { return sync_min + chance.up_to(sync_max - sync_min); }
};

/// The store that all machines reach: the files, and what lists show of them.
class sim_store {
public:
    explicit sim_store(sim_world& w) : world_(w) {}

    sim_world& world() const noexcept { return world_; }
    memory_fs const& files() const noexcept { return files_; }
    sim_time lag = 0;  ///< lists show what was there so long ago

    /// After each call that may have changed something.
    void note() {
        auto now = files_.paths();
        if (!past_.empty() && past_.back().second == now) return;
        past_.emplace_back(world_.now(), std::move(now));
    }
    /// What lists show, which may have gone.
    std::vector<std::string> listed(std::string const& directory) const {
        auto const then = world_.now() < lag ? 0 : world_.now() - lag;
        auto it = past_.rbegin();
        while (it != past_.rend() && it->first > then) ++it;
        std::vector<std::string> names;
        if (it == past_.rend()) return names;
        for (auto const& p : it->second)
            if (p.starts_with(directory + "/")) names.push_back(p.substr(directory.size() + 1));
        return names;
    }
    /// A create() that takes effect so long after its caller gave up.
    void create_later(sim_time time, std::string path, std::vector<std::byte> bytes) {
        world_.after(time, [this, path = std::move(path), bytes = std::move(bytes)] {
            auto const all = files_.paths();
            if (std::binary_search(all.begin(), all.end(), path)) return;
            files_.put(path, bytes);
            note();
        });
    }

private:
    sim_world& world_;
    memory_fs files_;
    std::vector<std::pair<sim_time, std::vector<std::string>>> past_;
};

/// One machine's way to the store.
struct store_way {
    std::shared_ptr<sim_store> store;
    bool is_cut = false;
    std::uint32_t late = 0;  ///< so many create()s to come take effect later, or never,
    sim_time late_max = 0;   ///< within this time
    sim_time answer_time = 100'000;  ///< until a call that gets no answer is given up
};

class sim_fs {
    using disk_file = faulty_fs<>::file;

    struct state {
        std::shared_ptr<sim_process> process;
        std::shared_ptr<disk_pace> pace;
        faulty_fs<> disk;
        std::shared_ptr<store_way> way{};  // to a store; none: it is the machine's own disk

        // A call that does not get through.
        asio::awaitable<void> reach(std::string path) {
            if (!way) co_return;
            co_await take(pace->append_time());
            if (!way->is_cut) co_return;
            co_await take(way->answer_time);
            throw error(errc::io, path, "the store does not answer");
        }
        asio::awaitable<void> take(sim_time time) {
            if (time > 0) co_await process->sleep(time);
        }
        // The call in which the process ends does not return.
        asio::awaitable<void> end_here() {
            process->kill();
            co_await process->park(process->ticket());
        }
        bool ends() const { return disk.faults().stopped(); }
    };

    // g++ 12 wants no co_await in a handler.
    template <class T, class Call>
    static asio::awaitable<T> call(std::shared_ptr<state> s, Call work) {
        std::optional<T> result;
        std::exception_ptr failure;
        try {
            result.emplace(co_await work());
        } catch (...) {
            failure = std::current_exception();
        }
        if (s->way) s->way->store->note();
        if (s->ends()) co_await s->end_here();
        if (failure) std::rethrow_exception(failure);
        co_return std::move(*result);
    }

public:
    static constexpr fs_traits traits = memory_fs::traits;

    sim_fs(std::shared_ptr<sim_process> process, std::shared_ptr<disk_pace> pace, faulty_fs<> disk, std::shared_ptr<store_way> way = {})
        : state_(std::make_shared<state>(state{std::move(process), std::move(pace), std::move(disk), std::move(way)})) {}

    fault_control& faults() const noexcept { return state_->disk.faults(); }

    class file {
    public:
        using mapping = disk_file::mapping;

        asio::awaitable<std::uint64_t> append(bytes_view bytes) {
            co_await state_->take(state_->pace->append_time());
            auto work = [this, bytes] { return inner_.append(bytes); };
            co_return co_await call<std::uint64_t>(state_, work);
        }
        asio::awaitable<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) {
            auto work = [this, offset, buffer] { return inner_.read(offset, buffer); };
            co_return co_await call<std::size_t>(state_, work);
        }
        asio::awaitable<std::uint64_t> size() {
            auto work = [this] { return inner_.size(); };
            co_return co_await call<std::uint64_t>(state_, work);
        }
        asio::awaitable<void> sync() {
            co_await state_->take(state_->pace->sync_time());
            std::exception_ptr failure;
            try {
                co_await inner_.sync();
            } catch (...) {
                failure = std::current_exception();
            }
            if (state_->ends()) co_await state_->end_here();
            if (failure) std::rethrow_exception(failure);
        }
        asio::awaitable<mapping> map() {
            auto work = [this] { return inner_.map(); };
            co_return co_await call<mapping>(state_, work);
        }

    private:
        friend class sim_fs;
        file(std::shared_ptr<state> s, disk_file inner) : state_(std::move(s)), inner_(std::move(inner)) {}

        std::shared_ptr<state> state_;
        disk_file inner_;
    };

    asio::awaitable<std::optional<file>> open(std::string_view path) {
        if (state_->way) co_await state_->reach(std::string(path));
        auto work = [this, path] { return state_->disk.open(path); };
        auto inner = co_await call<std::optional<disk_file>>(state_, work);
        if (!inner) co_return std::nullopt;
        co_return file(state_, std::move(*inner));
    }
    asio::awaitable<bool> create(std::string_view path, bytes_view bytes, durability d) {
        co_await state_->take(d == durability::stored ? state_->pace->sync_time() : state_->pace->append_time());
        if (state_->way) {
            co_await state_->reach(std::string(path));
            auto& way = *state_->way;
            if (way.late > 0) {
                --way.late;
                auto const when = state_->pace->chance.up_to(way.late_max);
                if (when % 4 != 0) way.store->create_later(when, std::string(path), {bytes.begin(), bytes.end()});
                co_await state_->take(std::min(when, way.answer_time));
                throw error(errc::may_have_happened, path, "the store's answer was lost");
            }
        }
        auto work = [this, path, bytes, d] { return state_->disk.create(path, bytes, d); };
        co_return co_await call<bool>(state_, work);
    }
    asio::awaitable<std::vector<std::string>> list(std::string_view path) {
        if (state_->way) co_await state_->reach(std::string(path));
        auto work = [this, path] { return state_->disk.list(path); };
        auto found = co_await call<std::vector<std::string>>(state_, work);
        if (state_->way && state_->way->store->lag > 0) found = state_->way->store->listed(std::string(path));
        co_return found;
    }
    asio::awaitable<bool> remove(std::string_view path) {
        if (state_->way) co_await state_->reach(std::string(path));
        auto work = [this, path] { return state_->disk.remove(path); };
        co_return co_await call<bool>(state_, work);
    }

private:
    std::shared_ptr<state> state_;
};
static_assert(filesystem<sim_fs>);

}  // namespace mailfs::sim
