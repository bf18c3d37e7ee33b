// SPDX-License-Identifier: BSL-1.0
// Random schedules on the real log: processes that interleave call by call, are killed in the middle of one, lose power,
// and find records rotten. After each step: no UID stands for two messages, nothing acknowledged is missing, no mark is
// on another message, no number falls, and the same position means the same bytes.
//   MAILFS_LOG_MODEL_SCHEDULES=N  how many (default 1000)      MAILFS_LOG_MODEL_SEED=S  the first of them (default 1)
#include <mailfs/log/lockless_log.hpp>

#include "unit/log/interleaved_fs.hpp"
#include "unit/log/log_fixture.hpp"

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <exception>
#include <string>

using namespace mailfs;
using namespace mailfs::test;

namespace {

using log_type = lockless_log::on<interleaved_fs, test_host, tiny_state>;

guid const object = guid::from_words(1, 2);
constexpr std::uint64_t idle_steps_max = 100'000;  // of processes that are let run to the end of what they do

struct tally {
    std::uint64_t power_cuts = 0, kills = 0, acknowledged = 0, stored = 0, opens = 0, rotations = 0, rots = 0,
                  rots_that_shift = 0;
};

/// What clients were told, and what that promises.
class promises {
public:
    std::string broken;  // the first promise that was

    void expect(bool holds, char const* what) {
        if (!holds && broken.empty()) broken = what;
    }
    std::uint64_t new_value() {
        floor_.push_back(next_id_);
        return floor_.size() - 1;
    }
    void will_mark(std::uint64_t value) { marks_wanted_.insert(value); }
    void acknowledge(std::uint64_t value, bool marked, bool stored) { acknowledged_.push_back({value, marked, stored}); }
    std::size_t acknowledged() const noexcept { return acknowledged_.size(); }
    void power_was_cut() {
        std::erase_if(acknowledged_, [](auto const& a) { return !a.stored; });
    }

    /// A client sees this. `acknowledged`: how many answers had been given when the client asked.
    void show(tiny_state const& s) {
        expect(!s.mark_went_astray, "a mark met another message than the one meant");
        for (auto const& [id, m] : s.messages) {
            auto const [by_id, fresh_id] = shown_.emplace(id, m.value);
            if (by_id->second != m.value)
                trace("UID ", id, " was shown for message ", by_id->second, ", and is now ", m.value);
            expect(by_id->second == m.value, "one UID was shown for two messages");
            auto const [by_value, fresh_value] = id_of_.emplace(m.value, id);
            expect(by_value->second == id, "one message was shown with two UIDs");
            expect(m.value < floor_.size() && id >= floor_[m.value], "a new message got a UID below a UIDNEXT shown before");
            expect(!m.marked || marks_wanted_.contains(m.value), "a message bears a mark that nobody gave it");
        }
        auto same = s;
        same.stream().boot = {};  // a restart that a second power cut took is written again, by another boot
        auto const bytes = same.dump();
        auto const sum = crc32c(bytes);
        auto const [at, fresh] = at_.emplace(s.stream().at, sum);
        expect(at->second == sum, "one MODSEQ stands for two states");
        next_id_ = std::max(next_id_, s.next_id());
        position_ = std::max(position_, s.stream().at);
    }
    struct asked {
        std::uint32_t next_id;
        position at;
        std::size_t acknowledged;
    };
    asked ask() const { return {next_id_, position_, acknowledged_.size()}; }
    /// The state of someone who asked for the newest then.
    void show_newest(tiny_state const& s, asked const& then) {
        show(s);
        expect(s.next_id() >= then.next_id, "UIDNEXT fell");
        expect(s.stream().at >= then.at, "MODSEQ fell");
        for (std::size_t i = 0; i < then.acknowledged && i < acknowledged_.size(); ++i) {
            auto const& a = acknowledged_[i];
            auto const id = id_of_.find(a.value);
            auto const m = id == id_of_.end() ? s.messages.end() : s.messages.find(id->second);
            expect(m != s.messages.end() && m->second.value == a.value, "an acknowledged message is missing");
            if (m != s.messages.end()) expect(!a.marked || m->second.marked, "an acknowledged mark is missing");
        }
    }
    std::map<std::uint32_t, std::uint64_t> const& shown() const noexcept { return shown_; }

private:
    struct answer {
        std::uint64_t value;
        bool marked, stored;
    };
    std::vector<std::uint32_t> floor_;              // by value: greatest UIDNEXT shown when its delivery began
    std::map<std::uint32_t, std::uint64_t> shown_;  // message by UID
    std::map<std::uint64_t, std::uint32_t> id_of_;
    std::map<position, std::uint32_t> at_;  // checksum of the state
    std::set<std::uint64_t> marks_wanted_;
    std::vector<answer> acknowledged_;
    std::uint32_t next_id_ = 0;
    position position_;
};

/// One process and what it does all its life.
class client {
public:
    client(std::shared_ptr<interleaved_machine> m, test_host host, log_options options, promises& p, tally& t,
           std::uint64_t incarnation)
        : process(std::make_shared<interleaved_process>(m, incarnation)),
          machine_(std::move(m)),
          promises_(&p),
          tally_(&t),
          origin_{0, incarnation},
          log_(interleaved_fs(process), host, "box", options) {}

