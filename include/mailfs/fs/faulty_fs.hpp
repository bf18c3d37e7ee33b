// SPDX-License-Identifier: BSL-1.0
// Goes wrong on demand: a chosen call fails, is torn or kills the process; the disk fills up; the power is cut.
//
//     faulty_fs<> fs;                                 // over a memory_fs
//     fs.faults().stop_at(n);                         // for n = 1, 2, ... until the run ends without being stopped
//     memory_fs found = fs.after(power_cut::any, seed);
//
// Threads: as the filesystem below. What two threads do at once may be told apart wrongly by after().
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/detail/path.hpp>
#include <mailfs/fs/detail/watch_of.hpp>
#include <mailfs/fs/fault_control.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/fs/power_cut.hpp>
#include <mailfs/fwd.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace mailfs {

namespace detail {
/// Stands in for power_model where the filesystem below is no memory_fs: nothing is followed, and there is no after().
struct no_power_model {
    using node_ptr = std::nullptr_t;
    template <class Fs>
    explicit no_power_model(Fs const&) {}
};
}  // namespace detail

template <filesystem Fs>
class faulty_fs : public detail::watch_of<Fs> {
    static constexpr bool follows = std::same_as<Fs, memory_fs>;
    using model = std::conditional_t<follows, detail::power_model, detail::no_power_model>;
    using node_ptr = typename model::node_ptr;
    using verdict = fault_control::verdict;

    struct state {
        explicit state(std::shared_ptr<model> disk) : power(std::move(disk)) {}
        fault_control faults;
        std::shared_ptr<model> power;
    };

    static void raise(verdict const& v, std::string_view path, std::uint64_t offset = error::no_offset) {
        if (v.why) throw error(*v.why, path, offset, "injected fault");
    }

public:
    static constexpr fs_traits traits = Fs::traits;

    class file {
    public:
        using mapping = typename Fs::file::mapping;

        asio::awaitable<std::uint64_t> append(bytes_view bytes) {
            auto const v = state_->faults.next(fs_verb::append, bytes.size());
            auto const reached = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(v.reach, bytes.size())));
            if (v.why && reached.empty()) raise(v, path_);
            auto const offset = co_await inner_.append(reached);
            if constexpr (follows) state_->power->append(*node_, offset, reached);
            raise(v, path_, offset);
            co_return offset;
        }
        asio::awaitable<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) {
            auto const v = state_->faults.next(fs_verb::read);
            raise(v, path_, offset);
            auto const most = static_cast<std::size_t>(std::min<std::uint64_t>(v.found, buffer.size()));
            co_return co_await inner_.read(offset, buffer.first(most));
        }
        asio::awaitable<std::uint64_t> size() {
            raise(state_->faults.next(fs_verb::size), path_);
            co_return co_await inner_.size();
        }
        /// Once it has failed it fails for ever, as posix_fs' does.
        asio::awaitable<void> sync() {
            auto const v = state_->faults.next(fs_verb::sync);
            if (sync_failure_) throw error(*sync_failure_, path_, "an earlier sync failed");
            if (v.why) sync_failure_ = v.why;
            if (!v.done) raise(v, path_);
            co_await inner_.sync();
            if constexpr (follows) state_->power->sync(node_, path_);
            raise(v, path_);
        }
        asio::awaitable<mapping> map() {
            raise(state_->faults.next(fs_verb::map), path_);
            co_return co_await inner_.map();
        }

    private:
        friend class faulty_fs;
        file(std::shared_ptr<state> s, typename Fs::file inner, node_ptr node, std::string_view path)
            : state_(std::move(s)), inner_(std::move(inner)), node_(std::move(node)), path_(path) {}

        std::shared_ptr<state> state_;
        typename Fs::file inner_;
        node_ptr node_;
        std::string path_;
        std::optional<errc> sync_failure_;
    };

    /// Copies share their faults. What `inner` holds counts as durable; who writes to it directly is not followed.
    explicit faulty_fs(Fs inner = Fs())
        : inner_(std::move(inner)), state_(std::make_shared<state>(std::make_shared<model>(inner_))) {}

    /// The same disk under another process: with faults of its own, so that one may be stopped and the other go on.
    faulty_fs another_process() const { return faulty_fs(inner_, std::make_shared<state>(state_->power)); }

    fault_control& faults() const noexcept { return state_->faults; }
    /// The files as another process sees them, also after stop_at().
    Fs const& inner() const noexcept { return inner_; }

    /// What is found on disk when the power is cut now. Changes nothing; follows from the calls so far, `how` and the seed.
    memory_fs after(power_cut how, std::uint64_t seed) const
        requires follows
    {
        return state_->power->after(how, seed);
    }

    asio::awaitable<std::optional<file>> open(std::string_view path) {
        raise(state_->faults.next(fs_verb::open), path);
        auto inner = co_await inner_.open(path);
        if (!inner) co_return std::nullopt;
        node_ptr node{};
        if constexpr (follows) {
            node = state_->power->find(path);
            if (!node) node = std::make_shared<detail::power_model::node>();  // removed by another thread meanwhile
        }
        co_return file(state_, std::move(*inner), std::move(node), path);
    }

    asio::awaitable<bool> create(std::string_view path, bytes_view bytes, durability d) {
        auto const v = state_->faults.next(fs_verb::create, bytes.size(), true);
        if (v.why && !v.done) raise(v, path);
        bool const made = co_await inner_.create(path, bytes, d);
        if constexpr (follows) {
            bool const stored = d == durability::stored;  // the bytes go first, the directory last: a kill may come between
            if (made) state_->power->create(path, bytes, stored);
            if (stored && !state_->faults.stopped()) state_->power->sync_directory(detail::parent_of(path));
        }
        raise(v, path);
        co_return made;
    }

    /// Fails, and is cut, as a create.
    asio::awaitable<bool> link(std::string_view from, std::string_view to, durability d)
        requires linking_filesystem<Fs>
    {
        auto const v = state_->faults.next(fs_verb::create, 0, true);
        if (v.why && !v.done) raise(v, to);
        bool const made = co_await inner_.link(from, to, d);
        if constexpr (follows) {
            bool const stored = d == durability::stored;
            if (made) state_->power->link(from, to);
            if (stored && !state_->faults.stopped()) state_->power->sync_directory(detail::parent_of(to));
        }
        raise(v, to);
        co_return made;
    }

    asio::awaitable<std::vector<std::string>> list(std::string_view path) {
        raise(state_->faults.next(fs_verb::list), path);
        co_return co_await inner_.list(path);
    }

    asio::awaitable<bool> remove(std::string_view path) {
        auto const v = state_->faults.next(fs_verb::remove);
        if (v.why && !v.done) raise(v, path);
        bool const removed = co_await inner_.remove(path);
        if constexpr (follows)
            if (removed) state_->power->remove(path);
        raise(v, path);
        co_return removed;
    }

    template <watchable_filesystem F = Fs>
    asio::awaitable<typename F::watch> watch_directory(std::string_view path) {
        raise(state_->faults.next(fs_verb::watch), path);
        co_return co_await inner_.watch_directory(path);
    }

private:
    faulty_fs(Fs inner, std::shared_ptr<state> s) : inner_(std::move(inner)), state_(std::move(s)) {}

    Fs inner_;
    std::shared_ptr<state> state_;
};

}  // namespace mailfs
