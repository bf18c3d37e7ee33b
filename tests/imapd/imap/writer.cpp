// SPDX-License-Identifier: BSL-1.0
#include "imap/writer.hpp"

#include <mailfs/error.hpp>

#include <doctest/doctest.h>

using namespace imapd::imap;
using imapd::mime::part;

namespace {

std::string string_of(std::string_view text) {
    std::string out;
    write_string(out, text);
    return out;
}

}  // namespace

TEST_CASE("writer: strings are quoted where they can be, else literals") {
    CHECK(string_of("a \"b\" \\") == "\"a \\\"b\\\" \\\\\"");
    CHECK(string_of("") == "\"\"");
    CHECK(string_of("a\r\nb") == "{4}\r\na\r\nb");
    CHECK(string_of("\xc3\xa9") == "{2}\r\n\xc3\xa9");
    CHECK(string_of(std::string(2000, 'x')).substr(0, 8) == "{2000}\r\n");
}

TEST_CASE("writer: flags and keywords") {
    std::string out;
    write_flags(out, mailfs::flag::seen | mailfs::flag::answered, std::vector<std::string>{"$Junk", "x"});
    CHECK(out == "(\\Answered \\Seen $Junk x)");
    out.clear();
    write_flags(out, mailfs::flag::none, {});
    CHECK(out == "()");
}

TEST_CASE("writer: a section is named as it was asked for") {
    fetch_item item;
    item.what = fetch_item::kind::section;
    auto const name = [&] {
        std::string out;
        write_section_name(out, item);
        return out;
    };
    CHECK(name() == "BODY[]");
    item.section = {{1, 2}, section::part::fields, {"From", "a b"}};
    item.partial = fetch_item::range{10, 20};
    CHECK(name() == "BODY[1.2.HEADER.FIELDS (FROM \"a b\")]<10>");
    item.section = {{3}, section::part::all, {}};
    item.partial.reset();
    CHECK(name() == "BODY[3]");
}

TEST_CASE("writer: an envelope tells absent from empty, and groups") {
    imapd::mime::envelope e;
    e.subject = "";
    e.from = {{"A B", "a", "x.org", false}};
    e.to = {{"", "friends", "", true}, {"", "c", "", false}, {"", "", "", true}};
    std::string out;
    write_envelope(out, e);
    CHECK(out ==
          "(NIL \"\" ((\"A B\" NIL \"a\" \"x.org\")) NIL NIL ((NIL NIL \"friends\" NIL)(NIL NIL \"c\" \"\")(NIL NIL NIL "
          "NIL)) NIL NIL NIL NIL)");
}

TEST_CASE("writer: BODYSTRUCTURE has the extension data that BODY leaves out") {
    part text;
    text.body_end = 10;
    text.lines = 2;
    text.parameters = {{"CHARSET", "utf-8"}};
    text.disposition = "ATTACHMENT";
    text.disposition_parameters = {{"FILENAME", "x("}};
    text.languages = {"de", "en"};
    part multipart;
    multipart.type = "MULTIPART";
    multipart.subtype = "MIXED";
    multipart.parameters = {{"BOUNDARY", "b"}};
    multipart.children = {text, text};
    std::string body, structure;
    write_structure(body, multipart, false);
    write_structure(structure, multipart, true);
    std::string const leaf = "\"TEXT\" \"PLAIN\" (\"CHARSET\" \"utf-8\") NIL NIL \"7BIT\" 10 2";
    CHECK(body == "((" + leaf + ")(" + leaf + ") \"MIXED\")");
    std::string const whole = "(" + leaf + " NIL (\"ATTACHMENT\" (\"FILENAME\" \"x(\")) (\"de\" \"en\") NIL)";
    CHECK(structure == "(" + whole + whole + " \"MIXED\" (\"BOUNDARY\" \"b\") NIL NIL NIL)");
}

TEST_CASE("writer: errors of the store are told by code, free text is one line") {
    CHECK(code_of(mailfs::errc::not_found) == "[NONEXISTENT] ");
    CHECK(code_of(std::make_error_code(std::errc::not_enough_memory)) == "[UNAVAILABLE] ");
    CHECK(one_line("a\r\nb\xff") == "a??b?");
}
