// SPDX-License-Identifier: BSL-1.0
// A whole log file, hostile seals, scars, restarts and bases included, replayed onto both state machines.
#include "checksums.hpp"
#include "fuzz.hpp"

#include <mailfs/log/detail/log_file.hpp>
#include <mailfs/log/log_replay.hpp>

#include <optional>

namespace mailfs::fuzz {

namespace {

struct replayed {
    replay_halt halt = replay_halt::end;
    std::uint64_t lost = 0;
    std::uint64_t position = 0;
};

// As lockless_log reads a file, first up to `cut`, then all of it.
template <class State>
replayed replay(State& state, bytes_view file, std::size_t cut, guid const& boot, std::optional<std::uint64_t> seal) {
    auto const h = format::load<format::log_header>(file);
    auto const seed = format::record_seed(h.nonce);
    replayed result;
    for (int attempts = 0;; ++attempts) {
        require(attempts < 3, "a restart voids what was read anew");
        state.reset(format::get_guid(h.object));
        mailfs::detail::enter_log(state, h);
        log_replay<State> r(state, seed, boot, sizeof h);
        if (seal) r.ends_at(*seal);
        bool again = false;
        for (auto const end : {attempts == 0 ? cut : file.size(), file.size()}) {
            std::uint64_t steps = 0;
            while (r.position() < end) {
                require(++steps < 2 + file.size(), "replay does not go on");
                auto const before = r.position();
                result.halt = r.feed(file.subspan(before, end - before));
                require(r.position() >= before && r.position() <= std::max<std::uint64_t>(end, seal.value_or(0)), "replay left the file");
                if (result.halt != replay_halt::id_limit) break;
                r.durable(state.next_id());
                r.covered(end);
            }
            again = again || result.halt == replay_halt::voided;
            if (!r.open_damage().empty() && result.halt == replay_halt::end && attempts == 0 && end == file.size()) r.scarred();
        }
        result.lost = r.bytes_lost();
        result.position = r.position();
        if (!again) return result;
    }
}

template <class State>
void scan(bytes_view file, std::size_t cut, guid const& boot, std::optional<std::uint64_t> seal) {
    State at_once;
    try {
        auto const all = replay(at_once, file, file.size(), boot, seal);
        auto const dump = check_snapshot(at_once);
        if constexpr (std::is_same_v<State, mailbox_state>) use(at_once, true);
        State in_two;
        auto const pieces = replay(in_two, file, cut, boot, seal);
        // What was damaged may have been read before it was; who comes later must then be told by bases.
        if (all.lost > 0 || pieces.lost > 0 || all.halt == replay_halt::doubt || pieces.halt == replay_halt::doubt) return;
        if (all.halt == replay_halt::newer || pieces.halt == replay_halt::newer) return;
        require(in_two.dump() == dump, "who reads in two steps comes to another state");
    } catch (error const& e) {
        require(e.code() == errc::newer_version, std::string("replay failed: ") + e.what());
    }
}

// As whoever opens the file finds it.
bool is_log(bytes_view file) {
    auto const h = format::load<format::log_header>(file);
    try {
        check_log_header(h, file.size(), h.number, "log");
        return true;
    } catch (error const& e) {
        check_error(e);
        return false;
    }
}

}  // namespace

void log_scan(bytes_view bytes) {
    input in(bytes);
    auto const mode = in.octet();
    auto const boot = guid::from_words(0, in.octet() % 4U);
    auto const cut = in.word();
    auto const seal = in.word();
    auto file = copy_of(in.rest());
    if (file.size() < sizeof(format::log_header)) return;
    if (mode % 2 == 1) fix_log(file);
    if (!is_log(file)) return;
    auto const ends = (mode & 4) != 0 ? std::optional<std::uint64_t>(std::max<std::uint64_t>(seal, sizeof(format::log_header))) : std::nullopt;
    auto const where = sizeof(format::log_header) + cut % (file.size() - sizeof(format::log_header) + 1);
    if ((mode & 2) != 0) scan<tree_state>(file, where, boot, ends);
    else scan<mailbox_state>(file, where, boot, ends);
}

}  // namespace mailfs::fuzz
