// SPDX-License-Identifier: BSL-1.0
// Bytes with several holders.
#pragma once

#include <mailfs/types/bytes.hpp>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace mailfs {

/// Bytes, or a part of some, that live as long as anyone holds them; copies share. A part keeps all of the buffer that it lies in.
class shared_bytes {
public:
    shared_bytes() = default;
    explicit shared_bytes(std::vector<std::byte> bytes) {
        auto const kept = std::make_shared<std::vector<std::byte> const>(std::move(bytes));
        bytes_ = *kept;
        owner_ = kept;
    }
    /// `owner` keeps what `bytes` see.
    shared_bytes(std::shared_ptr<void const> owner, bytes_view bytes) noexcept : owner_(std::move(owner)), bytes_(bytes) {}

    std::byte const* data() const noexcept { return bytes_.data(); }
    std::size_t size() const noexcept { return bytes_.size(); }
    bool empty() const noexcept { return bytes_.empty(); }
    auto begin() const noexcept { return bytes_.begin(); }
    auto end() const noexcept { return bytes_.end(); }

    /// The first bytes, as many as there are.
    shared_bytes first(std::size_t count) const noexcept { return {owner_, bytes_.first(count < bytes_.size() ? count : bytes_.size())}; }

private:
    std::shared_ptr<void const> owner_;
    bytes_view bytes_;
};

}  // namespace mailfs
