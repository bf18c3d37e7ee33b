// SPDX-License-Identifier: BSL-1.0
// The operations of a mailbox tree, as they stand in its log. The whole story: docs/formats/tree.md
//
// Pure functions over spans. No decoder reads beyond its span, throws on bytes or asserts on them.
#pragma once

#include <mailfs/format/endian.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/guid.hpp>

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace mailfs::format {

enum class tree_operation_kind : std::uint16_t { create = 1, remove = 2, rename = 3, subscribe = 4, metadata = 5 };
inline constexpr std::uint16_t tree_may_skip = 1;   ///< flag: a reader that does not know the kind goes on
inline constexpr std::uint16_t tree_if_absent = 2;  ///< flag of create: a name that is taken is no failure
inline constexpr std::uint16_t tree_restored = 4;   ///< flag of create: the mailbox was there before, with this UIDVALIDITY

/// Before each operation. Kind 0 is none, so that a hole is seen as one.
struct tree_operation_header {
    le16 kind;
    le16 flags;
    le32 size;  // bytes, header included, a multiple of 8; more than a reader knows of is ignored
};
struct tree_create_layout {
    tree_operation_header header;
    std::array<std::uint8_t, 16> id;
    le32 uid_validity;
    le16 use;
    le16 name_size;  // the name follows
};
struct tree_remove_layout {
    tree_operation_header header;
    std::array<std::uint8_t, 16> id;
};
struct tree_rename_layout {
    tree_operation_header header;
    std::array<std::uint8_t, 16> id;  // zero: the name has no mailbox, only children
    le16 from_size;                   // both names follow
    le16 to_size;
    le32 reserved;
};
struct tree_subscribe_layout {
    tree_operation_header header;
    le16 on;
    le16 name_size;  // the name follows
    le32 reserved;
};
struct tree_metadata_layout {
    tree_operation_header header;
    std::array<std::uint8_t, 16> id;  // zero: of the whole tree
    le16 present;                     // 0: the entry goes
    le16 key_size;                    // key and value follow
    le32 value_size;
};
static_assert(sizeof(tree_operation_header) == 8 && sizeof(tree_create_layout) == 32 && sizeof(tree_remove_layout) == 24);
static_assert(sizeof(tree_rename_layout) == 32 && sizeof(tree_subscribe_layout) == 16 && sizeof(tree_metadata_layout) == 32);
static_assert(std::has_unique_object_representations_v<tree_create_layout>);
static_assert(std::has_unique_object_representations_v<tree_metadata_layout>);

// Decoded operations. Their texts lie in the bytes they came from.
struct tree_create {
    guid id;
    std::uint32_t uid_validity = 0;
    std::uint16_t use = 0;
    bool if_absent = false;
    std::string_view name;
    bool restored = false;
};
struct tree_remove {
    guid id;
};
struct tree_rename {
    guid id;
    std::string_view from;
    std::string_view to;
};
struct tree_subscribe {
    bool on = false;
    std::string_view name;
};
struct tree_metadata {
    guid id;
    bool present = false;
    std::string_view key;
    std::string_view value;
};
struct tree_unknown {
    bool may_skip = false;
};
struct tree_malformed {};  ///< nothing behind it can be read
using tree_operation =
    std::variant<tree_malformed, tree_unknown, tree_create, tree_remove, tree_rename, tree_subscribe, tree_metadata>;

namespace detail {

/// The layout, and the texts behind it in turn. Nothing when they do not fit.
template <class Layout>
class tree_fields {
public:
    explicit tree_fields(bytes_view bytes) noexcept : rest_(bytes) {
        if (bytes.size() < sizeof(Layout)) return;
        std::memcpy(&layout, bytes.data(), sizeof(Layout));
        rest_ = bytes.subspan(sizeof(Layout));
        good_ = true;
    }
    std::string_view text(std::size_t size) noexcept {
        if (size > rest_.size()) good_ = false;
        if (!good_) return {};
        auto const taken = as_text(rest_.first(size));
        rest_ = rest_.subspan(size);
        return taken;
    }
    bool good() const noexcept { return good_; }

    Layout layout{};

private:
    bytes_view rest_;
    bool good_ = false;
};

template <class = void>
tree_operation decode_tree_body(tree_operation_header const& header, bytes_view bytes) noexcept {
    auto const checked = [](auto const& fields, auto operation) -> tree_operation {
        return fields.good() ? tree_operation(operation) : tree_operation(tree_malformed{});
    };
    switch (static_cast<tree_operation_kind>(std::uint16_t{header.kind})) {
        case tree_operation_kind::create: {
            tree_fields<tree_create_layout> f(bytes);
            auto const name = f.text(f.layout.name_size);
            return checked(
                f,
                tree_create{{f.layout.id}, f.layout.uid_validity, f.layout.use, (header.flags & tree_if_absent) != 0, name,
                            (header.flags & tree_restored) != 0});
        }
        case tree_operation_kind::remove: {
            tree_fields<tree_remove_layout> f(bytes);
            return checked(f, tree_remove{{f.layout.id}});
        }
        case tree_operation_kind::rename: {
            tree_fields<tree_rename_layout> f(bytes);
            auto const from = f.text(f.layout.from_size);
            auto const to = f.text(f.layout.to_size);
            return checked(f, tree_rename{{f.layout.id}, from, to});
        }
        case tree_operation_kind::subscribe: {
            tree_fields<tree_subscribe_layout> f(bytes);
            auto const name = f.text(f.layout.name_size);
            return checked(f, tree_subscribe{f.layout.on != 0, name});
        }
        case tree_operation_kind::metadata: {
            tree_fields<tree_metadata_layout> f(bytes);
            auto const key = f.text(f.layout.key_size);
            auto const value = f.text(f.layout.value_size);
            return checked(f, tree_metadata{{f.layout.id}, f.layout.present != 0, key, value});
        }
    }
    return tree_unknown{(header.flags & tree_may_skip) != 0};
}

}  // namespace detail

/// Takes the next operation off `bytes`; nothing when they are used up. What is malformed uses up all.
template <class = void>
std::optional<tree_operation> take_tree_operation(bytes_view& bytes) noexcept {
    if (bytes.empty()) return std::nullopt;
    tree_operation_header header;
    auto const all = std::exchange(bytes, {});
    if (all.size() < sizeof header) return tree_malformed{};
    std::memcpy(&header, all.data(), sizeof header);
    if (header.kind == 0 || header.size < sizeof header || header.size % 8 != 0 || header.size > all.size())
        return tree_malformed{};
    bytes = all.subspan(header.size);
    return detail::decode_tree_body(header, all.first(header.size));
}

/// Builds the operations of one transaction. Texts longer than their size field are the caller's mistake.
class tree_transaction {
public:
    tree_transaction& create(tree_create const& o) {
        tree_create_layout l{};
        l.id = o.id.octets;
        l.uid_validity = o.uid_validity;
        l.use = o.use;
        l.name_size = size16(o.name);
        int const flags = (o.if_absent ? tree_if_absent : 0) | (o.restored ? tree_restored : 0);
        return add(l, tree_operation_kind::create, static_cast<std::uint16_t>(flags), {o.name});
    }
    tree_transaction& remove(tree_remove const& o) {
        tree_remove_layout l{};
        l.id = o.id.octets;
        return add(l, tree_operation_kind::remove, 0, {});
    }
    tree_transaction& rename(tree_rename const& o) {
        tree_rename_layout l{};
        l.id = o.id.octets;
        l.from_size = size16(o.from);
        l.to_size = size16(o.to);
        return add(l, tree_operation_kind::rename, 0, {o.from, o.to});
    }
    tree_transaction& subscribe(tree_subscribe const& o) {
        tree_subscribe_layout l{};
        l.on = o.on ? 1 : 0;
        l.name_size = size16(o.name);
        return add(l, tree_operation_kind::subscribe, 0, {o.name});
    }
    tree_transaction& metadata(tree_metadata const& o) {
        tree_metadata_layout l{};
        l.id = o.id.octets;
        l.present = o.present ? 1 : 0;
        l.key_size = size16(o.key);
        l.value_size = static_cast<std::uint32_t>(o.value.size());
        return add(l, tree_operation_kind::metadata, 0, {o.key, o.value});
    }

    bytes_view bytes() const noexcept { return bytes_; }

private:
    static std::uint16_t size16(std::string_view text) noexcept {
        assert(text.size() <= 0xffff);
        return static_cast<std::uint16_t>(text.size());
    }
    template <class Layout>
    tree_transaction& add(Layout layout, tree_operation_kind kind, std::uint16_t flags,
                          std::initializer_list<std::string_view> texts) {
        std::size_t size = sizeof layout;
        for (auto text : texts) size += text.size();
        size = (size + 7) & ~std::size_t{7};
        layout.header.kind = static_cast<std::uint16_t>(kind);
        layout.header.flags = flags;
        layout.header.size = static_cast<std::uint32_t>(size);
        auto at = bytes_.size();
        bytes_.resize(at + size);
        put(at, bytes_view(reinterpret_cast<std::byte const*>(&layout), sizeof layout));
        for (auto text : texts) put(at, as_bytes(text));
        return *this;
    }
    void put(std::size_t& at, bytes_view part) noexcept {
        if (!part.empty()) std::memcpy(bytes_.data() + at, part.data(), part.size());
        at += part.size();
    }

    std::vector<std::byte> bytes_;
};

}  // namespace mailfs::format
