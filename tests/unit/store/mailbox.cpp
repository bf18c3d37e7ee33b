// SPDX-License-Identifier: BSL-1.0
#include <mailfs/store/mailbox.hpp>

#include "store_fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::test::mailbox_tests {

#define ON_ALL_STORES memory_single, posix_multi

namespace {

template <class Pipeline>
asio::awaitable<std::string> all_of(Pipeline mails) {
    std::string text;
    while (true) {
        auto one = co_await mails.next();
        if (!one) break;
        text += std::to_string(one->uid) + '=' + (one->error ? one->error.message() : text_of(one->bytes)) + ' ';
    }
    co_return text;
}

uid_set range(uid_t first, uid_t last) {
    uid_set set;
    set.add(first, last);
    return set;
}

}  // namespace

TEST_CASE_TEMPLATE("mailbox: what is appended is there for every session after its refresh, byte for byte", On,
                   ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(durability::stored), t = f.open();
        auto a = co_await s.account("alice");
        auto b = co_await t.account("alice");
        auto mine = co_await a.open("INBOX");
        auto beside = co_await a.open("INBOX");
        auto other = co_await b.open("INBOX");
        std::string const body("Subject: x\r\n\r\n\0\xff\n", 17);
        append_options const options{flag::seen | flag::flagged, {"$Work", "later"}, 1'600'000'000'000};
        auto const uid = co_await deliver(mine, body, options);
        CHECK(uid == 1);
        CHECK(mine.view().messages() == 0);  // a view is stable until refresh()
        for (auto* box : {&mine, &beside, &other}) {
            auto const changes = co_await box->refresh();
            CHECK(changes.messages == 1);
            CHECK(changes.arrived == uid_set::one(1));
            auto const row = box->view().row(1);
            REQUIRE(row.has_value());
            CHECK(row->flags == (flag::seen | flag::flagged));
            CHECK(row->keywords == std::vector<std::string>{"$Work", "later"});
            CHECK(row->received_ms == 1'600'000'000'000);
            CHECK(row->size == body.size());
            auto const read = co_await box->read(1);
            CHECK(text_of(read) == body);
            auto const quiet = co_await box->refresh();
            CHECK(quiet.empty());
        }
        auto const status = co_await b.status("INBOX");
        CHECK(status.messages == 1);
        CHECK(status.unseen == 0);
        CHECK(status.bytes == body.size());
        CHECK(status.uid_next == 2);
        CHECK(status.uid_validity == other.uid_validity());
        CHECK(status.id == other.id());
    });
}

TEST_CASE_TEMPLATE("mailbox: several messages of one append get UIDs in order, an empty one is a message too", On,
                   ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        std::vector<new_message> const three{{as_bytes("one"), flag::none, {}, 0},
                                             {as_bytes(""), flag::seen, {}, 0},
                                             {as_bytes("three"), flag::none, {"k"}, 7}};
        auto const uids = co_await box.append(three);
        CHECK(uids == std::vector<uid_t>{1, 2, 3});
        co_await box.refresh();
        auto const text = co_await all_of(box.fetch(range(1, uid_max)));
        CHECK(text == "1=one 2= 3=three ");
        auto const none = co_await box.append(std::span<new_message const>{});
        CHECK(none.empty());
        std::vector<new_message> const many(append_count_max + 1);
        auto why = co_await failure_of(box.append(many));
        CHECK(why == errc::too_big);
        std::vector<new_message> const odd{{as_bytes("x"), flag::none, {std::string(256, 'k')}, 0}};
        why = co_await failure_of(box.append(odd));
        CHECK(why == errc::bad_name);
        auto const changes = co_await box.refresh();
        CHECK(changes.empty());
    });
}

TEST_CASE_TEMPLATE("mailbox: flags are added, removed, replaced; a condition spares what changed since", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(), t = f.open();
        auto a = co_await s.account("alice");
        auto b = co_await t.account("alice");
        auto box = co_await a.open("INBOX");
        auto other = co_await b.open("INBOX");
        for (int i = 0; i < 3; ++i) co_await deliver(box, "x");
        co_await box.refresh();
        auto const before = box.view().highest_modseq();
        flag_change const seen{flag_mode::add, flag::seen, {"k"}, {}};
        auto const first = co_await box.set_flags(range(2, 2), seen);
        CHECK(first.modseq > before);
        flag_change const conditional{flag_mode::replace, flag::flagged, {}, before};
        auto const second = co_await other.set_flags(range(1, 3), conditional);
        CHECK(second.modified == uid_set::one(2));
        auto const changes = co_await box.refresh();
        CHECK(changes.changed == range(1, 3));
        CHECK(box.view().row(1)->flags == flag::flagged);
        CHECK(box.view().row(2)->flags == flag::seen);
        CHECK(box.view().row(2)->keywords == std::vector<std::string>{"k"});
        flag_change const remove{flag_mode::remove, flag::seen, {"K"}, {}};
        co_await box.set_flags(range(2, 2), remove);
        CHECK(box.view().row(2)->flags == flag::none);
        CHECK(box.view().row(2)->keywords.empty());
        auto const nothing = co_await box.set_flags(uid_set{}, seen);
        CHECK(nothing.modified.empty());
    });
}

