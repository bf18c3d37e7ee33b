// SPDX-License-Identifier: BSL-1.0
#include "imap/parse.hpp"

#include "imap/cursor.hpp"
#include "limits.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace imapd::imap;
namespace limits = imapd::limits;

namespace {

template <class T>
T good(std::string_view text) {
    auto const parsed = parse(text);
    if (auto const* malformed = std::get_if<bad_command>(&parsed)) FAIL(text, ": ", malformed->why);
    auto const& c = std::get<command>(parsed);
    REQUIRE(std::holds_alternative<T>(c.arguments));
    return std::get<T>(c.arguments);
}
bool is_bad(std::string_view text) { return std::holds_alternative<bad_command>(parse(text)); }

}  // namespace

TEST_CASE("parse: commands without arguments take none") {
    CHECK(good<cmd::bare>("a1 noop").what == word::noop);
    CHECK(good<cmd::bare>("a1 IDLE").what == word::idle);
    CHECK(is_bad("a1 NOOP "));
    CHECK(is_bad("a1 NOOP x"));
    CHECK(is_bad("a1 FROBNICATE"));
    CHECK(is_bad("a1 UID NOOP"));
    CHECK(is_bad("a1"));
    CHECK(is_bad(""));
    CHECK(is_bad("+ NOOP"));
}

TEST_CASE("parse: a malformed command names its tag") {
    CHECK(std::get<bad_command>(parse("a7 SELECT")).tag == "a7");
    CHECK(std::get<bad_command>(parse("\"\" x")).tag == "*");
}

TEST_CASE("parse: strings may be atoms, quoted or literals") {
    auto const login = good<cmd::login>("a LOGIN \"al\\\"i\\\\ce\" {6}\r\np w\r\nx");
    CHECK(login.user == "al\"i\\ce");
    CHECK(login.password == "p w\r\nx");
    CHECK(good<cmd::login>("a LOGIN a]b x").user == "a]b");
    CHECK(is_bad("a LOGIN \"x y"));
    CHECK(is_bad("a LOGIN \"x\\n\" y"));
    CHECK(is_bad("a LOGIN {9}\r\nx y"));
    CHECK(is_bad("a LOGIN x"));
    CHECK(is_bad(std::string_view("a LOGIN {1}\r\n\0 y", 16)));
}

TEST_CASE("parse: AUTHENTICATE has an initial response or none") {
    CHECK_FALSE(good<cmd::authenticate>("a AUTHENTICATE plain").initial);
    CHECK(good<cmd::authenticate>("a AUTHENTICATE PLAIN =").initial == "");
    CHECK(good<cmd::authenticate>("a AUTHENTICATE PLAIN AGEAYg==").initial == "AGEAYg==");
}

TEST_CASE("parse: mailbox names are modified UTF-7, and INBOX has no case") {
    CHECK(good<cmd::select>("a SELECT inbox").mailbox == "INBOX");
    CHECK(good<cmd::select>("a SELECT \"R&AOQ-k\"").mailbox == "R\xc3\xa4k");
    CHECK(is_bad("a SELECT R\xc3\xa4k"));
    CHECK(is_bad("a SELECT \"&AGE-\""));
    CHECK(good<cmd::select>("a EXAMINE x (CONDSTORE)").condstore);
    CHECK(is_bad("a SELECT x (QRESYNC)"));
    CHECK(good<cmd::create>("a CREATE foo/").mailbox == "foo");
    CHECK(good<cmd::create>("a CREATE d (USE (\\Drafts \\sent))").use ==
          (mailfs::special_use::drafts | mailfs::special_use::sent));
    CHECK(is_bad("a CREATE d (USE (\\Nonsense))"));
}

TEST_CASE("parse: LIST takes patterns, and the options that SPECIAL-USE needs") {
    auto const plain = good<cmd::list>("a LIST \"\" %*");
    CHECK(plain.patterns == std::vector<std::string>{"%*"});
    auto const extended = good<cmd::list>("a LIST (SUBSCRIBED SPECIAL-USE) \"x/\" (a \"b c\") RETURN (CHILDREN SUBSCRIBED)");
    CHECK(extended.only_subscribed);
    CHECK(extended.only_special_use);
    CHECK(extended.say_subscribed);
    CHECK(extended.patterns.size() == 2);
    CHECK(good<cmd::list>("a LSUB \"\" *").lsub);
    CHECK(is_bad("a LSUB (SUBSCRIBED) \"\" *"));
    CHECK(is_bad("a LIST (NONSENSE) \"\" *"));
    CHECK(is_bad("a LIST \"\""));
}