    std::shared_ptr<interleaved_process> process;
    bool quiet = false;  // begins nothing new
    bool done = false;

    log_type& log() noexcept { return log_; }

    asio::awaitable<void> live() {
        auto const then = promises_->ask();
        bool const there = co_await log_.open();
        if (process->dead()) co_return;
        promises_->expect(there, "the log is gone");
        ++tally_->opens;
        show("opened");
        promises_->show_newest(log_.machine(), then);
        process->appends_may_fail = true;  // an open whose restart fails shows the log as it is found
        while (!quiet) {
            bool const killed = co_await process->wait();
            if (killed || quiet) co_return;
            co_await do_something();
            if (process->dead()) co_return;
            show("done");
        }
    }
    asio::awaitable<void> catch_up() {
        auto const then = promises_->ask();
        auto const number = log_.number();
        co_await log_.catch_up();
        if (process->dead()) co_return;
        tally_->rotations += log_.number() - number;
        promises_->show_newest(log_.machine(), then);
    }

private:
    random_source& random() noexcept { return machine_->random; }
    void show(char const* when) {
        auto const& s = log_.machine();
        trace(process->name, " ", when, ": file ", log_.number(), " offset ", log_.offset(), " next_id ", s.next_id(),
              " at ", s.stream().at.epoch, ",", s.stream().at.n, " messages ", s.messages.size());
        promises_->show(s);
    }

    asio::awaitable<void> do_something() {
        auto const what = up_to(random(), 19);
        bool const stored = one_in(random(), 3);
        trace(process->name, " does ", what, stored ? " stored" : "");
        if (what < 9)
            co_await deliver(stored);
        else if (what < 13)
            co_await mark(stored);
        else if (what < 16)
            co_await on_a_disk_that_may_be_full(catch_up());  // which must name a torn record before it goes on
        else if (what < 17)
            co_await on_a_disk_that_may_be_full(log_.sync());
        else if (what < 18)
            co_await on_a_disk_that_may_be_full(log_.rotate());
        else
            co_await allocate();
    }

    static asio::awaitable<void> on_a_disk_that_may_be_full(asio::awaitable<void> work) {
        try {
            co_await std::move(work);
        } catch (error const& e) {
            if (e.code() != errc::no_space) throw;
        }
    }
    asio::awaitable<void> deliver(bool stored) {
        auto const value = promises_->new_value();
        tiny_transaction const t(value);
        auto const taken = co_await append(t, stored);
        if (!taken) co_return;
        auto const m = log_.machine().messages.find(taken->outcome.first_id);
        bool const right =
            taken->verdict != admission::fresh || (m != log_.machine().messages.end() && m->second.value == value);
        promises_->expect(right, "a writer was told a UID that is not its message's");
        promises_->show(log_.machine());
        acknowledge(value, false, stored);
    }
    asio::awaitable<void> mark(bool stored) {
        auto const& messages = log_.machine().messages;
        if (messages.empty()) co_return;
        auto const at = std::next(messages.begin(), static_cast<std::ptrdiff_t>(up_to(random(), messages.size() - 1)));
        auto const value = at->second.value;
        auto const t = tiny_transaction::mark(at->first, value);
        promises_->will_mark(value);
        auto const taken = co_await append(t, stored);
        if (taken) acknowledge(value, true, stored);
    }
    asio::awaitable<void> allocate() {
        auto const t =
            tiny_transaction::allocate(one_in(random(), 3) ? 1 + up_to(random(), unsynced_ids_max - 1) : up_to(random(), 3));
        co_await append(t, false);
    }
    void acknowledge(std::uint64_t value, bool marked, bool stored) {
        promises_->acknowledge(value, marked, stored);
        ++(stored ? tally_->stored : tally_->acknowledged);
    }

