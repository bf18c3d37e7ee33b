// SPDX-License-Identifier: BSL-1.0
// Random histories of a mailbox, told to the state machine and to a naive model; clients watch through views.
//   MAILFS_MODEL_STEPS: transactions of each history (default 400); MAILFS_MODEL_SEED: run that seed alone.
#include <mailfs/index/view.hpp>

#include "mailbox_model.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <list>
#include <memory>
#include <new>
#include <random>

using namespace mailfs;
using namespace mailfs::test;

namespace {

guid const object = guid::from_words(11, 12);

std::uint64_t from_environment(char const* name, std::uint64_t otherwise) {
    auto const* text = std::getenv(name);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// Bytes where a mapping would put them: on a page of their own.
class page_copy {
public:
    page_copy() = default;
    explicit page_copy(bytes_view bytes)
        : size_(bytes.size()), bytes_(static_cast<std::byte*>(::operator new(size_, alignment))) {
        std::copy(bytes.begin(), bytes.end(), bytes_.get());
    }
    std::span<std::byte> bytes() const { return {bytes_.get(), size_}; }

private:
    static constexpr std::align_val_t alignment{4096};
    struct release {
        void operator()(std::byte* p) const { ::operator delete(p, alignment); }
    };
    std::size_t size_ = 0;
    std::unique_ptr<std::byte, release> bytes_;
};

/// A state with what it stands on.
struct replica {
    page_copy under;
    mailbox_state state;

    void load(bytes_view dump) {
        page_copy fresh(dump);
        state.load(fresh.bytes(), "index.test");
        under = std::move(fresh);
    }
};

struct message_shown {
    flag flags = flag::none;
    std::set<std::string> keywords;
    modseq_t modseq = 0;
    friend bool operator==(message_shown const&, message_shown const&) = default;
};

message_shown shown(message_row const& row) {
    message_shown out{row.flags, {}, row.modseq};
    for (auto const& k : row.keywords) out.keywords.insert(folded(k));
    return out;
}
message_shown shown(model_message const& m) { return {m.entry.flags, m.keywords, m.modseq}; }

/// A session: knows only what its view told it.
class client {
public:
    explicit client(mailbox_state& state) : view_(state) {
        view_.for_each(1, uid_max, [&](uid_t uid) { learn(uid); });
        highest_ = view_.highest_modseq();
    }

    void refresh(mailbox_model const& truth) {
        auto const before = list_;
        auto const news = view_.refresh();
        uid_set gone;
        for (auto number : news.expunged) {
            REQUIRE(number >= 1);
            REQUIRE(number <= list_.size());
            auto const at = list_.begin() + (number - 1);
            gone.add(*at);
            told_.erase(*at);
            list_.erase(at);
        }
        CHECK(gone == news.expunged_uids);
        news.changed.for_each([&](uid_t uid) {
            CHECK(told_.contains(uid));
            tell(uid);
        });
        news.arrived.for_each([&](uid_t uid) {
            CHECK(std::find(before.begin(), before.end(), uid) == before.end());
            learn(uid);
        });
        CHECK(news.messages == list_.size());
        if (news.empty()) CHECK(before == list_);
        agree(truth);
        highest_ = view_.highest_modseq();
    }

    /// What is shown stays as it is until refresh(), and nobody is told that a message vanished which is shown.
    void check_stable(mailbox_model const& truth) const {
        REQUIRE(view_.messages() == list_.size());
        uid_set all;
        for (std::uint32_t n = 1; n <= list_.size(); ++n) {
            auto const uid = list_[n - 1];
            all.add(uid);
            if (view_.uid(n) != uid || view_.number(uid) != n)
                FAIL("message ", n, " is uid ", view_.uid(n), " and not ", uid);
            if (!std::binary_search(list_.begin(), list_.end(), uid + 1) && view_.number(uid + 1))
                FAIL("uid ", uid + 1, " is not shown");
        }
        CHECK(view_.uids() == all);
        CHECK(!view_.number(0));
        CHECK(view_.uid_next() > (list_.empty() ? 0 : list_.back()));
        check_vanished(truth);
    }

private:
    void tell(uid_t uid) {
        auto const row = view_.row(uid);
        REQUIRE(row);
        told_[uid] = shown(*row);
    }
    void learn(uid_t uid) {
        CHECK((list_.empty() || list_.back() < uid));
        list_.push_back(uid);
        tell(uid);
    }
    void agree(mailbox_model const& truth) const {
        REQUIRE(list_.size() == truth.messages.size());
        std::size_t i = 0;
        std::optional<std::uint32_t> first_unseen;
        for (auto const& [uid, m] : truth.messages) {
            REQUIRE(list_[i++] == uid);
            if (told_.at(uid) != shown(m)) FAIL("uid ", uid, " changed, and nobody told");
            if (!first_unseen && !has(m.entry.flags, flag::seen)) first_unseen = static_cast<std::uint32_t>(i);
        }
        CHECK(view_.first_unseen() == first_unseen);
        CHECK(view_.highest_modseq() == truth.at.modseq());
        CHECK(view_.uid_next() == truth.uid_next);
        check_stable(truth);
    }
    // What QRESYNC would tell a client that knew all up to the refresh before.
    void check_vanished(mailbox_model const& truth) const {
        auto const told = view_.vanished_since(highest_);
        REQUIRE(told.has_value() == (highest_ >= view_.state().vanished().floor()));
        if (!told) return;
        uid_set expected;
        for (auto const& [uid, at] : truth.vanished)
            if (at > highest_ && uid < view_.uid_next() && !std::binary_search(list_.begin(), list_.end(), uid))
                expected.add(uid);
        CHECK(*told == expected);
    }

    view view_;
    std::vector<uid_t> list_;
    std::map<uid_t, message_shown> told_;
    modseq_t highest_ = 0;
};

/// A client that goes away and comes back (RFC 7162, QRESYNC): it knows what it saw and up to which MODSEQ, and is told the
/// UIDs that vanished since, and the messages with a greater MODSEQ. Nothing else.
class returning_client {
public:
    /// Comes back, is told what is new, and must know all there is.
    void come_back(mailbox_state& state, mailbox_model const& truth) {
        view const now(state);
        auto const vanished = now.vanished_since(since_);
        if (vanished) {
            vanished->for_each([&](uid_t uid) {
                if (uid < uid_next_ && !known_.erase(uid)) CHECK(truth.vanished.contains(uid));
            });
        } else {
            std::erase_if(known_, [&](auto const& k) { return !now.number(k.first); });
        }
        now.for_each(1, uid_max, [&](uid_t uid) {
            auto const row = now.row(uid);
            REQUIRE(row);
            if (row->modseq > since_) known_[uid] = shown(*row);
        });
        CHECK(known_.size() == truth.messages.size());
        for (auto const& [uid, m] : truth.messages)
            if (auto const it = known_.find(uid); it == known_.end() || it->second != shown(m))
                FAIL("uid ", uid, " is unknown, or not as it was told");
        since_ = now.highest_modseq();
        uid_next_ = now.uid_next();
    }

private:
    std::map<uid_t, message_shown> known_;
    modseq_t since_ = 0;
    uid_t uid_next_ = 1;
};

/// How one history is made.
struct character {
    std::size_t append_max = 4;       // messages of one append step
    std::uint32_t expunge_share = 4;  // one step in so many
    std::size_t keyword_count = 150;
    std::size_t keywords_max = 3;  // of one step
    std::size_t messages_max = 300;
    bool unique_sets = false;          // flag changes make ever new sets of keywords
    std::uint32_t reload_share = 20;   // after one transaction in so many the state is dumped and loaded
    std::uint32_t refresh_share = 7;   // each view looks after one transaction in so many
    std::uint32_t leave_share = 50;    // a client goes after one transaction in so many
    std::uint32_t scatter_share = 30;  // one set of UIDs in so many is every other message
    std::size_t relocate_max = 1;      // messages of one relocation
    std::uint64_t uid_start = 1;
};

class history {
public:
    history(std::uint64_t seed, character how) : random_(seed), how_(how) {
        live_.state.reset(object);
        late_.load(live_.state.dump());
        for (auto& counter : writers_) counter = 0xff'ffff - random_() % 200;
        if (how_.uid_start > 1) tell({raise_step{1, static_cast<uid_t>(how_.uid_start)}});
    }

    void run(std::uint64_t steps) {
        for (std::uint64_t n = 0; n < steps; ++n) {
            transact();
            happen();
            check_state();
            for (auto const& c : clients_) c.check_stable(model_);
        }
        for (auto& c : clients_) c.refresh(model_);
        for (auto& c : away_) c.come_back(live_.state, model_);
        check_equal_dumps();
    }
    mailbox_model const& model() const { return model_; }
    std::size_t compactions() const { return compactions_; }
    std::size_t set_compactions() const { return set_compactions_; }
    std::size_t tidyings() const { return tidyings_; }

private:
    std::uint64_t pick(std::uint64_t n) { return random_() % n; }
    bool one_in(std::uint64_t n) { return pick(n) == 0; }

    // --- making transactions -----------------------------------------------------------------------------------
    std::string keyword() {
        auto name = "$az" + std::to_string(pick(how_.keyword_count));
        for (auto& c : name)
            if (one_in(4)) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        return name;
    }
    std::vector<std::string> keywords() {
        std::vector<std::string> out;
        if (!how_.unique_sets && !one_in(3)) return out;
        for (auto n = how_.unique_sets ? how_.keywords_max : pick(how_.keywords_max + 1); n > 0; --n)
            out.push_back(keyword());
        return out;
    }
    flag some_flags() { return static_cast<flag>(pick(32)); }
    uid_set some_uids() {
        uid_set out;
        if (one_in(how_.scatter_share)) {
            bool take = one_in(2);
            for (auto const& [uid, m] : model_.messages)
                if ((take = !take)) out.add(uid);
            return out;
        }
        auto const count = model_.uid_next - how_.uid_start + 3;
        for (auto n = 1 + pick(3); n > 0; --n) {
            auto const first = std::min<std::uint64_t>(how_.uid_start + pick(count), uid_max);
            auto const last = one_in(20) ? uid_max : std::min<std::uint64_t>(first + pick(one_in(3) ? count : 4), uid_max);
            out.add(static_cast<uid_t>(first), static_cast<uid_t>(last));
        }
        return out;
    }
    void add_step(std::vector<step>& steps) {
        if (one_in(how_.expunge_share) || model_.messages.size() > how_.messages_max) {
            steps.push_back(expunge_step{some_uids(), !one_in(3)});
            return;
        }
        switch (pick(14)) {
            case 12:
            case 13: copy_some(steps); break;
            case 0:
            case 1:
            case 2:
                for (auto n = 1 + pick(how_.append_max); n > 0; --n) steps.push_back(append_step{message()});
                break;
            case 3:
            case 4:
            case 5:
            case 6: {
                flag_change c{static_cast<flag_mode>(pick(3)), some_flags(), keywords(), {}};
                if (one_in(4)) c.unchanged_since = some_modseq();
                steps.push_back(flags_step{some_uids(), c});
                break;
            }
            case 7:
                if (one_in(10))
                    steps.push_back(raise_step{
                        static_cast<std::uint32_t>(pick(100)),
                        static_cast<uid_t>(model_.uid_next + pick(10) - std::min<std::uint64_t>(4, model_.uid_next))});
                break;
            case 8:
                steps.push_back(metadata_step{
                    "key" + std::to_string(pick(5)),
                    one_in(3) ? std::nullopt : std::optional(std::string(pick(one_in(3) ? 60'000 : 20), 'v'))});
                break;
            case 9: steps.push_back(cache_step{some_uid(), one_in(4) ? random_() : pick(1ULL << 33) * 8}); break;
            default:
                for (auto n = 1 + pick(how_.relocate_max); n > 0; --n) relocate(steps);
        }
    }
    void relocate(std::vector<step>& steps) {
        auto const uid = some_uid();
        auto const it = model_.messages.find(uid);
        auto const id = it != model_.messages.end() && !one_in(4) ? it->second.entry.id : guid::from_words(1, random_());
        steps.push_back(relocate_step{uid, id, some_place()});
    }
    // As COPY does it: the same body under the same guid, with the flags and keywords that the message has.
    void copy_some(std::vector<step>& steps) {
        for (auto n = 1 + pick(how_.append_max); n > 0 && !model_.messages.empty(); --n) {
            auto it = model_.messages.lower_bound(some_uid());
            if (it == model_.messages.end()) it = model_.messages.begin();
            auto entry = it->second.entry;
            entry.keywords.assign(it->second.keywords.begin(), it->second.keywords.end());
            steps.push_back(append_step{std::move(entry)});
        }
    }
    // Often in one of a few files, near the place where the low part of an offset ends.
    mail_location some_place() {
        if (one_in(4)) return {random_(), random_()};
        return {pick(5), pick(3) * (1U << 24) - (one_in(2) ? 0 : pick(100))};
    }
    std::uint64_t some_time() { return one_in(3) ? random_() : pick(6'000'000'000'000); }
    message_entry message() {
        message_entry m;
        m.id = guid::from_words(random_(), random_());
        m.where = some_place();
        m.size = static_cast<std::uint32_t>(pick(100'000));
        m.received_ms = some_time();
        m.flags = some_flags();
        m.keywords = keywords();
        return m;
    }
    uid_t some_uid() {
        return static_cast<uid_t>(
            std::min<std::uint64_t>(how_.uid_start + pick(model_.uid_next - how_.uid_start + 1), uid_max));
    }
    modseq_t some_modseq() { return modseq_t{model_.at.epoch} << 32 | pick(model_.at.n + 1U); }

    // --- telling them ------------------------------------------------------------------------------------------
    void transact() {
        std::vector<step> steps;
        for (auto n = 1 + pick(4); n > 0; --n) add_step(steps);
        tell(steps);
        if (one_in(10)) repeat();
    }
    void tell(std::vector<step> const& steps) {
        format::mailbox_transaction t;
        for (auto const& s : steps) encode(t, s);
        auto& writer = writers_[pick(3)];
        writer += one_in(10) ? 1 + pick(1U << 16) : 1;
        dot const id{{static_cast<std::uint32_t>(&writer - writers_), 7}, writer};
        auto const when = stamp::at(some_time() & 0xffff'ffff'ffffU);
        record(t.bytes(), id, when);
        model_.apply(steps, id, when);
        mailbox_outcome out;
        auto const rows_before = live_.state.rows().count(), sets_before = live_.state.keywords().set_count();
        auto const bases_before = live_.state.rows().where.bases.size();
        auto const expected_ids = mailbox_state::next_id_after(live_.state.next_id(), last());
        REQUIRE(live_.state.apply(last(), &out) == admission::fresh);
        CHECK(live_.state.next_id() == expected_ids);
        auto const& rows = live_.state.rows();
        if (rows.count() < rows_before)
            ++compactions_;
        else if (rows.where.bases.size() < bases_before)
            ++tidyings_;
        if (live_.state.keywords().set_count() < sets_before) ++set_compactions_;
        REQUIRE(late_.state.apply(last(), nullptr) == admission::fresh);
        check_outcome(out);
    }
    void record(bytes_view operations, dot const& id, mailfs::stamp when) {
        format::record_header h;
        h.kind = static_cast<std::uint8_t>(format::record_kind::transaction);
        h.node = id.origin.node;
        h.incarnation = id.origin.incarnation;
        h.counter = id.counter;
        h.stamp = when.value;
        record_.clear();
        format::encode_record(record_, h, operations, 5);
    }
    format::record_view last() const { return format::decode_record(record_, 5).value(); }
    void repeat() {
        mailbox_outcome out;
        CHECK(live_.state.apply(last(), &out) == admission::repeat);
        CHECK((out.changed.empty() && out.expunged.empty() && out.appended == 0));
    }

    // --- what else may happen ----------------------------------------------------------------------------------
    void happen() {
        if (one_in(how_.reload_share)) reload();
        if (one_in(20)) late_.load(live_.state.dump());
        if (one_in(60))
            both([](mailbox_state& s) { s.stream().restart(guid::from_words(3, s.stream().at.epoch)); }), model_.restart();
        if (one_in(30))
            both([](mailbox_state& s) { s.skip_ids(5); }),
                model_.uid_next = std::min<std::uint64_t>(model_.uid_next + 5, uid_max);
        if (clients_.size() < 4 && one_in(10)) clients_.emplace_back(live_.state);
        if (!clients_.empty() && one_in(how_.leave_share)) clients_.pop_front();
        for (auto& c : clients_)
            if (one_in(how_.refresh_share)) c.refresh(model_);
        if (away_.size() < 5 && one_in(10)) away_.emplace_back();
        for (auto& c : away_)
            if (one_in(25)) c.come_back(live_.state, model_);
        if (one_in(15)) check_equal_dumps();
    }
    template <class F>
    void both(F&& f) {
        f(live_.state);
        f(late_.state);
    }
    void reload() { live_.load(live_.state.dump()); }

    // --- what must hold ----------------------------------------------------------------------------------------
    void check_outcome(mailbox_outcome const& out) const {
        auto same = [](uid_set const& told, std::set<uid_t> const& expected) {
            uid_set all;
            for (auto u : expected) all.add(u);
            return told == all;
        };
        CHECK(same(out.changed, model_.changed));
        CHECK(same(out.modified, model_.modified));
        CHECK(same(out.expunged, model_.expunged));
        CHECK(out.appended == model_.appended.size());
        CHECK(out.first_uid == (model_.appended.empty() ? 0 : model_.appended.front()));
        CHECK(out.keywords_refused == model_.keywords_refused);
    }
    void check_state() const {
        auto const& s = live_.state;
        mailbox_counters sums;
        for (auto const& [uid, m] : model_.messages) {
            ++sums.messages;
            sums.unseen += has(m.entry.flags, flag::seen) ? 0U : 1U;
            sums.deleted += has(m.entry.flags, flag::deleted) ? 1U : 0U;
            sums.bytes += m.entry.size;
            check_row(uid, m);
        }
        CHECK(s.counters() == sums);
        CHECK(s.digest() == model_.digest());
        CHECK(s.uid_next() == model_.uid_next);
        CHECK(s.uid_validity() == model_.uid_validity);
        CHECK(s.highest_modseq() == model_.at.modseq());
        CHECK_NOTHROW(s.verify());
        check_vanished(some_modseq_of(s));
        CHECK(s.keywords().names() == model_.names);
        CHECK(std::map<std::string, std::string>(s.metadata().begin(), s.metadata().end()) == model_.metadata);
        std::vector<uid_t> uids;
        s.for_each(1, uid_max, [&](std::size_t row) { uids.push_back(s.rows().uid[row]); });
        CHECK(std::equal(uids.begin(), uids.end(), model_.messages.begin(), model_.messages.end(),
                         [](uid_t u, auto const& m) { return u == m.first; }));
    }
    modseq_t some_modseq_of(mailbox_state const& s) const {
        auto const& entries = s.vanished().entries();
        return entries.empty() ? 0 : entries[s.stream().chain % entries.size()].modseq - (s.stream().chain >> 32 & 1);
    }
    // Exact from the floor on; and the floor is 0 as long as there were not more than 10 000 expunges.
    void check_vanished(modseq_t since) const {
        auto const& list = live_.state.vanished();
        if (model_.vanished.size() <= 10'000) CHECK(list.floor() == 0);
        CHECK(list.entries().size() <= vanished_list::entries_max);
        auto const from = std::max(since, list.floor());
        uid_set expected;
        for (auto const& [uid, at] : model_.vanished)
            if (at > from) expected.add(uid);
        CHECK(list.since(from) == expected);
    }
    void check_row(uid_t uid, model_message const& m) const {
        auto const& s = live_.state;
        auto const found = s.find(uid);
        REQUIRE(found);
        auto const row = s.rows().get(*found);
        std::set<std::string> keywords;
        for (auto k : s.keywords().members(row.keyword_set)) keywords.insert(folded(s.keywords().names()[k]));
        bool const same = row.flags == std::uint32_t(m.entry.flags) && row.modseq == m.modseq && keywords == m.keywords &&
                          row.size == m.entry.size && row.received_ms == m.entry.received_ms && row.saved_ms == m.saved_ms &&
                          row.id == m.entry.id && row.where == m.entry.where && row.cache == m.cache &&
                          row.dot == message_dot{m.dot.origin.node, m.part, m.dot.origin.incarnation, m.dot.counter};
        if (!same) FAIL("the row of uid ", uid, " is wrong");
    }
    // I5: live, loaded-and-replayed, and loaded just now.
    void check_equal_dumps() const {
        auto const bytes = live_.state.dump();
        CHECK(bytes == late_.state.dump());
        replica again;
        again.load(bytes);
        CHECK(bytes == again.state.dump());
    }

    std::mt19937_64 random_;
    character how_;
    mailbox_model model_;
    replica live_, late_;
    std::list<client> clients_;
    std::list<returning_client> away_;
    std::vector<std::byte> record_;
    std::uint64_t writers_[3]{};
    std::size_t compactions_ = 0, set_compactions_ = 0, tidyings_ = 0;
};

template <class F>
void run_histories(character how, std::uint64_t seeds, std::uint64_t steps, F&& at_end) {
    auto const only = from_environment("MAILFS_MODEL_SEED", 0);
    for (std::uint64_t seed = only != 0 ? only : 1; seed <= (only != 0 ? only : seeds); ++seed) {
        CAPTURE(seed);
        history h(seed, how);
        h.run(from_environment("MAILFS_MODEL_STEPS", steps));
        at_end(h);
    }
}
constexpr auto nothing_more = [](history const&) {};

// What a history is made for has happened; not where it was told to be shorter.
void check_met(bool met) {
    if (std::getenv("MAILFS_MODEL_STEPS") == nullptr && std::getenv("MAILFS_MODEL_SEED") == nullptr) CHECK(met);
}

}  // namespace

TEST_CASE("mailbox_state: random histories end as a naive model says, and clients that follow views see all of it") {
    run_histories({}, 12, 400, nothing_more);
}
TEST_CASE("mailbox_state: the same where most is expunged again, and rows are swept out") {
    std::size_t compactions = 0;
    run_histories({.append_max = 200, .expunge_share = 3, .messages_max = 900}, 4, 300,
                  [&](history const& h) { compactions += h.compactions(); });
    check_met(compactions > 0);
}
TEST_CASE("mailbox_state: the same where keywords make ever new sets") {
    character const how{.append_max = 20,
                        .expunge_share = 6,
                        .keyword_count = 400,
                        .keywords_max = 6,
                        .messages_max = 60,
                        .unique_sets = true,
                        .reload_share = 300};
    std::size_t compactions = 0;
    run_histories(how, 4, 600, [&](history const& h) { compactions += h.set_compactions(); });
    check_met(compactions > 0);
}
TEST_CASE("mailbox_state: the same where there are more keywords than a mailbox may have") {
    character const how{.keyword_count = 20'000, .keywords_max = 40, .messages_max = 30, .unique_sets = true};
    run_histories(how, 1, 250, [](history const& h) { check_met(h.model().names.size() == keyword_table::names_max); });
}
TEST_CASE("mailbox_state: the same where mails are moved from file to file") {
    std::size_t tidyings = 0;
    run_histories({.expunge_share = 20, .messages_max = 50, .reload_share = 200, .relocate_max = 1500}, 2, 250,
                  [&](history const& h) { tidyings += h.tidyings(); });
    check_met(tidyings > 0);
}
TEST_CASE("mailbox_state: the same where changes are scattered, and views look seldom") {
    run_histories({.append_max = 100, .messages_max = 600, .refresh_share = 100, .leave_share = 400, .scatter_share = 1}, 1,
                  300, nothing_more);
}
TEST_CASE("mailbox_state: the same where the mailbox has no UIDs left") {
    run_histories({.messages_max = 1000, .uid_start = uid_max - 150}, 3, 150,
                  [](history const& h) { check_met(h.model().uid_next == uid_max); });
}
