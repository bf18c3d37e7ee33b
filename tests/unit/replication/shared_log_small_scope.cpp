// SPDX-License-Identifier: BSL-1.0
// Two masters, at most four log files, and every order in which they read, claim, flush, look around and crash, in which they or a
// third node read, cover what they read, even with an old view, and remove what is covered, or die between these, and in which
// creates fail, succeed and report an error, or land when nobody waits for them: over the real shared_log.
//
// R1: at most one node is ever the master of an epoch. R11: what was acknowledged is in the state that the store alone tells of,
// and what was refused is not.
#include <mailfs/replication/detail/shared_log.hpp>

#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/host/system_host.hpp>

#include "support/run.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <unordered_set>
#include <vector>

using namespace mailfs;
using mailfs::detail::mutant;
using mailfs::detail::shared_file;

namespace {

guid const object = guid::from_words(5, 5);
constexpr std::uint64_t files_max = 4;
int number_from(char const* variable, int otherwise) {
    auto const* const text = std::getenv(variable);
    return text == nullptr ? otherwise : std::atoi(text);
}
// What each order may hold. MAILFS_SCOPE_VIEWS: snapshots of the third node, which cost most.
std::uint64_t const transactions_max = static_cast<std::uint64_t>(number_from("MAILFS_SCOPE_TRANSACTIONS", 2));
int const crashes_max = number_from("MAILFS_SCOPE_CRASHES", 1);
int const views_max = number_from("MAILFS_SCOPE_VIEWS", 1);
constexpr int lates_max = 1;

/// A state machine that remembers which transactions took effect.
struct memory {
    struct outcome {
        position at;
    };
    void reset(guid) { *this = {}; }
    guid object() const { return ::object; }
    stream_state& stream() { return stream_; }
    stream_state const& stream() const { return stream_; }
    admission apply(format::record_view const& r, outcome*) { return apply_step(r, nullptr); }
    admission apply_step(format::record_view const& r, outcome*) {
        stream_.at = {r.header.base_offset, r.header.base_n};
        stream_.chain = stream_state::chain_after(stream_.chain, r);
        if (r.kind() == format::record_kind::transaction) taken.insert(r.header.counter);
        return admission::fresh;
    }
    std::uint32_t next_id() const { return 1; }
    static std::uint32_t next_id_after(std::uint32_t u, format::record_view const&) { return u; }
    void skip_ids(std::uint32_t) {}
    std::vector<std::byte> dump() const {
        std::vector<std::uint64_t> words{stream_.at.epoch, stream_.at.n, stream_.chain};
        words.insert(words.end(), taken.begin(), taken.end());
        auto const bytes = std::as_bytes(std::span(words));
        return {bytes.begin(), bytes.end()};
    }
    void load(std::span<std::byte> bytes, std::string_view) {
        std::vector<std::uint64_t> words(bytes.size() / 8);
        std::memcpy(words.data(), bytes.data(), words.size() * 8);
        *this = {};
        stream_.at = {static_cast<std::uint32_t>(words[0]), static_cast<std::uint32_t>(words[1])};
        stream_.chain = words[2];
        taken.insert(words.begin() + 3, words.end());
    }