    // The same again after a failure, as a caller may do. Nothing: given up.
    asio::awaitable<std::optional<log_type::appended>> append(tiny_transaction const& t, bool stored) {
        dot const id{origin_, ++counter_};
        for (int tries = 0; tries < 3; ++tries) {
            bool failed = false;
            std::optional<log_type::appended> taken;
            try {
                taken = co_await log_.append(id, {}, t.bytes());
                if (stored) co_await log_.sync();
            } catch (error const& e) {
                if (e.code() != errc::no_space && e.code() != errc::may_have_happened) throw;
                failed = true;
            }
            if (process->dead()) throw error(errc::closed, "client", "killed");
            if (!failed) co_return taken;
        }
        co_return std::nullopt;
    }

    std::shared_ptr<interleaved_machine> machine_;
    promises* promises_;
    tally* tally_;
    origin origin_;
    std::uint64_t counter_ = 0;
    log_type log_;
};

class schedule {
public:
    schedule(std::uint64_t seed, tally& t) : tally_(&t) {
        machine_->random.seed(seed);
        host_.in().seed = seed;
        options_ = {.rotate_size_min = 200 + up_to(random(), 2000),
                    .rotate_share = 1'000'000,
                    .generations_kept = static_cast<std::uint32_t>(up_to(random(), 2))};
        machine_->failing_appends = one_in(random(), 2) ? 12 : 0;
        power_cuts_ = one_in(random(), 4) ? 0 : 40;
        kills_ = one_in(random(), 4) ? 0 : 15;
    }

    /// What went wrong, or nothing.
    std::string run() {
        create();
        auto const steps = 100 + up_to(random(), 400);
        auto const count = 1 + up_to(random(), 3);
        for (std::uint64_t i = 0; i < count; ++i) start();
        for (std::uint64_t i = 0; i < steps && promises_.broken.empty(); ++i) step();
        settle();
        if (promises_.broken.empty()) compare();
        end();
        if (promises_.broken.empty()) lose_all_but_stored();
        if (promises_.broken.empty() && one_in(random(), 3)) rot();
        return promises_.broken;
    }

private:
    random_source& random() noexcept { return machine_->random; }

    void create() {
        auto maker = std::make_shared<client>(machine_, host_, options_, promises_, *tally_, ++incarnation_);
        finish(make_log(*maker), *maker->process);
        clients_.clear();
    }
    static asio::awaitable<void> make_log(client& c) {
        bool const made = co_await c.log().create(object, {{0, 1}, 1}, {}, {});
        if (!made) throw error(errc::exists, "model", "there is a log");
    }

    client& start() {
        clients_.push_back(std::make_unique<client>(machine_, host_, options_, promises_, *tally_, ++incarnation_));
        auto& c = *clients_.back();
        spawn(c.live(), c);
        return c;
    }
    void spawn(asio::awaitable<void> work, client& c) {
        c.done = false;
        asio::co_spawn(context_, std::move(work), [this, &c](std::exception_ptr failure) {
            c.done = true;
            if (!failure || c.process->dead()) return;
            try {
                std::rethrow_exception(failure);
            } catch (std::exception const& e) {
                if (promises_.broken.empty()) promises_.broken = std::string("unexpected error: ") + e.what();
            }
        });
        poll();
    }
    void poll() {
        context_.restart();
        context_.poll();
    }
    void go(client& c) {
        if (!c.process->waits()) return;
        c.process->go();
        poll();
    }
    void kill(client& c) {
        c.process->kill();
        poll();
        if (!c.done && promises_.broken.empty()) promises_.broken = "a killed process goes on";
    }
    void bury() {
        std::erase_if(clients_, [](auto const& c) { return c->done; });
    }

