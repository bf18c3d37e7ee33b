// SPDX-License-Identifier: BSL-1.0
// Processes of one machine, interleaved call by call: each call on a filesystem waits until a test lets it happen.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/error.hpp>
#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/filesystem.hpp>

#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/use_awaitable.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs::test {

using random_source = std::mt19937_64;
inline std::uint64_t up_to(random_source& random, std::uint64_t most) { return random() % (most + 1); }
inline bool one_in(random_source& random, std::uint64_t n) { return random() % n == 0; }

/// Tells what a schedule does, when MAILFS_LOG_MODEL_TRACE is set.
template <class... Parts>
void trace(Parts const&... parts) {
    static bool const wanted = std::getenv("MAILFS_LOG_MODEL_TRACE") != nullptr;
    if (!wanted) return;
    (std::cerr << ... << parts) << '\n';
}

/// One disk with the processes that use it. All that is left to chance comes from one seed.
struct interleaved_machine {
    faulty_fs<> disk;
    random_source random;
    struct landing {
        std::uint64_t begin, end;
    };
    std::map<std::string, landing> landing_appends;  // the last append to a file, while its caller has no answer yet
    std::set<std::string> landing_names;             // made, and not yet known to be durable
    std::uint64_t failing_appends = 0;               // one in so many; 0: none

    /// What is on disk after a power cut. Calls under way happened or not.
    memory_fs cut_power() {
        auto found = disk.after(power_cut::any, random());
        auto names = found.paths();
        memory_fs kept;
        for (auto const& name : names)
            if (!landing_names.contains(name) || one_in(random, 2)) kept.put(name, found.bytes_of(name));
        landing_names.clear();
        landing_appends.clear();
        return kept;
    }
};

/// A process: it waits in each call, and between its operations, until go() or kill().
class interleaved_process {
public:
    interleaved_process(std::shared_ptr<interleaved_machine> m, std::uint64_t n) : machine(std::move(m)), name(n) {}

    std::shared_ptr<interleaved_machine> machine;
    std::uint64_t name;
    bool appends_may_fail = false;

    bool waits() const noexcept { return !parked_.empty(); }
    bool dead() const noexcept { return dead_; }
    /// One of the calls under way happens; returns when the process waits again or is done.
    void go() {
        auto const which = parked_.begin() + (parked_.size() < 2 ? 0 : static_cast<std::ptrdiff_t>(up_to(machine->random, parked_.size() - 1)));
        auto const resume = std::move(*which);
        parked_.erase(which);
        resume();
    }
    /// Calls under way throw, having happened, in part, or not at all; so does any later one, and does nothing.
    void kill() {
        dead_ = true;
        while (waits()) go();
    }

    /// True: the process was killed here.
    asio::awaitable<bool> wait() {
        if (dead_) co_return true;
        auto park = [this](auto handler) {
            auto shared = std::make_shared<decltype(handler)>(std::move(handler));
            parked_.push_back([shared] { (*shared)(); });
        };
        co_await asio::async_initiate<asio::use_awaitable_t<> const, void()>(park, asio::use_awaitable);
        co_return dead_;
    }

private:
    std::deque<std::function<void()>> parked_;
    bool dead_ = false;
};

class interleaved_fs {
public:
    static constexpr fs_traits traits = memory_fs::traits;

    explicit interleaved_fs(std::shared_ptr<interleaved_process> p) : process_(std::move(p)) {}

    class file {
    public:
        using mapping = faulty_fs<>::file::mapping;

