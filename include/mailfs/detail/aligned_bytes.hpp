// SPDX-License-Identifier: BSL-1.0
// Bytes in memory at an address like a mapping's, for what takes a snapshot over.
#pragma once

#include <mailfs/types/bytes.hpp>

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>

namespace mailfs::detail {

class aligned_bytes {
public:
    aligned_bytes() = default;
    explicit aligned_bytes(std::size_t size) : data_(static_cast<std::byte*>(::operator new(size + 1, alignment))), size_(size) {}
    explicit aligned_bytes(bytes_view from) : aligned_bytes(from.size()) {
        if (!from.empty()) std::memcpy(data_.get(), from.data(), from.size());
    }

    std::span<std::byte> span() noexcept { return {data_.get(), size_}; }

private:
    static constexpr std::align_val_t alignment{64};
    struct free {
        void operator()(std::byte* data) const noexcept { ::operator delete(data, alignment); }
    };

    std::unique_ptr<std::byte, free> data_;
    std::size_t size_ = 0;
};

}  // namespace mailfs::detail
