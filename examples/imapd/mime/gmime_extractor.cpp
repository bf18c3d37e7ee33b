// SPDX-License-Identifier: BSL-1.0
// The scanner: one pass over the lines of a message that finds where parts begin and end (RFC 2046 section 5.1).
#include "mime/gmime_extractor.hpp"

#include "limits.hpp"

#include <algorithm>

namespace imapd::mime {
namespace {

class scanner {
public:
    scanner(gmime_extractor const& values, std::string_view message) : values_(values), text_(message) {}

    part scan(std::size_t depth, bool in_digest) {
        ++parts_;
        part p;
        p.header_begin = at_;
        scan_header();
        p.body_begin = at_;
        auto const boundary = read_part_header(text_.substr(p.header_begin, p.body_begin - p.header_begin), p, in_digest);
        bool const deeper = depth < limits::mime_depth_max && parts_ < limits::mime_parts_max;
        if (p.is_multipart() && !boundary.empty() && deeper)
            scan_multipart(p, boundary, depth);
        else if (p.type == "MESSAGE" && p.subtype == "RFC822" && deeper && is_plain(p.encoding))
            scan_message(p, depth);
        else
            skip_to_boundary();
        p.body_end = end_of_part(p.body_begin);
        if (p.type == "TEXT" || p.type == "MESSAGE")
            p.lines = static_cast<std::size_t>(
                std::count(text_.begin() + offset(p.body_begin), text_.begin() + offset(p.body_end), '\n'));
        if (p.is_multipart() && p.children.empty()) p.children.push_back(empty_child(p.body_end));
        return p;
    }

private:
    static std::ptrdiff_t offset(std::size_t n) { return static_cast<std::ptrdiff_t>(n); }
    static bool is_plain(std::string_view encoding) {
        return encoding == "7BIT" || encoding == "8BIT" || encoding == "BINARY";
    }
    static part empty_child(std::size_t at) {
        part p;
        p.header_begin = p.body_begin = p.body_end = at;
        return p;
    }

    std::string_view line() const {
        auto const end = text_.find('\n', at_);
        return text_.substr(at_, end == text_.npos ? text_.npos : end + 1 - at_);
    }

    /// The index of the boundary that the line at at_ is, innermost first; open_.size() when it is none. Notes if it closes.
    std::size_t boundary_here(std::string_view line) {
        if (open_.empty() || line.substr(0, 2) != "--") return open_.size();
        line.remove_prefix(2);
        for (auto i = open_.size(); i-- > 0;) {
            if (line.substr(0, open_[i].size()) != open_[i]) continue;
            auto rest = line.substr(open_[i].size());
            closing_ = rest.substr(0, 2) == "--";
            if (closing_) rest.remove_prefix(2);
            if (rest.find_first_not_of(" \t\r\n") == rest.npos) return i;
        }
        return open_.size();
    }

    /// Stops at a boundary line or the end; found_ tells which boundary.
    void skip_to_boundary() {
        for (; at_ < text_.size(); at_ += line().size()) {
            found_ = boundary_here(line());
            if (found_ < open_.size()) return;
        }
        found_ = open_.size();
    }

    /// Stops behind the blank line, or at a boundary line or the end.
    void scan_header() {
        while (at_ < text_.size()) {
            auto const l = line();
            if (boundary_here(l) < open_.size()) return;
            at_ += l.size();
            if (l == "\r\n" || l == "\n") return;
        }
    }

    void scan_multipart(part& p, std::string const& boundary, std::size_t depth) {
        auto const own = open_.size();
        open_.push_back(boundary);
        skip_to_boundary();
        while (at_ < text_.size() && found_ == own && !closing_) {
            if (parts_ >= limits::mime_parts_max) break;
            at_ += line().size();
            p.children.push_back(scan(depth + 1, p.subtype == "DIGEST"));
        }
        open_.pop_back();
        if (found_ >= own) skip_to_boundary();  // the epilogue, and whatever is past the limit
    }

    void scan_message(part& p, std::size_t depth) {
        auto const begin = at_;
        p.children.push_back(scan(depth + 1, false));
        p.envelope.push_back(values_.envelope(text_.substr(begin, p.children[0].body_begin - begin)));
    }

    /// The line end before a boundary belongs to the boundary.
    std::size_t end_of_part(std::size_t begin) const {
        auto end = at_;
        if (end == text_.size() && found_ >= open_.size()) return end;
        if (end > begin && text_[end - 1] == '\n') --end;
        if (end > begin && end < at_ && text_[end - 1] == '\r') --end;
        return end;
    }

    gmime_extractor const& values_;
    std::string_view text_;
    std::size_t at_ = 0;
    std::size_t parts_ = 0;
    std::vector<std::string> open_;  // boundaries of the multiparts that at_ is in
    std::size_t found_ = 0;          // which one the line at at_ is; open_.size(): none, at the end
    bool closing_ = false;           // that line ends its multipart
};

}  // namespace

part gmime_extractor::parse(std::string_view message) const { return scanner(*this, message).scan(0, false); }

}  // namespace imapd::mime