    void step() {
        if (power_cuts_ != 0 && one_in(random(), power_cuts_ * 4)) return cut_power();
        if (clients_.empty()) start();
        auto& c = *clients_[static_cast<std::size_t>(up_to(random(), clients_.size() - 1))];
        if (kills_ != 0 && one_in(random(), kills_ * 4)) {
            ++tally_->kills;
            trace(c.process->name, " is killed");
            kill(c);
            bury();
            start();
            return;
        }
        // A process that is fast does much before another does anything.
        auto const burst = one_in(random(), 3) ? 1 + up_to(random(), 30) : 1;
        for (std::uint64_t i = 0; i < burst && !c.done; ++i) go(c);
        bury();
    }

    void cut_power() {
        ++tally_->power_cuts;
        trace("--- power cut");
        auto const count = std::max<std::size_t>(1, clients_.size());
        if (one_in(random(), 2)) return cut_power_after_kills(count);
        auto found = machine_->cut_power();
        for (auto& c : clients_) kill(*c);
        begin_boot(std::move(found), count);
    }
    // What the calls under way leave is written before the power goes.
    void cut_power_after_kills(std::size_t count) {
        for (auto& c : clients_) kill(*c);
        begin_boot(machine_->cut_power(), count);
    }
    void begin_boot(memory_fs found, std::size_t count) {
        machine_->disk = faulty_fs<>(std::move(found));
        bury();
        ++host_.in().boot;
        promises_.power_was_cut();
        for (std::size_t i = 0; i < count; ++i) start();
    }

    // All that is under way comes to its end.
    void settle() {
        machine_->failing_appends = 0;
        for (auto& c : clients_) c->quiet = true;
        for (std::uint64_t i = 0; i < idle_steps_max; ++i) {
            bool waiting = false;
            for (auto& c : clients_) {
                waiting = waiting || c->process->waits();
                go(*c);
            }
            if (!waiting) return;
        }
        promises_.broken = "a process does not come to an end";
    }
    void finish(asio::awaitable<void> work, interleaved_process& p) {
        bool done = false;
        std::exception_ptr failure;
        asio::co_spawn(context_, std::move(work), [&](std::exception_ptr e) {
            done = true;
            failure = e;
        });
        poll();
        for (std::uint64_t i = 0; i < idle_steps_max && p.waits(); ++i) {
            p.go();
            poll();
        }
        if (failure) {
            try {
                std::rethrow_exception(failure);
            } catch (std::exception const& e) {
                if (promises_.broken.empty()) promises_.broken = std::string("unexpected error: ") + e.what();
            }
        } else {
            promises_.expect(done, "a call does not come to an end");
        }
    }

    // A new process, that does nothing but open the log.
    std::unique_ptr<client> open() {
        auto c = std::make_unique<client>(machine_, host_, options_, promises_, *tally_, ++incarnation_);
        c->quiet = true;
        finish(c->live(), *c->process);
        return c;
    }
    void compare() {
        auto const fresh = open();
        for (auto& c : clients_) {
            finish(c->catch_up(), *c->process);
            promises_.expect(c->log().machine().dump() == fresh->log().machine().dump(),
                             "two processes that read everything differ");
        }
    }
    void end() {
        for (auto& c : clients_) kill(*c);
        clients_.clear();
    }
    void lose_all_but_stored() {
        machine_->disk = faulty_fs<>(machine_->disk.after(power_cut::lose_all, 1));
        ++host_.in().boot;
        promises_.power_was_cut();
        auto const first = open();
        auto const second = open();
        promises_.expect(first->log().machine().dump() == second->log().machine().dump(),
                         "two readers after a power cut differ");
    }