        asio::awaitable<std::uint64_t> append(bytes_view bytes) {
            auto& m = *process_->machine;
            bool killed = process_->dead();
            if (killed) stop();
            killed = co_await process_->wait();
            bool const fails = process_->appends_may_fail && m.failing_appends != 0 && one_in(m.random, m.failing_appends);
            auto reached = bytes.size();
            if (killed || fails)
                reached = one_in(m.random, 3) ? bytes.size() : static_cast<std::size_t>(up_to(m.random, bytes.size()));
            std::uint64_t at = 0;
            if (reached > 0) at = co_await inner_.append(bytes.first(reached));
            trace(process_->name, " append ", path_, " at ", at, " ", reached, " of ", bytes.size(), " kind ",
                  int(bytes[16]),
                  killed  ? " killed"
                  : fails ? " fails"
                          : "");
            if (killed) stop();
            if (fails) throw error(errc::no_space, path_, at, "injected fault");
            m.landing_appends[path_] = {at, at + reached};
            killed = co_await process_->wait();
            m.landing_appends.erase(path_);
            if (killed) stop();
            co_return at;
        }
        asio::awaitable<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) {
            bool const killed = process_->dead() || co_await process_->wait();
            if (killed) stop();
            auto const got = co_await inner_.read(offset, buffer);
            co_return co_await without_landing(offset, got);
        }
        asio::awaitable<std::uint64_t> size() {
            bool const killed = process_->dead() || co_await process_->wait();
            if (killed) stop();
            co_return co_await inner_.size();
        }
        asio::awaitable<void> sync() {
            bool killed = process_->dead() || co_await process_->wait();
            if (killed) stop();
            co_await inner_.sync();
            trace(process_->name, " sync ", path_);
            process_->machine->landing_names.erase(path_);
            killed = co_await process_->wait();
            if (killed) stop();
        }
        asio::awaitable<mapping> map() {
            bool const killed = process_->dead() || co_await process_->wait();
            if (killed) stop();
            co_return co_await inner_.map();
        }

    private:
        friend class interleaved_fs;
        file(std::shared_ptr<interleaved_process> p, faulty_fs<>::file inner, std::string_view path)
            : process_(std::move(p)), inner_(std::move(inner)), path_(path) {}

        // Of an append that is the last and still under way a reader may see the head.
        asio::awaitable<std::size_t> without_landing(std::uint64_t offset, std::size_t got) {
            auto& m = *process_->machine;
            auto const at = m.landing_appends.find(path_);
            auto const end = co_await inner_.size();
            if (at == m.landing_appends.end() || at->second.end != end || offset + got != end) co_return got;
            auto const seen = one_in(m.random, 2) ? end : at->second.begin + up_to(m.random, end - at->second.begin);
            at->second.begin = seen;  // what one has seen all see
            co_return seen > offset ? static_cast<std::size_t>(seen - offset) : 0;
        }
        [[noreturn]] void stop() const { throw error(errc::closed, path_, "killed"); }

        std::shared_ptr<interleaved_process> process_;
        faulty_fs<>::file inner_;
        std::string path_;
    };

    asio::awaitable<std::optional<file>> open(std::string_view path) {
        bool const killed = process_->dead() || co_await process_->wait();
        if (killed) stop(path);
        auto inner = co_await process_->machine->disk.open(path);
        if (!inner) co_return std::nullopt;
        co_return file(process_, std::move(*inner), path);
    }
    asio::awaitable<bool> create(std::string_view path, bytes_view bytes, durability d) {
        auto& m = *process_->machine;
        if (process_->dead()) stop(path);
        bool killed = co_await process_->wait();
        if (killed && one_in(m.random, 2)) stop(path);
        bool const made = co_await m.disk.create(path, bytes, d);
        trace(process_->name, " create ", path, made ? " made" : " was there");
        if (made) m.landing_names.emplace(path);
        if (killed) stop(path);
        killed = co_await process_->wait();
        if (killed) stop(path);
        m.landing_names.clear();
        co_return made;
    }
    asio::awaitable<std::vector<std::string>> list(std::string_view path) {
        bool const killed = process_->dead() || co_await process_->wait();
        if (killed) stop(path);
        co_return co_await process_->machine->disk.list(path);
    }
    asio::awaitable<bool> remove(std::string_view path) {
        bool const killed = process_->dead() || co_await process_->wait();
        if (killed) stop(path);
        trace(process_->name, " remove ", path);
        process_->machine->landing_names.erase(std::string(path));
        co_return co_await process_->machine->disk.remove(path);
    }

private:
    [[noreturn]] static void stop(std::string_view path) { throw error(errc::closed, path, "killed"); }

    std::shared_ptr<interleaved_process> process_;
};
static_assert(filesystem<interleaved_fs>);

}  // namespace mailfs::test