TEST_CASE_TEMPLATE("mailbox: expunge takes what has \\Deleted, or what it is told, and other views keep their numbers", On,
                   ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(), t = f.open();
        auto a = co_await s.account("alice");
        auto b = co_await t.account("alice");
        auto box = co_await a.open("INBOX");
        for (int i = 0; i < 4; ++i) co_await deliver(box, "x" + std::to_string(i + 1));
        auto other = co_await b.open("INBOX");
        flag_change const deleted{flag_mode::add, flag::deleted, {}, {}};
        auto const chosen = uid_set{{2, 3}};
        co_await box.set_flags(chosen, deleted);
        auto gone = co_await box.expunge(range(1, 2));
        CHECK(gone == uid_set::one(2));
        gone = co_await box.expunge(range(4, 4), false);
        CHECK(gone == uid_set::one(4));
        CHECK(other.view().messages() == 4);
        auto const late = co_await all_of(other.fetch(range(1, 4)));
        CHECK(late == "1=x1 2=x2 3=x3 4=x4 ");  // their bodies are there until a purge
        auto const changes = co_await other.refresh();
        CHECK(changes.expunged == std::vector<std::uint32_t>{4, 2});
        CHECK(changes.expunged_uids == uid_set{{2, 2}, {4, 4}});
        CHECK(changes.messages == 2);
        auto const why = co_await failure_of(other.read(2));
        CHECK(why == errc::not_found);
    });
}

TEST_CASE_TEMPLATE("mailbox: a copy shares the body, keeps flags, keywords and date, and outlives its source", On,
                   ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        co_await a.create("other");
        auto box = co_await a.open("INBOX");
        auto target = co_await a.open("other");
        append_options const options{flag::answered, {"k"}, 5000};
        co_await deliver(box, "one", options);
        co_await deliver(box, "two");
        co_await deliver(target, "was here");
        auto result = co_await box.copy_to(range(1, 9), target);
        CHECK(result.uid_validity == target.uid_validity());
        CHECK(result.uids == std::vector<std::pair<uid_t, uid_t>>{{1, 2}, {2, 3}});
        co_await box.refresh();
        co_await target.refresh();
        CHECK(target.view().row(2)->id == box.view().row(1)->id);
        CHECK(target.view().row(2)->flags == flag::answered);
        CHECK(target.view().row(2)->keywords == std::vector<std::string>{"k"});
        CHECK(target.view().row(2)->received_ms == 5000);
        co_await box.expunge(range(1, 2), false);
        auto const text = co_await all_of(target.fetch(range(1, 9)));
        CHECK(text == "1=was here 2=one 3=two ");
        result = co_await box.copy_to(range(1, 2), target);  // gone
        CHECK(result.uids.empty());
        result = co_await target.copy_to(range(2, 2), target);  // into itself
        CHECK(result.uids == std::vector<std::pair<uid_t, uid_t>>{{2, 4}});
    });
}

TEST_CASE_TEMPLATE("mailbox: a copy to another account has a body of its own", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        auto b = co_await s.account("bob");
        auto box = co_await a.open("INBOX");
        auto target = co_await b.open("INBOX");
        append_options const options{flag::seen, {"k"}, 5000};
        co_await deliver(box, "for both", options);
        co_await box.copy_to(range(1, 1), target);
        co_await box.refresh();
        co_await target.refresh();
        CHECK(target.view().row(1)->id != box.view().row(1)->id);
        CHECK(target.view().row(1)->received_ms == 5000);
        auto const mails = co_await f.fs.list("alice/mail");
        for (auto const& name : mails) {
            auto const path = "alice/mail/" + name;
            if constexpr (std::is_same_v<On, posix_multi>) co_await f.fs.remove(path);
        }
        auto const body = co_await target.read(1);
        CHECK(text_of(body) == "for both");
    });
}

TEST_CASE_TEMPLATE("mailbox: a move leaves each message in the target alone", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        co_await a.create("other");
        auto box = co_await a.open("INBOX");
        auto target = co_await a.open("other");
        for (auto const* body : {"one", "two", "three"}) co_await deliver(box, body);
        auto const chosen = uid_set{{1, 1}, {3, 3}};
        auto const result = co_await box.move_to(chosen, target);
        CHECK(result.uids == std::vector<std::pair<uid_t, uid_t>>{{1, 1}, {3, 2}});
        co_await box.refresh();
        co_await target.refresh();
        CHECK(box.view().uids() == uid_set::one(2));
        auto const text = co_await all_of(target.fetch(range(1, 9)));
        CHECK(text == "1=one 2=three ");
    });
}

