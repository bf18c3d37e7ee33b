// SPDX-License-Identifier: BSL-1.0
// Whatever is deleted of a mailbox's files, rebuild gives back every message; and UIDs and flags, when any of them is left.
#include <mailfs/store/rebuild.hpp>

#include <mailfs/store/history.hpp>
#include <mailfs/store/verify.hpp>

#include "recovery_fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace mailfs::test::rebuild_tests {

namespace {


struct message {
    uid_t uid = 0;
    std::string flags;
    friend bool operator==(message const&, message const&) = default;
};
struct box_state {
    std::uint32_t uid_validity = 0;
    uid_t uid_next = 0;
    modseq_t modseq = 0;
    std::map<std::string, message> messages;  // by their bodies
};

template <class Account>
asio::awaitable<box_state> look(Account account, std::string name) {
    auto box = co_await account.open(name);
    auto past = co_await open_past(account, name, log_cut{});
    box_state out{box.uid_validity(), past.state().uid_next(), past.state().highest_modseq(), {}};
    std::vector<past_message> messages;
    auto const all = past.uids();
    past.for_each(all, [&](past_message m) { messages.push_back(std::move(m)); });
    for (auto const& m : messages) {
        auto const body = co_await past.read(m.uid);
        auto text = std::to_string(static_cast<std::uint32_t>(m.entry.flags));
        for (auto const& k : m.entry.keywords) text += ' ' + k;
        bool const single = out.messages.emplace(text_of(body), message{m.uid, text}).second;
        CHECK(single);
    }
    co_return out;
}

// Three generations of INBOX: in each three messages come, the second is flagged at once and the one before it in the next
// generation, the third is expunged. What the mailbox was at the end of each, and who was ever in it under which UID.
template <class On>
struct lived {
    std::string box;
    box_state last;
    std::vector<box_state> ends;        // of each generation
    std::map<uid_t, std::string> uids;  // bodies
    std::set<std::string> expunged;
};

template <class On>
asio::awaitable<lived<On>> live(recovery_fixture<On>& f) {
    lived<On> out;
    auto s = f.open();
    auto alice = co_await s.account("alice");
    out.box = co_await f.box_of(alice, "INBOX");
    auto inbox = co_await alice.open("INBOX");
    for (int g = 1; g <= 3; ++g) {
        std::vector<uid_t> uids;
        for (int i = 1; i <= 3; ++i) {
            auto const body = "generation " + std::to_string(g) + ", message " + std::to_string(i);
            auto const uid = co_await deliver(inbox, body);
            uids.push_back(uid);
            out.uids[uid] = body;
        }
        flag_change const change{flag_mode::add, flag::flagged, {"k" + std::to_string(g)}, {}};
        co_await inbox.set_flags(uid_set::one(uids[1]), change);
        if (g > 1) co_await inbox.set_flags(uid_set::one(uids[0] - 2), change);
        auto const third = uid_set::one(uids[2]);
        co_await inbox.expunge(third, false);
        out.expunged.insert(out.uids[uids[2]]);
        auto now = co_await look(alice, "INBOX");
        out.ends.push_back(now);
        if (g < 3) co_await f.rotate(alice, "INBOX");
    }
    out.last = out.ends.back();
    co_return out;
}

template <class On>
asio::awaitable<rebuild_report> rebuild_alice(recovery_fixture<On>& f, rebuild_options options) {
    auto s = f.open();
    co_return co_await rebuild(s, std::string("alice"), options);
}
template <class On>
asio::awaitable<rebuild_report> rebuild_alice(recovery_fixture<On>& f) {
    return rebuild_alice(f, rebuild_options{});
}
template <class On>
asio::awaitable<box_state> look_again(recovery_fixture<On>& f) {
    auto s = f.open();
    auto alice = co_await s.account("alice");
    co_return co_await look(alice, "INBOX");
}
template <class On>
asio::awaitable<std::string> findings(recovery_fixture<On>& f) {
    auto s = f.open();
    std::string text;
    verify_observer observer;
    observer.found = [&](finding const& x) {
        if (x.how != severity::note) text += std::string(to_text(x.how)) + ' ' + x.file + ": " + x.what + '\n';
    };
    co_await verify(s, std::string("alice"), observer);
    co_return text;
}

rebuilt_mailbox inbox_of(rebuild_report const& r) {
    for (auto const& m : r.mailboxes)
        if (m.name == "INBOX") return m;
    return {};
}

std::string text_of_report(rebuild_report const& r) {
    auto const m = inbox_of(r);
    std::string text = "kept " + std::to_string(m.kept) + " adopted " + std::to_string(m.adopted) + " left out " +
                       std::to_string(m.left_out);
    for (auto const& x : m.faults) text += '\n' + x;
    return text;
}

constexpr char const* names[] = {"log.1", "log.2", "index.2", "log.3", "index.3"};

}  // namespace

