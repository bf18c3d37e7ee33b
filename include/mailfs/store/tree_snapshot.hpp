// SPDX-License-Identifier: BSL-1.0
// The snapshot of a mailbox tree: contents to canonical bytes and back. The whole story: docs/formats/tree.md
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/format/crc32c.hpp>
#include <mailfs/format/endian.hpp>
#include <mailfs/format/log_record.hpp>
#include <mailfs/format/stream_codec.hpp>
#include <mailfs/store/mailbox_name.hpp>
#include <mailfs/store/tree_contents.hpp>
#include <mailfs/types/bytes.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mailfs {

inline constexpr std::string_view tree_magic = "mfsTREE\n";
inline constexpr std::uint16_t tree_major = 1;  ///< a reader refuses a greater one
inline constexpr std::uint16_t tree_minor = 0;  ///< a reader reads a greater one
inline constexpr std::uint64_t tree_feature_replicated = 1;  ///< what several nodes share follows the metadata
inline constexpr std::uint64_t tree_features_known = tree_feature_replicated;

/// The places of magic, major and checksum, and the size, are the same in every version.
struct tree_snapshot_header {
    std::array<char, 8> magic{};
    le16 major;
    le16 minor;
    le32 reserved_a;  // 0
    std::array<std::uint8_t, 16> object{};
    le64 size;  // bytes of the whole snapshot
    le64 features_required;
    le32 uid_validity_last;
    le32 mailbox_count;       // records follow the stream's bytes: mailboxes, subscriptions, metadata, each in
    le32 subscription_count;  // ascending order
    le32 metadata_count;
    le32 reserved_b;  // 0
    le32 checksum;    // CRC-32C of all before it, then of all behind it
};
static_assert(sizeof(tree_snapshot_header) == 72 && offsetof(tree_snapshot_header, checksum) == 68);
static_assert(std::has_unique_object_representations_v<tree_snapshot_header>);

struct change_mark_record {
    le64 stamp;
    le32 node;
    le64 incarnation;
    le64 counter;
};
struct mailbox_record {
    std::array<std::uint8_t, 16> id{};
    le32 uid_validity;
    le16 use;
    le16 name_size;  // the name follows
    change_mark_record created;
    change_mark_record named;
};
struct subscription_record {
    le16 on;
    le16 name_size;  // the name follows
    change_mark_record changed;
};
struct metadata_record {
    std::array<std::uint8_t, 16> mailbox{};
    le16 present;
    le16 key_size;  // key and value follow
    le32 value_size;
    change_mark_record changed;
};
/// Of a replicated stream: the epochs (format::encode_replicated_stream), a le32 count, these, ascending.
struct displaced_record {
    std::array<std::uint8_t, 16> id{};
    std::array<std::uint8_t, 16> into{};  // zero: its messages stay
    le32 epoch;                           // of the fold
    le32 n;
    le16 name_size;  // the name that was wanted follows
    le16 reserved;
    le32 reserved2;
};
static_assert(sizeof(displaced_record) == 48);
static_assert(sizeof(change_mark_record) == 28 && sizeof(mailbox_record) == 80);
static_assert(sizeof(subscription_record) == 32 && sizeof(metadata_record) == 52);
static_assert(std::has_unique_object_representations_v<mailbox_record>);
static_assert(std::has_unique_object_representations_v<metadata_record>);

