// SPDX-License-Identifier: BSL-1.0
// standalone: one machine; the filesystem's atomic appends order the transactions of all its processes.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/fs/change_watch.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/host/host.hpp>
#include <mailfs/host/system_host.hpp>
#include <mailfs/log/change_log.hpp>
#include <mailfs/log/log_options.hpp>
#include <mailfs/types/durability.hpp>
#include <mailfs/types/stamp.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

namespace mailfs {

template <host Host>
class basic_standalone {
public:
    using host_type = Host;

    basic_standalone() = default;
    explicit basic_standalone(Host h) : host_(std::move(h)) {}

    template <class Log, filesystem Fs, state_machine M>
    class on;

    Host const& host() const noexcept { return host_; }

private:
    Host host_;
};

/// A journal. Belongs to one executor; calls may overlap.
template <host Host>
template <class Log, filesystem Fs, state_machine M>
class basic_standalone<Host>::on {
    static_assert(Fs::traits.appends_ordered >= Fs::traits.reach,
                  "mailfs: standalone lets the filesystem order the appends of all writers, but this filesystem orders them only "
                  "among fewer writers than can reach it, so mail would be lost: use multimaster<> with it, or posix_fs on a "
                  "local disk");
    static_assert(Fs::traits.reads_coherent,
                  "mailfs: standalone needs reads that see every acknowledged append, and this filesystem may answer from a stale "
                  "cache: use multimaster<> with it, or posix_fs on a local disk");
    static_assert(change_log<Log, Fs, Host, M>, "mailfs: the log policy does not model change_log on this filesystem and host");

public:
    using log_type = typename Log::template on<Fs, Host, M>;
    using outcome_type = typename M::outcome;

    static constexpr int incarnations_max = 4;  ///< tries with a new identity, each after an improbable clash

    on(Fs fs, std::string directory, basic_standalone const& policy, log_options options = {})
        : log_(std::move(fs), policy.host(), std::move(directory), options) {
        become_new();
    }

    asio::awaitable<bool> create(guid object, bytes_view first) {
        auto const id = next_dot();
        auto const when = stamp{}.next(log_.host().now_ms());
        return log_.create(object, id, when, first);
    }
    asio::awaitable<bool> open() { return log_.open(); }
    asio::awaitable<bool> catch_up() { return log_.catch_up(); }
    /// No call where this process knows it already.
    asio::awaitable<void> sync() { return log_.sync(); }
    M const& state() const noexcept { return log_.machine(); }
    M& machine() noexcept { return log_.machine(); }
    change_watch<Fs> watch() const { return change_watch<Fs>(log_.fs(), log_.directory()); }

    asio::awaitable<outcome_type> propose(bytes_view operations, durability wanted) {
        for (int tries = 0;; ++tries) {
            auto const id = next_dot();
            auto const when = log_.machine().stream().latest.next(log_.host().now_ms());
            auto done = log_.append_at_once(id, when, operations);
            if (!done) done = co_await log_.append(id, when, operations);
            if (done->verdict == admission::fresh) {
                if (wanted == durability::stored) co_await make_stored();
                co_return std::move(done->outcome);
            }
            // Our counters only grow, so this identity is another's too, or it was forgotten for its long silence.
            if (tries == incarnations_max) throw error(errc::busy, log_.directory(), "no identity of this writer was accepted");
            become_new();
        }
    }

    log_type& log() noexcept { return log_; }
    log_type const& log() const noexcept { return log_; }

private:
    asio::awaitable<void> make_stored() {
        try {
            co_await log_.sync();
        } catch (error const& e) {
            throw error(errc::may_have_happened, log_.directory(), std::string("it took effect, and may not last: ") + e.what());
        }
    }

    dot next_dot() noexcept { return {origin_, ++counter_}; }
    // Younger than all that the log has forgotten of this node, though the clock may have gone back since.
    void become_new() {
        auto const node = log_.host().node();
        auto born_ms = log_.host().now_ms();
        for (auto const& r : log_.machine().stream().retired)
            if (r.node == node) born_ms = std::max(born_ms, (r.incarnation >> 16) + 1);
        origin_ = {node, born_ms << 16 | (log_.host().random() & 0xffff)};
        counter_ = log_.host().random() >> 24;  // two writers with one incarnation then differ by their counters
    }

    log_type log_;
    origin origin_;
    std::uint64_t counter_ = 0;
};

}  // namespace mailfs