    // One record behind which another was written by someone who had read it, and that was not repeated: else the
    // repetition would take effect.
    void rot() {
        auto const before = open();
        auto const name = "box/" + log_name(before->log().number());
        auto bytes = machine_->disk.inner().bytes_of(name);
        auto const begin = sizeof(format::log_header);
        auto const seed = format::record_seed(format::load<format::log_header>(bytes).nonce);
        std::vector<std::pair<std::size_t, format::record_header>> records;
        for (auto at = format::find_record(bytes, begin, seed); at < bytes.size();) {
            records.emplace_back(at, format::load<format::record_header>(bytes_view(bytes).subspan(at)));
            at = format::find_record(bytes, at + records.back().second.size, seed);
        }
        auto const all = records;
        std::erase_if(records, [&](auto const& r) {
            auto const end = r.first + r.second.size;
            bool const told = std::any_of(all.begin(), all.end(), [&](auto const& later) {
                return later.second.base_offset >= end &&
                       later.second.kind == std::uint8_t(format::record_kind::transaction);
            });
            auto const same = [&](auto const& other) {
                return std::pair(std::uint64_t{other.second.incarnation}, std::uint64_t{other.second.counter}) ==
                       std::pair(std::uint64_t{r.second.incarnation}, std::uint64_t{r.second.counter});
            };
            return !told || r.second.kind != std::uint8_t(format::record_kind::transaction) ||
                   std::count_if(all.begin(), all.end(), same) > 1;
        });
        if (records.empty()) return;
        auto const [at, header] = records[static_cast<std::size_t>(up_to(random(), records.size() - 1))];
        bytes[at + static_cast<std::size_t>(up_to(random(), header.size - 1))] ^= std::byte{1};
        memory_fs(machine_->disk.inner()).put(name, bytes);
        ++tally_->rots;
        trace("--- rot of ", name, " at ", at);
        if (one_in(random(), 2)) ++host_.in().boot;
        promises later;  // nothing is promised of the record itself
        auto const after = std::make_unique<client>(machine_, host_, options_, later, *tally_, ++incarnation_);
        after->quiet = true;
        finish(after->live(), *after->process);
        std::size_t lost = 0;
        bool shifts = false;
        for (auto const& [id, m] : after->log().machine().messages) {
            auto const shown = promises_.shown().find(id);
            bool const moved = shown == promises_.shown().end() || shown->second != m.value;
            if (moved)
                trace("message ", m.value, " is now ", id, ", which was ",
                      shown == promises_.shown().end() ? 0 : shown->second);
            shifts = shifts || moved;
        }
        for (auto const& [id, m] : before->log().machine().messages)
            lost += after->log().machine().messages.contains(id) ? 0U : 1U;
        promises_.expect(!after->log().machine().mark_went_astray, "after rot, a mark met another message");
        promises_.expect(lost <= 1 || shifts, "rot of one record cost more than that");
        tally_->rots_that_shift += shifts ? 1 : 0;
        promises_.expect(!shifts, "rot of one record moved UIDs");
    }

    tally* tally_;
    asio::io_context context_{1};
    std::shared_ptr<interleaved_machine> machine_ = std::make_shared<interleaved_machine>();
    test_host host_;
    log_options options_;
    promises promises_;
    std::vector<std::unique_ptr<client>> clients_;
    std::uint64_t incarnation_ = 1;
    std::uint64_t power_cuts_ = 0, kills_ = 0;
};

std::uint64_t number_from(char const* variable, std::uint64_t otherwise) {
    auto const* const text = std::getenv(variable);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace

TEST_CASE("log_model: random schedules of appends, rotations, kills, power cuts and rot break no promise") {
    auto const schedules = number_from("MAILFS_LOG_MODEL_SCHEDULES", 1000);
    auto const first = number_from("MAILFS_LOG_MODEL_SEED", 1);
    tally t;
    std::uint64_t broken = 0;
    for (auto seed = first; seed < first + schedules && broken < 5; ++seed) {
        auto const what = schedule(seed, t).run();
        if (what.empty()) continue;
        ++broken;
        MESSAGE("MAILFS_LOG_MODEL_SEED=", seed, ": ", what);
    }
    CHECK(broken == 0);
    if (schedules < 100 || broken > 0) return;
    MESSAGE("schedules ", schedules, ", power cuts ", t.power_cuts, ", kills ", t.kills, ", acknowledged ", t.acknowledged,
            ", stored ", t.stored, ", opens ", t.opens, ", files crossed ", t.rotations, ", rots ", t.rots);
    CHECK(t.power_cuts > 0);
    CHECK(t.kills > 0);
    CHECK(t.stored > 0);
    CHECK(t.rots > 0);
}