    std::set<std::uint64_t> taken;

private:
    stream_state stream_;
};

/// Creates that were given up, and may still land.
struct late_create {
    std::string path;
    std::vector<std::byte> bytes;
};
enum class answer : std::uint8_t { right, late, lost };  // of the next create
struct files {
    memory_fs tree;
    std::vector<late_create> late;
    answer next = answer::right;
};
/// Of the world that is being looked at: so that a world can be copied with the logs in it.
files* here = nullptr;

struct late_fs {
    using file = memory_fs::file;
    static constexpr fs_traits traits = memory_fs::traits;
    asio::awaitable<std::optional<file>> open(std::string_view path) { return here->tree.open(path); }
    asio::awaitable<bool> create(std::string_view path, bytes_view bytes, durability d) {
        auto const how = std::exchange(here->next, answer::right);
        if (how == answer::late) here->late.push_back({std::string(path), {bytes.begin(), bytes.end()}});
        if (how == answer::late) throw error(errc::io, path, "later");
        bool const made = co_await here->tree.create(path, bytes, d);
        if (how == answer::lost) throw error(errc::io, path, "lost");
        co_return made;
    }
    asio::awaitable<std::vector<std::string>> list(std::string_view path) { return here->tree.list(path); }
    asio::awaitable<bool> remove(std::string_view path) { return here->tree.remove(path); }
};
static_assert(filesystem<late_fs>);

/// Nonces that differ, and nothing else.
struct still_host {
    std::uint32_t node() const { return 1; }
    std::uint64_t now_ms() const { return 1000; }
    std::uint64_t random() { return ++nonces; }
    guid boot() const { return {}; }
    static inline std::uint64_t nonces = 0;
};
still_host same_host;

std::uint64_t still_clock() { return 1000; }

using log_type = mailfs::detail::shared_log<late_fs, still_host, memory>;

asio::io_context& same_context() {
    static asio::io_context context(1);
    return context;
}
template <class T>
T now(asio::awaitable<T> work) {
    auto& context = same_context();
    std::optional<T> value;
    std::exception_ptr failure;
    asio::co_spawn(context, std::move(work), [&](std::exception_ptr thrown, T v) {
        failure = thrown;
        value.emplace(std::move(v));
    });
    context.restart();
    context.run();
    if (failure) std::rethrow_exception(failure);
    return std::move(*value);
}
void now(asio::awaitable<void> work) {
    auto& context = same_context();
    std::exception_ptr failure;
    asio::co_spawn(context, std::move(work), [&](std::exception_ptr thrown) { failure = thrown; });
    context.restart();
    context.run();
    if (failure) std::rethrow_exception(failure);
}

shared_store rules() {
    shared_store s;
    s.late_ms = 0;  // who covers waits until no create can be late: see cover
    return s;
}

enum class phase : std::uint8_t { idle, has_read, claim_unknown, has_won, master, flush_unknown };
struct node {
    phase is = phase::idle;
    log_type log{late_fs{}, same_host, "box", {}, rules(), still_clock};
    log_type::tail seen;   // numbers alone
    memory state;
    std::optional<shared_file> claim;
    std::uint32_t epoch = 0;
    std::uint64_t in_flight = 0;  // the transaction that is being stored
    int lives = 0;
};
// tail holds a mapping, which is not copied: this machine does not stand on it.
log_type::tail numbers_of(log_type::tail const& t) { return {t.number, {}, t.files, t.bytes, t.snapshot_size}; }

/// What a node that orders nothing has read, to make a snapshot of it, whenever.
struct old_view {
    std::uint64_t number = 0;
    std::vector<std::byte> dump;
};

struct world {
    files disk;
    std::array<node, 2> nodes;
    old_view third;
    std::map<std::uint32_t, int> owners;
    std::set<std::uint64_t> acknowledged, refused;
    std::uint64_t transactions = 0;
    int crashes = 0, lates = 0, views = 0;

    world() = default;
    world(world const& o) : disk{o.disk.tree.clone(), o.disk.late, answer::right}, third(o.third), owners(o.owners), acknowledged(o.acknowledged), refused(o.refused),
                            transactions(o.transactions), crashes(o.crashes), lates(o.lates), views(o.views) {
        for (std::size_t i = 0; i < 2; ++i) {
            auto const& n = o.nodes[i];
            auto& m = nodes[i];
            m.is = n.is;
            m.log = n.log;
            m.seen = numbers_of(n.seen);
            m.state = n.state;
            m.claim = n.claim;
            m.epoch = n.epoch;
            m.in_flight = n.in_flight;
            m.lives = n.lives;
        }
    }
};

enum class act : std::uint8_t { read, claim, look, flush, again, cover, crash, land, view, snapshot, purge, count };

class explorer {
public:
    explicit explorer(mutant m) : planted_(m) {}

