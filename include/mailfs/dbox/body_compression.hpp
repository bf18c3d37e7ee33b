// SPDX-License-Identifier: BSL-1.0
// What a mail format asks of a compression: see dbox/zstd.hpp for one.
#pragma once

#include <mailfs/format/dbox_message.hpp>
#include <mailfs/types/bytes.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace mailfs {

/// One body on its way out of its compressed form, from its first byte on.
struct body_unpacker {
    virtual ~body_unpacker() = default;
    /// Takes bytes off `stored` and fills `room`, both of which it shortens, until one of them is empty or no more comes of what there
    /// was. Answers what is wrong with the bytes. Bytes of any content may be given.
    virtual std::optional<dbox_fault> unpack(bytes_view& stored, std::span<std::byte>& room) = 0;
};

/// How bodies are compressed. Used by several threads at a time.
struct body_compression {
    virtual ~body_compression() = default;
    virtual dbox_compression kind() const noexcept = 0;
    /// False: new bodies stay as they are.
    virtual bool packs() const noexcept = 0;
    /// Whether unpacker() has what it takes (a dictionary) for these stored bytes.
    virtual bool reads(bytes_view stored) const noexcept = 0;
    /// The body in its compressed form, shorter than it is; empty where it is not worth it.
    virtual std::vector<std::byte> pack(bytes_view body) const = 0;
    virtual std::unique_ptr<body_unpacker> unpacker() const = 0;
};

}  // namespace mailfs
