// SPDX-License-Identifier: BSL-1.0
// One case: a program, an operation, the call in which it ends and how, a recovery by two processes at once, and what must hold.
#pragma once

#include "operations.hpp"

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace mailfs::crash {

/// All of it follows from these four numbers.
struct crash_case {
    std::uint64_t round = 0;  ///< of the program that goes before; 0: nothing but a prepared store
    operation what = operation::deliver;
    std::uint64_t call = 1;   ///< of the operation, from 1 on
    std::uint64_t ending = 0; ///< 0 to 3 plain ones, others by chance

    std::string text() const {
        return fmt::format("{}:{}:{}:{}", round, operation_names[static_cast<std::size_t>(what)], call, ending);
    }
};

/// What became of it.
struct crash_result {
    bool stopped = false;                ///< false: the operation had come to its end before
    std::vector<std::uint64_t> points;   ///< a hash for each state in which a disk was left behind
};

class crash_run {
public:
    explicit crash_run(crash_case const& c)
        : case_(c), program_(mix(c.round, static_cast<std::uint64_t>(c.what))), chance_(mix(mix(program_(), c.call), c.ending)), machine_(program_()) {}

    /// Throws violation.
    crash_result run() {
        prepare();
        crash_result result;
        operate();
        result.stopped = stopped_;
        finish_ending();
        note_point();
        if (one_in(chance_, 8)) remove_newest_snapshots();
        auto unchanged = files();
        auto const boots = machine_.boots;
        if (case_.ending > 3 && one_in(chance_, 3)) {
            recover_and_stop();
            if (boots < machine_.boots) unchanged = files();
        }
        recover();
        check_unchanged(unchanged);
        result.points = std::move(points_);
        return result;
    }

private:
    using actor_ptr = std::unique_ptr<actor>;
    using file_map = std::map<std::string, std::vector<std::byte>>;

    static std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept { return seeded_random(a * 0x1'0000'0001b3 + b)(); }

    // --- the program -----------------------------------------------------------------------------------------

    store_options options_of(bool stored, std::uint64_t rotate) const {
        store_options o;
        o.durability = stored ? durability::stored : durability::none;
        o.log.rotate_size_min = rotate;
        o.log.rotate_share = 1'000'000;
        o.dbox.file_size_max = small_files_ ? 600 : 1U << 20;
        return o;
    }
    actor_ptr start(bool stored) {
        return std::make_unique<actor>(machine_, journal_, ++actors_, options_of(stored, rotate_));
    }
    void perform(actor& who, operation o, seeded_random& chance) {
        performance p(who, journal_, names_, chance(), 0, who.number % 2);
        machine_.run_alone(p.run(o));
        look_alone(who, false);
    }
    sight look_alone(actor& who, bool bodies) {
        sight s;
        machine_.run_alone(who.look(s, bodies));
        return s;
    }

    void prepare() {
        static constexpr std::array<std::uint64_t, 4> rotations{300, 700, 1500, 1U << 20};
        rotate_ = rotations[crash::roll(program_, rotations.size())];
        small_files_ = one_in(program_, 2);
        bool const plain = case_.round == 0;
        writer_ = start(plain || one_in(program_, 2));
        other_ = start(!plain && one_in(program_, 2));
        if (plain || one_in(program_, 2)) witness_ = start(true);
        machine_.run_alone(set_up(*writer_));
        for (auto o : {operation::deliver_many, operation::deliver, operation::create, operation::keywords}) perform(*writer_, o, program_);
        perform(*other_, operation::deliver, program_);
        if (witness_) machine_.run_alone(witness_->stay());
        if (witness_) look_alone(*witness_, false);
        if (plain) return;
        for (auto n = 3 + crash::roll(program_, 8); n > 0; --n) {
            auto& who = one_in(program_, 3) ? *other_ : *writer_;
            perform(who, static_cast<operation>(crash::roll(program_, operation_count)), program_);
        }
        if (one_in(program_, 4)) restart_writer();
    }
    asio::awaitable<void> set_up(actor& who) {
        for (std::string const name : account_names) co_await who.account(name);
        for (auto const& name : {"a", "b/c"}) {
            tree_change c;
            c.name = name;
            auto const noted = journal_.note(account_names[0], std::move(c));
            auto a = co_await who.account(account_names[0]);
            co_await a.create(noted->name);
            noted->acknowledged = true;
        }
    }
    void restart_writer() {
        bool const stored = writer_->stores();
        writer_->self->stop();
        writer_.reset();
        writer_ = start(stored);
    }

    // --- the end of it ---------------------------------------------------------------------------------------

    // The operation, and perhaps another process in the middle of another one; then the end, or a part of it.
    void operate() {
        if (case_.what == operation::open) restart_writer();
        if (case_.what == operation::rotate) {
            rotate_ = 1;
            restart_writer();
        }
        if (case_.what == operation::purge) {  // what follows is the round in which something goes
            performance first_look(*writer_, journal_, names_, program_(), 1, 0);
            machine_.run_alone(first_look.run(operation::purge));
            writer_->pass_grace_period();
        }
        bool const two = case_.ending > 3 && case_.what != operation::rename_inbox && one_in(chance_, 3);  // that one takes all messages
        stop_point stop;
        stop.call = two ? 2 * case_.call - crash::roll(chance_, 2) : case_.call;
        choose_ending(stop);
        std::vector<asio::awaitable<void>> work;
        auto const stretch = two ? ++stretches_ : 0;
        performance first(*writer_, journal_, names_, program_(), stretch, 0);
        performance second(*other_, journal_, names_, chance_(), stretch, 1);
        machine_.watch_calls(stop);
        work.push_back(first.run(case_.what));
        if (two) work.push_back(second.run(companion()));
        if (two) machine_.run_interleaved(std::move(work));
        else machine_.run_alone(std::move(work.front()));
        stopped_ = machine_.stopped();
        machine_.watch_calls({});
    }
    // What cannot be told apart from the outside does not run at once.
    operation companion() {
        static constexpr std::array safe{operation::deliver, operation::deliver_many, operation::flags, operation::keywords, operation::expunge,
                                         operation::copy, operation::move, operation::subscribe, operation::open};
        return safe[crash::roll(chance_, safe.size())];
    }
    void choose_ending(stop_point& stop) {
        power_goes_ = case_.ending == 2 || case_.ending == 3 || (case_.ending > 3 && !one_in(chance_, 3));
        others_go_on_ = case_.ending > 3 && one_in(chance_, 3);
        how_ = case_.ending == 2 ? power_cut::lose_all : case_.ending == 3 ? power_cut::keep_all : power_cut::any;
        if (case_.ending > 3 && one_in(chance_, 4)) how_ = static_cast<power_cut>(crash::roll(chance_, 7));
        stop.all = power_goes_ && !others_go_on_;
        stop.done = case_.ending == 1 || (case_.ending > 3 && one_in(chance_, 2));
        stop.reach = stop.done ? stop_point::never : 0;
        if (case_.ending > 3 && one_in(chance_, 2)) stop.reach = one_in(chance_, 2) ? crash::roll(chance_, 72) : crash::roll(chance_, 700);
    }
    // Somebody may see what is there before the lights go out.
    void finish_ending() {
        if (witness_ && !witness_->self->dead() && one_in(chance_, 2)) look_alone(*witness_, false);
        if (stopped_ && others_go_on_ && !other_->self->dead()) {
            journal_.settle(look_alone(*other_, false).accounts);
            for (auto n = 1 + crash::roll(chance_, 2); n > 0; --n) perform(*other_, companion(), chance_);
        }
        if (!power_goes_) return;
        journal_.cut_power();
        machine_.cut_power(how_, chance_());
    }

    // --- what is left ----------------------------------------------------------------------------------------

    file_map files() const {
        file_map all;
        auto const& disk = machine_.disk.inner();
        for (auto const& path : disk.paths()) all.emplace(path, disk.bytes_of(path));
        return all;
    }
    void note_point() {
        std::uint64_t hash = mix(case_.round, static_cast<std::uint64_t>(case_.what));
        auto const add = [&](bytes_view bytes) {
            for (auto const b : bytes) hash = (hash ^ static_cast<std::uint64_t>(b)) * 0x100'0000'01b3;
        };
        for (auto const& [path, bytes] : files()) {
            add(as_bytes(path));
            add(bytes);
        }
        points_.push_back(hash);
    }
    // I1: a file grows at its end or goes, and nothing else ever happens to it.
    void check_unchanged(file_map const& before) const {
        auto const now = files();
        for (auto const& [path, bytes] : before) {
            auto const at = now.find(path);
            if (at == now.end()) continue;
            bool const same = at->second.size() >= bytes.size() && std::equal(bytes.begin(), bytes.end(), at->second.begin());
            if (!same) throw violation("I1: bytes of " + path + " changed");
        }
    }
    // I8: a snapshot can go at any time while the generation before it is there.
    void remove_newest_snapshots() {
        auto const all = files();
        std::map<std::string, std::uint64_t> newest;
        auto const number_of = [](std::string const& path) { return std::stoull(path.substr(path.rfind('.') + 1)); };
        for (auto const& [path, bytes] : all) {
            auto const at = path.rfind("/index.");
            if (at != path.npos) newest[path.substr(0, at)] = std::max<std::uint64_t>(newest[path.substr(0, at)], number_of(path));
        }
        memory_fs kept;
        for (auto const& [path, bytes] : all) {
            auto const at = path.rfind("/index.");
            auto const directory = path.substr(0, at == path.npos ? 0 : at);
            bool spare = false;
            if (at != path.npos && number_of(path) == newest[directory]) {
                auto const n = newest[directory];
                bool const before = all.contains(fmt::format("{}/log.{}", directory, n - 1)) && (n == 2 || all.contains(fmt::format("{}/index.{}", directory, n - 1)));
                spare = before && all.contains(fmt::format("{}/log.{}", directory, n));
            }
            if (spare && power_goes_) continue;
            kept.put(path, bytes);
        }
        if (power_goes_) machine_.put_disk(std::move(kept));  // else processes have the files open
    }

    // Two processes open everything at the same time, and one or both are stopped on the way.
    void recover_and_stop() {
        auto one = start(one_in(chance_, 2)), two = start(one_in(chance_, 2));
        stop_point stop;
        stop.call = 1 + crash::roll(chance_, one_in(chance_, 2) ? 25 : 150);
        stop.done = one_in(chance_, 2);
        stop.reach = one_in(chance_, 2) ? crash::roll(chance_, 200) : stop.done ? stop_point::never : 0;
        bool const cut = one_in(chance_, 2);
        stop.all = cut && one_in(chance_, 2);
        machine_.watch_calls(stop);
        auto const stretch = ++stretches_;
        std::vector<asio::awaitable<void>> work;
        work.push_back(open_and_write(*one, chance_(), stretch));
        work.push_back(open_and_write(*two, chance_(), stretch));
        machine_.run_interleaved(std::move(work));
        machine_.watch_calls({});
        if (cut) {
            journal_.cut_power();
            auto const how = one_in(chance_, 2) ? power_cut::any : static_cast<power_cut>(crash::roll(chance_, 7));
            machine_.cut_power(how, chance_());
            writer_.reset(), other_.reset(), witness_.reset();
        }
        note_point();
        if (!one->self->dead()) others_.push_back(std::move(one));
        if (!two->self->dead()) others_.push_back(std::move(two));
    }
    asio::awaitable<void> open_and_write(actor& who, std::uint64_t seed, stretch_number stretch) {
        co_await who.glance();
        if (who.self->dead()) co_return;
        performance p(who, journal_, names_, seed, stretch, who.number % 2);
        auto const what = seed % 2 == 0 ? operation::deliver : operation::flags;
        co_await p.run(what);
        co_await who.glance();  // what was seen in this boot counts in the next
    }

    // --- what must hold --------------------------------------------------------------------------------------

    void recover() {
        if (writer_ && !writer_->self->dead()) others_.push_back(std::move(writer_));
        if (other_ && !other_->self->dead()) others_.push_back(std::move(other_));
        if (witness_ && !witness_->self->dead()) others_.push_back(std::move(witness_));
        auto one = start(one_in(chance_, 2)), two = start(one_in(chance_, 2));
        std::vector<asio::awaitable<void>> opening;
        opening.push_back(one->glance());
        opening.push_back(two->glance());
        machine_.run_interleaved(std::move(opening));
        others_.push_back(std::move(one));
        others_.push_back(std::move(two));
        check_equal();
        life_goes_on();
        others_.push_back(start(true));
        check_equal();
        auto& last = *others_.back();
        auto const there = look_alone(last, true);
        machine_.run_alone(last.verify_all(there, last.missing));
    }
    // All who live see the same, byte for byte, and it is what the journal allows.
    void check_equal() {
        std::optional<sight> first;
        for (auto const& who : others_) {
            auto s = look_alone(*who, true);
            machine_.run_alone(who->dump_trees(s));
            if (!first) first.emplace(std::move(s));
            else compare(*first, s);
        }
        journal_.settle(first->accounts);
    }
    static void compare(sight const& a, sight const& b) {
        for (auto const& [name, bytes] : a.snapshots) {
            auto const at = b.snapshots.find(name);
            if (at == b.snapshots.end()) throw violation("I5: only one of two processes sees " + name);
            if (at->second != bytes) throw violation("I5: two processes have different states of " + name);
        }
        if (a.snapshots.size() != b.snapshots.size()) throw violation("I5: one of two processes sees more mailboxes");
    }
    void life_goes_on() {
        auto const stretch = ++stretches_;
        std::vector<std::unique_ptr<performance>> all;
        std::vector<asio::awaitable<void>> work;
        auto const n = others_.size();
        for (auto i = n - 2; i < n; ++i) {
            all.push_back(std::make_unique<performance>(*others_[i], journal_, names_, chance_(), stretch, n - 1 - i));
            work.push_back(write_some(*all.back()));
        }
        machine_.run_interleaved(std::move(work));
    }
    static asio::awaitable<void> write_some(performance& p) {
        co_await p.run(operation::deliver);
        co_await p.run(operation::keywords);
        co_await p.run(operation::subscribe);
    }

    crash_case case_;
    seeded_random program_, chance_;
    machine machine_;
    journal journal_;
    std::uint64_t names_ = 0, actors_ = 0;
    stretch_number stretches_ = 0;
    std::uint64_t rotate_ = 0;
    bool small_files_ = false, stopped_ = false;
    bool power_goes_ = false, others_go_on_ = false;
    power_cut how_ = power_cut::any;
    actor_ptr writer_, other_, witness_;
    std::vector<actor_ptr> others_;  // who lives at the end
    std::vector<std::uint64_t> points_;
};

}  // namespace mailfs::crash