TEST_CASE("parse: sequence sets") {
    using set = sequence_set;
    auto const ranges = good<cmd::fetch>("a FETCH 1,3:*,*,7:5 FLAGS").set.ranges;
    REQUIRE(ranges.size() == 4);
    CHECK(ranges[1] == set::range{3, set::star});
    CHECK(ranges[3] == set::range{7, 5});
    for (auto const* wrong : {"0", "1:", ":1", "1,", "1;2", "4294967296", "*:*:*", ""})
        CHECK(is_bad("a FETCH " + std::string(wrong) + " FLAGS"));
    std::string many = "1";
    for (std::size_t i = 0; i < limits::sequence_ranges_max; ++i) many += ",1";
    CHECK(is_bad("a FETCH " + many + " FLAGS"));
}

TEST_CASE("parse: FETCH items, macros, sections, partials") {
    using kind = fetch_item::kind;
    CHECK(good<cmd::fetch>("a FETCH 1 FAST").items.size() == 3);
    CHECK(good<cmd::fetch>("a FETCH 1 full").items.size() == 5);
    auto const one = good<cmd::fetch>("a UID FETCH 1 BODY.PEEK[1.2.HEADER.FIELDS (From \"X Y\")]<10.20>");
    CHECK(one.uid);
    REQUIRE(one.items.size() == 1);
    auto const& item = one.items[0];
    CHECK(item.peek);
    CHECK(item.section.path == std::vector<std::uint32_t>{1, 2});
    CHECK(item.section.what == section::part::fields);
    CHECK(item.section.fields == std::vector<std::string>{"From", "X Y"});
    CHECK(item.partial->offset == 10);
    CHECK(item.partial->count == 20);
    auto const many =
        good<cmd::fetch>("a FETCH 1 (FLAGS BODY[] BODY[TEXT] BODY[2.MIME] BODY BODYSTRUCTURE RFC822.SIZE RFC822 UID MODSEQ)")
            .items;
    CHECK(many[1].section.what == section::part::all);
    CHECK_FALSE(many[1].peek);
    CHECK(many[4].what == kind::body);
    CHECK(many[7].what == kind::rfc822);
    CHECK(good<cmd::fetch>("a FETCH 1 FLAGS (CHANGEDSINCE 12)").changed_since == 12);
    for (auto const* wrong :
         {"BODY[MIME]", "BODY[0]", "BODY[1", "BODY.PEEK", "BODY[]<1>", "BODY[]<1.0>", "BODY[HEADER.FIELDS ()]", "()",
          "(FLAGS", "NONSENSE", "FLAGS (VANISHED", "FLAGS (CHANGEDSINCE)", "FLAGS (VANISHED 1)", "FLAGS ()", "(FLAGS  UID)", "ALL UID"})
        CHECK(is_bad("a FETCH 1 " + std::string(wrong)));
}

TEST_CASE("parse: STORE modes, conditions, flags and keywords") {
    auto const s = good<cmd::store>("a UID STORE 1:2 (UNCHANGEDSINCE 99) +FLAGS.SILENT (\\Seen $Junk \\deleted)");
    CHECK(s.uid);
    CHECK(s.what == cmd::store::mode::add);
    CHECK(s.silent);
    CHECK(s.unchanged_since == 99);
    CHECK(s.flags.flags == (mailfs::flag::seen | mailfs::flag::deleted));
    CHECK(s.flags.keywords == std::vector<std::string>{"$Junk"});
    CHECK(good<cmd::store>("a STORE 1 FLAGS ()").flags.flags == mailfs::flag::none);
    CHECK(good<cmd::store>("a STORE 1 -FLAGS a b").flags.keywords.size() == 2);
    CHECK(is_bad("a STORE 1 FLAGS (\\Recent)"));
    CHECK(is_bad("a STORE 1 FLAGS (\\Nonsense)"));
    CHECK(is_bad("a STORE 1 FLAGS " + std::string(300, 'k')));
}

