// SPDX-License-Identifier: BSL-1.0
// What a MIME library must give the servers: the tree of parts with byte offsets, and readable values.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace imapd::mime {

using parameters = std::vector<std::pair<std::string, std::string>>;  ///< names in capitals, values ASCII (RFC 2047 inside)

struct address {
    std::string name;     ///< ASCII (RFC 2047 inside); empty: none
    std::string mailbox;  ///< the local part; the name of a group at its begin, empty at its end
    std::string host;
    bool group = false;  ///< begins (mailbox not empty) or ends a group
};

/// RFC 3501 section 7.4.2, ENVELOPE; nothing: the field is not there.
struct envelope {
    std::optional<std::string> date, subject, in_reply_to, message_id;  ///< as they stand, unfolded
    std::vector<address> from, sender, reply_to, to, cc, bcc;
};

/// One part. Offsets are into the stored message: header [header_begin, body_begin), its blank line included;
/// body [body_begin, body_end). A whole message is a part too.
struct part {
    std::size_t header_begin = 0, body_begin = 0, body_end = 0;
    std::size_t lines = 0;                                            ///< line ends in the body of TEXT and MESSAGE
    std::string type = "TEXT", subtype = "PLAIN", encoding = "7BIT";  ///< in capitals
    mime::parameters parameters;
    std::optional<std::string> id, description, md5, location;
    std::optional<std::string> disposition;  ///< in capitals
    mime::parameters disposition_parameters;
    std::vector<std::string> languages;
    std::vector<mime::envelope> envelope;  ///< one, when this is a MESSAGE/RFC822 with a child: that of the message in it
    std::vector<part> children;            ///< of a multipart: all, at least one; of MESSAGE/RFC822: the message in it

    bool is_multipart() const noexcept { return type == "MULTIPART"; }
    bool holds_message() const noexcept { return !envelope.empty(); }
};

/// A model is cheap to make, keeps nothing of a message, and never throws but bad_alloc, whatever bytes it is given.
/// Depth and number of parts are bounded by it. Belongs to one thread.
template <class E>
concept extractor =
    std::copyable<E> && requires(E const& e, std::string_view message, part const& p, std::string_view value) {
        { e.parse(message) } -> std::same_as<part>;               // the tree; one pass
        { e.envelope(message) } -> std::same_as<mime::envelope>;  // of the header at the begin of `message`
        { e.text(message, p) } -> std::same_as<std::string>;      // a leaf's body, decoded, as UTF-8
        { e.header_text(value) } -> std::same_as<std::string>;    // a header value, decoded, as UTF-8
        { e.fold_case(value) } -> std::same_as<std::string>;      // UTF-8 in which case makes no difference
        {
            e.sent_day(value)
        } -> std::same_as<std::optional<std::chrono::sys_days>>;  // of a Date field, in its own time zone
    };

}  // namespace imapd::mime
