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
        check_vanished(truth);
        highest_ = view_.highest_modseq();
    }

    /// What is shown stays as it is until refresh().
    void check_stable() const {
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
        check_stable();
    }
    // What QRESYNC would tell a client that knew all up to the refresh before.
    void check_vanished(mailbox_model const& truth) const {
        auto const told = view_.vanished_since(highest_);
        REQUIRE(told);
        uid_set expected;
        for (auto const& [uid, at] : truth.vanished)
            if (at > highest_) expected.add(uid);
        CHECK(*told == expected);
    }

    view view_;
    std::vector<uid_t> list_;
    std::map<uid_t, message_shown> told_;
    modseq_t highest_ = 0;
};

/// How one history is made.
struct character {
    std::size_t append_max = 4;       // messages of one append step
    std::uint32_t expunge_share = 4;  // one step in so many
    std::size_t keyword_count = 150;
    std::size_t messages_max = 300;
    bool unique_sets = false;         // flag changes make ever new sets of keywords
    std::uint32_t reload_share = 20;  // after one transaction in so many the state is dumped and loaded
};

class history {
public:
    history(std::uint64_t seed, character how) : random_(seed), how_(how) {
        live_.state.reset(object);
        late_.load(live_.state.dump());
    }

    void run(std::uint64_t steps) {
        for (std::uint64_t n = 0; n < steps; ++n) {
            transact();
            happen();
            check_state();
            for (auto const& c : clients_) c.check_stable();
        }
        for (auto& c : clients_) c.refresh(model_);
        check_equal_dumps();
    }
    std::size_t compactions() const { return compactions_; }

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
        for (auto n = how_.unique_sets ? 6 : pick(4); n > 0; --n) out.push_back(keyword());
        return out;
    }
    flag some_flags() { return static_cast<flag>(pick(32)); }
    uid_set some_uids() {
        uid_set out;
        auto const end = model_.uid_next + 3;
        for (auto n = 1 + pick(3); n > 0; --n) {
            auto const first = static_cast<uid_t>(pick(end));
            auto const last = one_in(20) ? uid_max : static_cast<uid_t>(first + pick(one_in(3) ? end : 4));
            out.add(std::max(first, 1U), std::max(last, 1U));
        }
        return out;
    }
    void add_step(std::vector<step>& steps) {
        if (one_in(how_.expunge_share) || model_.messages.size() > how_.messages_max) {
            steps.push_back(expunge_step{some_uids(), !one_in(3)});
            return;
        }
        switch (pick(12)) {
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
                steps.push_back(metadata_step{"key" + std::to_string(pick(5)),
                                              one_in(3) ? std::nullopt : std::optional(std::string(pick(20), 'v'))});
                break;
            case 9: steps.push_back(cache_step{some_uid(), random_()}); break;
            default: {
                auto const uid = some_uid();
                auto const it = model_.messages.find(uid);
                auto const id =
                    it != model_.messages.end() && !one_in(4) ? it->second.entry.id : guid::from_words(1, random_());
                steps.push_back(relocate_step{uid, id, {random_(), random_()}});
            }
        }
    }
    message_entry message() {
        message_entry m;
        m.id = guid::from_words(random_(), random_());
        m.where = {random_(), random_()};
        m.size = static_cast<std::uint32_t>(pick(100'000));
        m.received_ms = random_();
        m.flags = some_flags();
        m.keywords = keywords();
        return m;
    }
    uid_t some_uid() { return static_cast<uid_t>(1 + pick(model_.uid_next)); }
    modseq_t some_modseq() { return modseq_t{model_.at.epoch} << 32 | pick(model_.at.n + 1U); }

    // --- telling them ------------------------------------------------------------------------------------------
    void transact() {
        std::vector<step> steps;
        for (auto n = 1 + pick(4); n > 0; --n) add_step(steps);
        format::mailbox_transaction t;
        for (auto const& s : steps) encode(t, s);
        auto& writer = writers_[pick(3)];
        dot const id{{static_cast<std::uint32_t>(&writer - writers_), 7}, ++writer};
        mailfs::stamp const when{random_() >> 1};
        record(t.bytes(), id, when);
        model_.apply(steps, id, when);
        mailbox_outcome out;
        auto const rows_before = live_.state.rows().count();
        auto const expected_ids = mailbox_state::next_id_after(live_.state.next_id(), last());
        REQUIRE(live_.state.apply(last(), &out) == admission::fresh);
        CHECK(live_.state.next_id() == expected_ids);
        if (live_.state.rows().count() < rows_before) ++compactions_;
        REQUIRE(late_.state.apply(last(), nullptr) == admission::fresh);
        check_outcome(out);
        if (one_in(10)) repeat();
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
        if (one_in(30)) both([](mailbox_state& s) { s.skip_ids(5); }), model_.uid_next += 5;
        if (clients_.size() < 4 && one_in(10)) clients_.emplace_back(live_.state);
        if (!clients_.empty() && one_in(50)) clients_.pop_front();
        for (auto& c : clients_)
            if (one_in(7)) c.refresh(model_);
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
        CHECK(!out.keywords_refused);
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
        CHECK(s.keywords().names() == model_.names);
        CHECK(std::map<std::string, std::string>(s.metadata().begin(), s.metadata().end()) == model_.metadata);
        std::vector<uid_t> uids;
        s.for_each(1, uid_max, [&](std::size_t row) { uids.push_back(s.rows().uid[row]); });
        CHECK(std::equal(uids.begin(), uids.end(), model_.messages.begin(), model_.messages.end(),
                         [](uid_t u, auto const& m) { return u == m.first; }));
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
    std::vector<std::byte> record_;
    std::uint64_t writers_[3]{};
    std::size_t compactions_ = 0;
};

std::size_t run_histories(character how, std::uint64_t seeds, std::uint64_t steps) {
    auto const only = from_environment("MAILFS_MODEL_SEED", 0);
    std::size_t compactions = 0;
    for (std::uint64_t seed = only != 0 ? only : 1; seed <= (only != 0 ? only : seeds); ++seed) {
        CAPTURE(seed);
        history h(seed, how);
        h.run(from_environment("MAILFS_MODEL_STEPS", steps));
        compactions += h.compactions();
    }
    return compactions;
}

}  // namespace

TEST_CASE("mailbox_state: random histories end as a naive model says, and clients that follow views see all of it") {
    run_histories({}, 12, 400);
}
TEST_CASE("mailbox_state: the same where most is expunged again, and rows are swept out") {
    auto const compactions = run_histories({.append_max = 200, .expunge_share = 3, .messages_max = 900}, 4, 300);
    CHECK(compactions > 0);
}
TEST_CASE("mailbox_state: the same where keywords make ever new sets") {
    run_histories({.append_max = 20,
                   .expunge_share = 6,
                   .keyword_count = 400,
                   .messages_max = 60,
                   .unique_sets = true,
                   .reload_share = 300},
                  4, 600);
}