namespace detail {

inline change_mark_record to_record(change_mark const& m) noexcept {
    return {m.stamp.value, m.dot.origin.node, m.dot.origin.incarnation, m.dot.counter};
}
inline change_mark from_record(change_mark_record const& r) noexcept {
    return {{r.stamp}, {{r.node, r.incarnation}, r.counter}};
}
inline std::uint32_t tree_checksum(bytes_view bytes) noexcept {
    return crc32c(bytes.subspan(sizeof(tree_snapshot_header)),
                  crc32c(bytes.first(offsetof(tree_snapshot_header, checksum))));
}

template <class = void>
class tree_writer {
public:
    std::vector<std::byte> write(tree_contents const& c) {
        out_.resize(sizeof(tree_snapshot_header));
        format::encode_stream(out_, c.stream);
        for (auto const& [name, e] : c.mailboxes) {
            mailbox_record const r{e.id.octets,  e.uid_validity,       std::uint16_t(e.use),
                                   size16(name), to_record(e.created), to_record(e.named)};
            put(format::view_of(r), name);
        }
        for (auto const& [name, e] : c.subscriptions) {
            subscription_record const r{std::uint16_t{e.on}, size16(name), to_record(e.changed)};
            put(format::view_of(r), name);
        }
        for (auto const& [key, e] : c.metadata) {
            metadata_record const r{key.mailbox.octets, std::uint16_t{e.present}, size16(key.key), size32(e.value),
                                    to_record(e.changed)};
            put(format::view_of(r), key.key, e.value);
        }
        if (c.stream.replicated()) shared(c);
        finish(c);
        return std::move(out_);
    }

private:
    static std::uint16_t size16(std::string const& text) noexcept { return static_cast<std::uint16_t>(text.size()); }
    static std::uint32_t size32(std::string const& text) noexcept { return static_cast<std::uint32_t>(text.size()); }
    void put(bytes_view record, std::string_view text, std::string_view more = {}) {
        for (auto part : {record, as_bytes(text), as_bytes(more)}) out_.insert(out_.end(), part.begin(), part.end());
    }
    void shared(tree_contents const& c) {
        format::encode_replicated_stream(out_, c.stream);
        le32 const count = static_cast<std::uint32_t>(c.displaced.size());
        put(format::view_of(count), {});
        for (auto const& [id, d] : c.displaced) {
            displaced_record const r{id.octets, d.into.octets, d.at.epoch, d.at.n, size16(d.wanted), 0, 0};
            put(format::view_of(r), d.wanted);
        }
    }
    void finish(tree_contents const& c) {
        tree_snapshot_header h;
        std::memcpy(h.magic.data(), tree_magic.data(), h.magic.size());
        h.major = tree_major;
        h.minor = tree_minor;
        h.object = c.object.octets;
        h.size = out_.size();
        h.features_required = c.stream.replicated() ? tree_feature_replicated : 0;
        h.uid_validity_last = c.uid_validity_last;
        h.mailbox_count = static_cast<std::uint32_t>(c.mailboxes.size());
        h.subscription_count = static_cast<std::uint32_t>(c.subscriptions.size());
        h.metadata_count = static_cast<std::uint32_t>(c.metadata.size());
        std::memcpy(out_.data(), &h, sizeof h);
        h.checksum = tree_checksum(out_);
        std::memcpy(out_.data(), &h, sizeof h);
    }

    std::vector<std::byte> out_;
};

template <class = void>
class tree_reader {
public:
    tree_reader(bytes_view bytes, std::string_view file) noexcept : all_(bytes), rest_(bytes), file_(file) {}

    tree_contents read() {
        auto const h = header();
        tree_contents c;
        c.object = guid{h.object};
        c.uid_validity_last = h.uid_validity_last;
        auto stream = format::decode_stream(rest_);
        if (!stream) fail("the state of the stream is malformed");
        c.stream = std::move(*stream);
        for (std::uint32_t i = 0; i < h.mailbox_count; ++i) mailbox(c);
        for (std::uint32_t i = 0; i < h.subscription_count; ++i) subscription(c);
        for (std::uint32_t i = 0; i < h.metadata_count; ++i) metadata(c);
        if ((h.features_required & tree_feature_replicated) != 0) shared(c);
        if (!rest_.empty()) fail("bytes behind the last record");
        return c;
    }

private:
    [[noreturn]] void fail(std::string_view why, errc code = errc::corrupt) const {
        throw error(code, file_, all_.size() - rest_.size(), why);
    }