TEST_CASE("parse: APPEND points to its message where it lies") {
    std::string const text = "a APPEND Sent (\\Seen) \" 1-Jan-2024 10:00:00 +0100\" {5}\r\nhello";
    auto const a = good<cmd::append>(text);
    REQUIRE(a.mails.size() == 1);
    CHECK(a.mails[0].message == "hello");
    CHECK(a.mails[0].message.data() == text.data() + text.size() - 5);
    CHECK(a.mails[0].received_ms == 1704099600000);
    CHECK(is_bad("a APPEND Sent \"1-Jan-2024\" {1}\r\nx"));
    CHECK(is_bad("a APPEND Sent hello"));
    CHECK(is_bad("a APPEND Sent {5}\r\nhello "));
    CHECK(is_bad("a APPEND Sent {5}\r\nhello{1}\r\nx"));
    CHECK(is_bad("a APPEND Sent {5}\r\nhello (\\Seen)"));
}

TEST_CASE("parse: APPEND takes several messages, each with flags and a date of its own (RFC 3502)") {
    std::string const text = "a APPEND Sent {5}\r\nhello (\\Seen k) {2}\r\n(\" \" 1-Jan-2024 10:00:00 +0100\" {0}\r\n";
    auto const a = good<cmd::append>(text);
    REQUIRE(a.mails.size() == 3);
    CHECK(a.mails[0].message == "hello");
    CHECK(a.mails[0].flags.flags == mailfs::flag::none);
    CHECK(a.mails[1].message == "(\"");
    CHECK(a.mails[1].flags.flags == mailfs::flag::seen);
    CHECK(a.mails[1].flags.keywords.size() == 1);
    CHECK(a.mails[2].message == "");
    CHECK(a.mails[2].received_ms == 1704099600000);
}

TEST_CASE("parse: SEARCH keys nest, up to a bound") {
    using kind = search_key::kind;
    auto const s = good<cmd::search>(
        "a SEARCH CHARSET utf-8 OR (UNSEEN FROM smith) NOT 1:3 SINCE 1-Feb-1994 MODSEQ \"/flags/\\\\draft\" all 5");
    REQUIRE(s.key.children.size() == 3);
    CHECK(s.key.children[0].what == kind::either);
    CHECK(s.key.children[0].children[0].children[1].field == "FROM");
    CHECK(s.key.children[0].children[1].children[0].what == kind::numbers);
    CHECK(s.key.children[2].number == 5);
    CHECK_FALSE(good<cmd::search>("a SEARCH CHARSET koi8-r ALL").charset_known);
    CHECK(good<cmd::search>("a UID SEARCH UNKEYWORD x UID 1:*").key.children[0].what == kind::unkeyword);
    auto const nested = [](std::size_t depth) {
        return "a SEARCH " + std::string(depth, '(') + "ALL" + std::string(depth, ')');
    };
    CHECK_FALSE(is_bad(nested(limits::search_depth_max)));
    CHECK(is_bad(nested(limits::search_depth_max + 1)));
    std::string nots = "a SEARCH ";
    for (int i = 0; i < 1000; ++i) nots += "NOT ";
    CHECK(is_bad(nots + "ALL"));
    for (auto const* wrong :
         {"", "OR ALL", "NOT", "SINCE 31-Feb-2020", "SINCE x", "LARGER -1", "(ALL", "ALL)", "KEYWORD", "HEADER x"})
        CHECK(is_bad("a SEARCH " + std::string(wrong)));
}

TEST_CASE("parse: any bytes give a command or a reason, nothing else") {
    std::mt19937 random(1);
    std::vector<std::string> const seeds = {"a FETCH 1:* (BODY.PEEK[HEADER.FIELDS (A B)]<0.10> MODSEQ) (CHANGEDSINCE 3)",
                                            "a SEARCH OR (TEXT {3}\r\nabc) NOT HEADER x \"y\" SINCE 1-Jan-2020",
                                            "a STORE 1 +FLAGS (\\Seen x)",
                                            "a APPEND x (\\Seen) \" 1-Jan-2024 10:00:00 +0100\" {5}\r\nhello",
                                            "a LIST (SUBSCRIBED) \"\" (a b) RETURN (CHILDREN)",
                                            "a STATUS x (MESSAGES UIDNEXT)",
                                            "a ID (\"a\" NIL)",
                                            "a UID MOVE 1,2:* &AOk-"};
    int commands = 0;
    for (int round = 0; round < 20'000; ++round) {
        auto text = seeds[random() % seeds.size()];
        for (unsigned n = random() % 4; n-- > 0;) {
            auto const at = random() % (text.size() + 1);
            if (random() % 2 != 0)
                text.insert(at, 1, static_cast<char>(random()));
            else if (at < text.size())
                text.erase(at, 1 + random() % 3);
        }
        commands += std::holds_alternative<command>(parse(text));
    }
    CHECK(commands > 4000);  // those left as they were
    CHECK(commands < 19'000);
}