TEST_CASE("mailbox: more messages than one transaction takes are copied and moved all the same") {
    store_fixture<memory_single> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        co_await a.create("other");
        auto box = co_await a.open("INBOX");
        auto target = co_await a.open("other");
        std::vector<new_message> const full(append_count_max);
        co_await box.append(full);
        co_await box.append(full);
        co_await deliver(box, "last");
        auto const result = co_await box.move_to(range(1, uid_max), target);
        REQUIRE(result.uids.size() == 2 * append_count_max + 1);
        for (uid_t i = 0; i < result.uids.size(); ++i) REQUIRE(result.uids[i] == std::pair(i + 1, i + 1));
        co_await box.refresh();
        co_await target.refresh();
        CHECK(box.view().messages() == 0);
        auto const body = co_await target.read(2 * append_count_max + 1);
        CHECK(text_of(body) == "last");
    });
}

TEST_CASE_TEMPLATE("mailbox: removed while open, it reads on and takes nothing more", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(), t = f.open();
        auto a = co_await s.account("alice");
        auto b = co_await t.account("alice");
        co_await a.create("gone");
        auto box = co_await a.open("gone");
        auto inbox = co_await a.open("INBOX");
        co_await deliver(box, "kept");
        co_await deliver(inbox, "other");
        co_await box.refresh();
        co_await b.remove("gone");
        auto const body = co_await box.read(1);
        CHECK(text_of(body) == "kept");
        co_await box.refresh();
        CHECK(box.view().messages() == 1);
        auto why = co_await failure_of(deliver(box, "too late"));
        CHECK(why == errc::not_found);
        why = co_await failure_of(inbox.copy_to(range(1, 1), box));
        CHECK(why == errc::not_found);
        why = co_await failure_of(inbox.move_to(range(1, 1), box));
        CHECK(why == errc::not_found);
        co_await inbox.refresh();
        CHECK(inbox.view().messages() == 1);
    });
}

TEST_CASE_TEMPLATE("mailbox: a body that is missing or damaged is an error of that message alone", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        auto box = co_await a.open("INBOX");
        {
            auto first = f.open();  // a writer of its own has a file of its own
            auto other = co_await first.account("alice");
            auto inbox = co_await other.open("INBOX");
            co_await deliver(inbox, "lost");
        }
        co_await box.refresh();
        auto const id = box.view().row(1)->id.hex();
        std::vector<std::string> files;
        if constexpr (std::is_same_v<On, posix_multi>) {
            auto const names = co_await f.fs.list("alice/mail");
            files.push_back("alice/mail/" + names.at(0));
        } else {
            files.push_back("alice/mail/" + id.substr(0, 2) + '/' + id);
        }
        co_await deliver(box, "there");
        co_await box.refresh();
        bool const removed = co_await f.fs.remove(files[0]);
        CHECK(removed);
        auto const text = co_await all_of(box.fetch(range(1, 2)));
        CHECK(text == "1=" + make_error_code(errc::body_missing).message() + " 2=there ");
        auto const why = co_await failure_of(box.read(1));
        CHECK(why == errc::body_missing);
    });
}

TEST_CASE_TEMPLATE("mailbox: waiting ends when another store appends", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open(), t = f.open();
        auto a = co_await s.account("alice");
        auto b = co_await t.account("alice");
        auto box = co_await a.open("INBOX");
        auto other = co_await b.open("INBOX");
        co_await box.wait_for_change();
        co_await deliver(other, "news");
        co_await box.wait_for_change();
        auto const changes = co_await box.refresh();
        CHECK(changes.messages == 1);
    });
}

TEST_CASE_TEMPLATE("mailbox: sessions come and go while the index rotates, and miss nothing", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        store_options options;
        options.durability = durability::none;
        options.log.rotate_size_min = 2048;
        typename On::store s(f.fs, options), t(f.fs, options);
        auto a = co_await s.account("alice");
        auto b = co_await t.account("alice");
        auto reader = co_await b.open("INBOX");
        for (int i = 1; i <= 300; ++i) {
            auto box = co_await a.open("INBOX");
            auto const uid = co_await deliver(box, std::to_string(i));
            REQUIRE(uid == static_cast<uid_t>(i));
            if (i % 70 == 0) {
                auto const changes = co_await reader.refresh();
                REQUIRE(changes.messages == static_cast<std::uint32_t>(i));
            }
        }
        co_await reader.refresh();
        std::string expected;
        for (int i = 1; i <= 300; ++i) expected += std::to_string(i) + '=' + std::to_string(i) + ' ';
        auto const text = co_await all_of(reader.fetch(range(1, uid_max)));
        CHECK(text == expected);
    });
}

TEST_CASE_TEMPLATE("mailbox: a session may be moved and assigned like any value", On, ON_ALL_STORES) {
    store_fixture<On> f;
    run([&]() -> asio::awaitable<void> {
        auto s = f.open();
        auto a = co_await s.account("alice");
        co_await a.create("other");
        auto box = co_await a.open("INBOX");
        co_await deliver(box, "x");
        box = co_await a.open("other");
        CHECK(box.view().messages() == 0);
        box = co_await a.open("INBOX");
        auto moved = std::move(box);
        CHECK(moved.view().messages() == 1);
        auto mails = moved.fetch(range(1, 1));
        moved = co_await a.open("other");
        auto const one = co_await mails.next();  // the pipeline lives on its own
        CHECK(text_of(one->bytes) == "x");
    });
}

}  // namespace mailfs::test::mailbox_tests