    tree_snapshot_header header() {
        if (all_.size() < sizeof(tree_snapshot_header)) fail("too short for the snapshot of a mailbox tree");
        auto const h = format::load<tree_snapshot_header>(all_);
        if (std::memcmp(h.magic.data(), tree_magic.data(), h.magic.size()) != 0) fail("not the snapshot of a mailbox tree");
        if (h.checksum != tree_checksum(all_)) fail("the snapshot of a mailbox tree fails its checksum");
        if (h.major > tree_major || (h.features_required & ~tree_features_known) != 0)
            fail("the snapshot of a mailbox tree needs a newer version", errc::newer_version);
        if (h.size != all_.size()) fail("another size than the header says");
        if (h.mailbox_count > mailboxes_max || h.subscription_count > subscriptions_max ||
            h.metadata_count > metadata_entries_max)
            fail("more records than a mailbox tree may have");
        rest_ = all_.subspan(sizeof h);
        return h;
    }
    template <class Record>
    Record record() {
        if (rest_.size() < sizeof(Record)) fail("a record is cut short");
        auto const r = format::load<Record>(rest_);
        rest_ = rest_.subspan(sizeof r);
        return r;
    }
    std::string text(std::size_t size) {
        if (size > rest_.size()) fail("a text is cut short");
        std::string t(as_text(rest_.first(size)));
        rest_ = rest_.subspan(size);
        return t;
    }
    std::string name(std::size_t size) {
        auto t = text(size);
        if (!is_canonical_mailbox_name(t)) fail("not the name of a mailbox");
        return t;
    }
    // Ascending order makes the bytes canonical and each key unique.
    template <class Map, class Key, class Entry>
    void add(Map& map, Key key, Entry entry) {
        if (!map.empty() && !(std::prev(map.end())->first < key)) fail("records are not in ascending order");
        map.emplace_hint(map.end(), std::move(key), std::move(entry));
    }

    void mailbox(tree_contents& c) {
        auto const r = record<mailbox_record>();
        mailbox_entry const e{guid{r.id}, r.uid_validity, special_use{std::uint16_t{r.use}}, from_record(r.created),
                              from_record(r.named)};
        if (!e.id || !ids_.insert(e.id).second) fail("a mailbox without a guid of its own");
        if (e.uid_validity == 0 || e.uid_validity > c.uid_validity_last) fail("UIDVALIDITY beyond the tree's last");
        add(c.mailboxes, name(r.name_size), e);
    }
    void subscription(tree_contents& c) {
        auto const r = record<subscription_record>();
        if (r.on > 1) fail("a malformed subscription");
        add(c.subscriptions, name(r.name_size), subscription_entry{r.on == 1, from_record(r.changed)});
    }
    void metadata(tree_contents& c) {
        auto const r = record<metadata_record>();
        if (r.present > 1 || r.key_size == 0 || r.key_size > metadata_key_size_max ||
            r.value_size > metadata_value_size_max || (r.present == 0 && r.value_size != 0))
            fail("a malformed metadata entry");
        metadata_key key{guid{r.mailbox}, text(r.key_size)};
        if (key.mailbox && ids_.count(key.mailbox) == 0) fail("metadata of a mailbox that is not there");
        metadata_entry entry{r.present == 1, text(r.value_size), from_record(r.changed)};
        add(c.metadata, std::move(key), std::move(entry));
    }

    void shared(tree_contents& c) {
        if (!format::decode_replicated_stream(rest_, c.stream)) fail("what the nodes share is malformed");
        for (auto count = record<le32>(); count > 0; count = count - 1) {
            auto const r = record<displaced_record>();
            displaced_mailbox d{name(r.name_size), guid{r.into}, {r.epoch, r.n}};
            guid const id{r.id};
            if (ids_.count(id) == 0 || (d.into && (ids_.count(d.into) == 0 || d.into == id)) || d.at > c.stream.at) fail("a malformed displaced mailbox");
            add(c.displaced, id, std::move(d));
        }
    }

    bytes_view all_;
    bytes_view rest_;
    std::string_view file_;
    std::set<guid> ids_;
};

}  // namespace detail

/// Canonical: equal contents give equal bytes. Throws newer_version for contents that need it: a snapshot would let the
/// log go whose operations only a newer version understands.
template <class = void>
std::vector<std::byte> encode_tree(tree_contents const& contents) {
    if (contents.needs_newer)
        throw error(errc::newer_version, "tree", "the log has changes that this version does not know");
    return detail::tree_writer<>{}.write(contents);
}

/// Throws corrupt (with `file` and the offset) for anything that encode_tree cannot have written, and newer_version.
template <class = void>
tree_contents decode_tree(bytes_view bytes, std::string_view file) { return detail::tree_reader<>(bytes, file).read(); }

}  // namespace mailfs