// The files of three generations, each there or not: 32 cases.
TEST_CASE_TEMPLATE("rebuild: whichever files of a mailbox are gone, no message is lost, and no UID gets another message", On,
                   memory_single, memory_multi, posix_single, posix_multi) {
    for (unsigned gone = 0; gone < 32; ++gone) {
        recovery_fixture<On> f;
        run([&]() -> asio::awaitable<void> {
            auto const before = co_await live(f);
            auto const has = [&](int i) { return (gone >> i & 1) == 0; };
            for (int i = 0; i < 5; ++i)
                if (!has(i)) co_await f.fs.remove(before.box + '/' + names[i]);
            auto const left = co_await files_below(f.fs, before.box);
            std::vector<std::vector<std::byte>> contents;
            for (auto const& path : left) contents.push_back(co_await read_file(f.fs, path));

            f.host.pass(3'600'000);
            auto const report = co_await rebuild_alice(f);
            auto const after = co_await look_again(f);
            INFO("gone: ", gone, "\n", text_of_report(report));

            // Every message is there. What was expunged stays away where an index or a log of its time or later is left.
            for (auto const& [body, m] : before.last.messages) CHECK_MESSAGE(after.messages.contains(body), body);
            bool const any = gone != 31;
            for (auto const& [body, m] : after.messages) {
                if (before.last.messages.contains(body)) continue;
                CHECK(before.expunged.contains(body));
                if (gone == 0) CHECK_MESSAGE(false, body);
            }
            if (has(3) && (has(4) || (has(1) && has(2)) || (has(0) && has(1))))
                CHECK(after.messages.size() == before.last.messages.size());

            // UIDs: as they were, or beyond all that there were, or under another UIDVALIDITY.
            bool const same = after.uid_validity == before.last.uid_validity;
            CHECK(same == any);
            if (!same) CHECK(after.uid_validity > before.last.uid_validity);
            for (auto const& [body, m] : after.messages) {
                if (!same) continue;
                auto const was = before.uids.find(m.uid);
                if (was != before.uids.end())
                    CHECK(was->second == body);
                else
                    CHECK(m.uid >= before.last.uid_next);
            }
            if (inbox_of(report).outcome != rebuild_outcome::unchanged) CHECK(after.modseq > before.last.modseq);
            if (gone == 0) {
                CHECK(!report.changed());
                CHECK(after.messages == before.last.messages);
                CHECK(after.modseq == before.last.modseq);
            }
            // Whatever generation is left, its UIDs and flags are.
            auto const keeps = [&](int generation) {
                for (auto const& [body, m] : before.ends[static_cast<std::size_t>(generation)].messages) {
                    if (!before.last.messages.contains(body)) continue;
                    CHECK_MESSAGE(after.messages.at(body).uid == m.uid, body);
                }
            };
            if (has(4)) keeps(1);
            if (has(2)) keeps(0);
            if (has(0)) keeps(0);
            if (has(3) && has(4)) CHECK(after.messages == before.last.messages);
            if (has(3))
                for (auto const* body : {"generation 3, message 1", "generation 3, message 2"})
                    CHECK(after.messages.at(body) == before.last.messages.at(body));
            if (has(1))
                for (auto const* body : {"generation 2, message 1", "generation 2, message 2"})
                    CHECK(after.messages.at(body).uid == before.last.messages.at(body).uid);

            // What was there still is, but for a seal at the end of a log.
            for (std::size_t i = 0; i < left.size(); ++i) {
                auto const now = co_await read_file(f.fs, left[i]);
                bool const grown =
                    now.size() >= contents[i].size() && std::equal(contents[i].begin(), contents[i].end(), now.begin());
                CHECK(grown);
            }

            // A second time nothing changes.
            auto const files = co_await files_below(f.fs, "alice");
            auto const again = co_await rebuild_alice(f);
            CHECK(!again.changed());
            auto const still = co_await files_below(f.fs, "alice");
            CHECK(still == files);
            auto const then = co_await look_again(f);
            CHECK(then.messages == after.messages);

            // And the mailbox works.
            auto s = f.open();
            auto alice = co_await s.account("alice");
            auto inbox = co_await alice.open("INBOX");
            auto const uid = co_await deliver(inbox, "behind it");
            CHECK(uid >= after.uid_next);
            co_await f.rotate(alice, "INBOX");
            auto const last = co_await look_again(f);
            CHECK(last.messages.size() == after.messages.size() + 1);
        });
    }
}

}  // namespace mailfs::test::rebuild_tests