    /// What goes wrong first; empty: nothing does.
    std::string explore(std::size_t depth_max) {
        mailfs::detail::planted() = {planted_, 0};
        std::string wrong;
        std::deque<std::pair<world, std::size_t>> open;
        world first;
        here = &first.disk;
        memory empty;
        now(first.nodes[0].log.create(object, empty));
        open.emplace_back(std::move(first), 0);
        while (!open.empty() && wrong.empty()) {
            auto const [w, depth] = std::move(open.front());
            open.pop_front();
            if (depth == depth_max) continue;
            for (int a = 0; a < int(act::count) && wrong.empty(); ++a)
                for (int who = 0; who < 2 && wrong.empty(); ++who)
                    for (auto how : {answer::right, answer::late, answer::lost}) {
                        world next(w);
                        here = &next.disk;
                        if (!take(next, act(a), who, how)) continue;
                        if (wrong_.empty() && !seen_.insert(key_of(next)).second) continue;
                        wrong = check(next);
                        if (!wrong.empty()) break;
                        open.emplace_back(std::move(next), depth + 1);
                    }
        }
        mailfs::detail::planted() = {};
        return wrong;
    }
    std::size_t states() const { return seen_.size(); }

private:
    // False: it cannot be done, or would change nothing.
    bool take(world& w, act what, int who, answer how) {
        auto& n = w.nodes[std::size_t(who)];
        bool const creates = what == act::claim || what == act::flush;
        if (how != answer::right && (!creates || w.lates == lates_max)) return false;
        if (how != answer::right) ++w.lates;
        switch (what) {
            case act::read: return n.is == phase::idle && read(n);
            case act::claim: {
                if (n.is != phase::has_read || n.seen.number >= files_max) return false;
                here->next = how;
                format::stream_step step;
                step.kind = format::record_kind::epoch;
                n.epoch = n.state.stream().at.epoch + 16;
                step.at = {n.epoch, 0};
                step.when.value = std::uint64_t(who * 100 + n.lives + 1);  // whose it is
                n.claim = n.log.compose(n.seen.number, object, n.state.stream().at, n.state.stream().chain, {step});
                return claimed(n, now(n.log.put(*n.claim)));
            }
            case act::look: {
                if (n.is != phase::has_won) return false;
                bool const passed = now(n.log.is_passed(n.claim->number));
                if (passed && !mailfs::detail::mutated(mutant::store_claim_not_looked_around)) return leave(n);
                return reign(w, n, who);
            }
            case act::flush: {
                if (n.is != phase::master || n.log.number() >= files_max || w.transactions == transactions_max) return false;
                here->next = how;
                format::stream_step step;
                step.at = {n.epoch, n.log.last().n + 1};
                step.dot = {{std::uint32_t(who) + 1, 1}, n.in_flight = ++w.transactions};
                n.log.add(step);
                return flushed(w, n, put_next(n));
            }
            case act::again:
                if (n.is == phase::claim_unknown) return claimed(n, now(n.log.put(*n.claim)));
                if (n.is == phase::flush_unknown) return flushed(w, n, put_next(n));
                return false;
            case act::cover: {
                if (n.is != phase::master || !w.disk.late.empty()) return false;  // late_ms
                memory state;
                log_type::tail t;
                if (!now(n.log.read(state, t)) || t.number != n.log.number()) return false;
                now(n.log.put_snapshot(t.number, state.dump()));
                now(n.log.purge());
                return true;
            }
            case act::view: {
                memory state;
                log_type::tail t;
                if (who != 0 || w.views == views_max || !now(third_log().read(state, t))) return false;
                ++w.views;
                w.third = {t.number, state.dump()};
                return true;
            }
            case act::snapshot:
                if (who != 0 || w.third.number == 0) return false;
                now(third_log().put_snapshot(w.third.number, w.third.dump));
                w.third = {};
                return true;
            case act::purge:
                if (who != 0 || !w.disk.late.empty()) return false;  // late_ms
                now(third_log().purge());
                return true;
            case act::crash:
                if (n.is == phase::idle || w.crashes == crashes_max) return false;
                ++w.crashes;
                ++n.lives;
                return leave(n);
            case act::land: {
                if (w.disk.late.empty() || who != 0) return false;
                auto const l = w.disk.late.front();
                w.disk.late.erase(w.disk.late.begin());
                now(w.disk.tree.create(l.path, l.bytes, durability::stored));
                return true;
            }
            case act::count: break;
        }
        return false;
    }
    static log_type third_log() { return log_type(late_fs{}, same_host, "box", {}, rules(), still_clock); }
    static bool read(node& n) {
        if (!now(n.log.read(n.state, n.seen))) return false;
        n.seen = numbers_of(n.seen);
        n.is = phase::has_read;
        return true;
    }
    static bool leave(node& n) {
        auto const lives = n.lives;
        n = node();
        n.lives = lives;
        return true;
    }
    static bool claimed(node& n, log_type::made came) {
        if (came == log_type::made::theirs && !mailfs::detail::mutated(mutant::store_lost_claim_stands)) return leave(n);
        n.is = came == log_type::made::unknown ? phase::claim_unknown : phase::has_won;
        return true;
    }
    bool reign(world& w, node& n, int who) {
        n.log.own(*n.claim, n.seen);
        n.claim.reset();
        n.is = phase::master;
        auto const [it, is_new] = w.owners.try_emplace(n.epoch, who * 100 + n.lives);
        if (!is_new && it->second != who * 100 + n.lives) wrong_ = "R1: an epoch has two masters";
        return true;
    }
    static log_type::made put_next(node& n) {
        auto file = n.log.next_file(object);
        return now(n.log.put(file));
    }
    bool flushed(world& w, node& n, log_type::made came) {
        if (came == log_type::made::theirs && !mailfs::detail::mutated(mutant::store_flush_lost_goes_on)) return leave(n);
        n.is = phase::flush_unknown;
        if (came == log_type::made::unknown) {
            if (mailfs::detail::mutated(mutant::store_error_trusted)) w.refused.insert(n.in_flight);
            return true;
        }
        n.log.landed(n.log.next_file(object));
        n.is = phase::master;
        w.acknowledged.insert(n.in_flight);
        return true;
    }

