// SPDX-License-Identifier: BSL-1.0
// The small words of IMAP's grammar.
#include "imap/cursor.hpp"

#include "imap/utf7.hpp"
#include "limits.hpp"

#include <algorithm>
#include <charconv>

namespace imapd::imap {
namespace {

bool is_ctl(unsigned char c) { return c < 0x20 || c >= 0x7f; }  // and 8-bit: neither may stand in an atom
bool is_atom_char(unsigned char c) {
    return !is_ctl(c) && std::string_view("(){ %*\"\\]").find(static_cast<char>(c)) == std::string_view::npos;
}
bool is_astring_char(unsigned char c) { return is_atom_char(c) || c == ']'; }
bool is_list_char(unsigned char c) { return is_astring_char(c) || c == '%' || c == '*'; }
bool is_tag_char(unsigned char c) { return is_astring_char(c) && c != '+'; }

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

}  // namespace

bool equal_nocase(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return upper(x) == upper(y); });
}

std::string to_upper(std::string_view text) {
    std::string out(text);
    for (auto& c : out) c = upper(c);
    return out;
}

std::string_view cursor::take_while(bool (*allowed)(unsigned char), std::string_view why) {
    auto const from = at_;
    while (!at_end() && allowed(static_cast<unsigned char>(text_[at_]))) ++at_;
    if (at_ == from) throw syntax_error{why};
    return text_.substr(from, at_ - from);
}

void cursor::expect(char c, std::string_view why) {
    if (!take_if(c)) throw syntax_error{why};
}
void cursor::end() {
    if (!at_end()) throw syntax_error{"more than the command takes"};
}

bool cursor::take_word_if(std::string_view word) noexcept {
    auto const rest = text_.substr(at_);
    if (rest.size() < word.size() || !equal_nocase(rest.substr(0, word.size()), word)) return false;
    if (rest.size() > word.size() && is_atom_char(static_cast<unsigned char>(rest[word.size()]))) return false;
    at_ += word.size();
    return true;
}

std::string_view cursor::tag() { return take_while(is_tag_char, "a tag is missing"); }
std::string_view cursor::atom() { return take_while(is_atom_char, "an atom is missing"); }
std::string cursor::upper_atom() { return to_upper(atom()); }

std::string_view cursor::until(std::string_view stops) {
    auto const from = at_;
    while (!at_end() && is_atom_char(static_cast<unsigned char>(text_[at_])) && stops.find(text_[at_]) == stops.npos) ++at_;
    if (at_ == from) throw syntax_error{"a word is missing"};
    return text_.substr(from, at_ - from);
}

std::string cursor::quoted() {
    expect('"', "a quote is missing");
    std::string out;
    while (!at_end() && peek() != '"') {
        char c = text_[at_++];
        if (c == '\r' || c == '\n' || c == '\0') throw syntax_error{"a quoted string runs past its line"};
        if (c == '\\') {
            c = peek();
            if (c != '"' && c != '\\') throw syntax_error{"only a quote and a backslash may follow a backslash"};
            ++at_;
        }
        out += c;
    }
    expect('"', "a quoted string has no end");
    return out;
}

std::string_view cursor::literal() {
    expect('{', "a literal is missing");
    std::uint32_t const size = number();
    take_if('+');
    expect('}', "a literal has no size");
    take_if('\r');
    expect('\n', "a literal does not begin on a new line");
    if (text_.size() - at_ < size) throw syntax_error{"a literal is cut short"};
    auto const bytes = text_.substr(at_, size);
    at_ += size;
    return bytes;
}

std::string cursor::string() {
    if (peek() == '"') return quoted();
    std::string out(literal());
    if (out.find('\0') != out.npos) throw syntax_error{"a NUL byte in a string"};
    return out;
}
std::string cursor::astring() {
    if (peek() == '"' || peek() == '{') return string();
    return std::string(take_while(is_astring_char, "a string is missing"));
}
std::string cursor::list_mailbox() {
    if (peek() == '"' || peek() == '{') return string();
    return std::string(take_while(is_list_char, "a pattern is missing"));
}

std::string cursor::mailbox() {
    auto name = utf7_decode(astring());
    if (!name) throw syntax_error{"the mailbox name is not modified UTF-7"};
    if (equal_nocase(*name, "INBOX")) return "INBOX";
    return *std::move(name);
}

std::uint64_t cursor::number64() {
    std::uint64_t value = 0;
    auto const [end, ec] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (ec != std::errc{} || value >> 63 != 0) throw syntax_error{"a number is missing or too great"};
    at_ = static_cast<std::size_t>(end - text_.data());
    return value;
}
std::uint32_t cursor::number() {
    auto const value = number64();
    if (value > UINT32_MAX) throw syntax_error{"a number is too great"};
    return static_cast<std::uint32_t>(value);
}
std::uint32_t cursor::nz_number() {
    auto const value = number();
    if (value == 0) throw syntax_error{"0 is not allowed here"};
    return value;
}

sequence_set cursor::sequence_set() {
    imap::sequence_set set;
    if ((set.saved = take_if('$'))) return set;
    auto const one = [this] { return take_if('*') ? imap::sequence_set::star : nz_number(); };
    do {
        if (set.ranges.size() >= limits::sequence_ranges_max) throw syntax_error{"the sequence set has too many parts"};
        auto const first = one();
        set.ranges.push_back({first, take_if(':') ? one() : first});
    } while (take_if(','));
    return set;
}

}  // namespace imapd::imap