    std::string check(world& w) {
        if (!wrong_.empty()) return wrong_;
        memory found;
        log_type reader(late_fs{}, same_host, "box", {}, rules(), still_clock);
        log_type::tail t;
        try {
            now(reader.read(found, t));
        } catch (error const& e) {
            return std::string("R11: the store cannot be read: ") + e.what();
        }
        for (auto const n : w.acknowledged)
            if (!found.taken.contains(n)) return "R11: what was acknowledged is not in the store";
        for (auto const n : w.refused)
            if (found.taken.contains(n)) return "R11: what was refused is in the store";
        return {};
    }
    // All that decides what may follow; nonces only by whom they belong to.
    static std::string key_of(world const& w) {
        std::string key;
        auto const put = [&](auto... v) { ((key += std::to_string(v) + ','), ...); };
        auto const file = [&](std::string const& path, std::vector<std::byte> const& bytes) {
            key += path + ':';
            auto const names_log = path.find("log.") != std::string::npos;
            if (!names_log) return put(bytes.size());
            auto const h = format::load<format::log_header>(bytes);
            put(std::uint32_t(h.epoch), std::uint32_t(h.n), std::uint64_t(h.chain), std::uint32_t(h.opens), bytes.size());
            for (auto const& n : w.nodes) put(n.claim && n.claim->nonce == h.nonce ? 1 : 0);
            auto const rest = bytes_view(bytes).subspan(sizeof h);
            if (auto const r = format::decode_record(rest, format::record_seed(h.nonce))) put(std::uint64_t(r->header.counter), std::uint64_t(r->header.stamp), std::uint32_t(r->header.base_n));
        };
        for (auto const& path : w.disk.tree.paths()) file(path, w.disk.tree.bytes_of(path));
        for (auto const& l : w.disk.late) file("late " + l.path, l.bytes);
        for (auto const& n : w.nodes)
            put(int(n.is), n.seen.number, n.log.number(), n.epoch, n.in_flight, n.lives, n.state.stream().at.epoch, n.state.stream().at.n, n.log.last().n, n.claim ? n.claim->number : 0);
        for (auto const a : w.acknowledged) put(a);
        key += '/';
        for (auto const a : w.refused) put(a);
        put(w.transactions, w.crashes, w.lates, w.views, w.third.number, w.third.dump.size());
        return key;
    }

    mutant planted_;
    std::string wrong_;
    std::unordered_set<std::string> seen_;
};

std::string explore(mutant m, std::size_t depth_max, std::size_t* states = nullptr) {
    explorer e(m);
    auto wrong = e.explore(depth_max);
    if (states != nullptr) *states = e.states();
    return wrong;
}

}  // namespace

TEST_CASE("shared_log: no order of claim, flush, late create, cover and crash breaks R1 or R11") {
    std::size_t states = 0;
    CHECK(explore(mutant::none, 40, &states) == "");  // deeper than any order goes: all of them
    MESSAGE("states: " << states);
    CHECK(states > 5'000);
}

TEST_CASE("shared_log: each way to go wrong is found") {
    CHECK(explore(mutant::purge_epoch_files, 40).starts_with("R11"));
    CHECK(explore(mutant::store_error_trusted, 40).starts_with("R11"));
    CHECK(explore(mutant::store_nonce_ignored, 40).starts_with("R1"));
    CHECK(explore(mutant::store_flush_lost_goes_on, 40).starts_with("R11"));
    CHECK(explore(mutant::store_claim_not_looked_around, 40).starts_with("R1"));
    CHECK(explore(mutant::store_lost_claim_stands, 40).starts_with("R1"));
}
