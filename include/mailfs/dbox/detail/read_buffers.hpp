// SPDX-License-Identifier: BSL-1.0
// Buffers for reads of many messages, used again.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace mailfs::detail {

#if defined(__SANITIZE_ADDRESS__)
#define MAILFS_KEEPS_READ_BUFFERS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MAILFS_KEEPS_READ_BUFFERS 0
#endif
#endif
#if !defined(MAILFS_KEEPS_READ_BUFFERS)
#define MAILFS_KEEPS_READ_BUFFERS 1  // else who looks at bytes that nobody holds any more is seen to
#endif

/// What a thread keeps of the large ones that it gave back, so that they are still in the processor's cache: malloc() would
/// hand out other memory each time, which takes half as long again in a heap with holes. Bounded; freed with the thread.
template <class = void>
class read_buffers {
public:
    static constexpr std::size_t kept_max = MAILFS_KEEPS_READ_BUFFERS != 0 ? std::size_t{1} << 20 : 0;  ///< bytes, in each thread
    static constexpr std::size_t size_min = std::size_t{64} << 10;                                   ///< smaller ones are malloc()'s
    static constexpr std::size_t size_max = std::size_t{512} << 10;

    /// Not initialised. May be given back by another thread.
    static std::shared_ptr<std::byte[]> take(std::size_t size) {
        if (size < size_min || size > size_max) return std::make_shared_for_overwrite<std::byte[]>(size);
        auto const rounded = std::bit_ceil(size);
        auto& mine = of_size(rounded);
        if (mine.empty()) return {std::make_unique_for_overwrite<std::byte[]>(rounded).release(), [rounded](std::byte* b) { give_back(b, rounded); }};
        auto buffer = std::move(mine.back());
        mine.pop_back();
        here_.bytes -= rounded;
        return {buffer.release(), [rounded](std::byte* b) { give_back(b, rounded); }};
    }

private:
    struct kept {
        ~kept() { is_over_ = true; }
        std::array<std::vector<std::unique_ptr<std::byte[]>>, std::bit_width(size_max / size_min)> free;
        std::size_t bytes = 0;
    };
    static auto& of_size(std::size_t rounded) { return here_.free[static_cast<std::size_t>(std::bit_width(rounded / size_min) - 1)]; }
    static void give_back(std::byte* bytes, std::size_t rounded) noexcept {
        std::unique_ptr<std::byte[]> buffer(bytes);
        if (is_over_ || here_.bytes + rounded > kept_max) return;
        auto& mine = of_size(rounded);
        try {
            mine.push_back(std::move(buffer));
        } catch (...) {
            return;
        }
        here_.bytes += rounded;
    }

    static inline thread_local bool is_over_ = false;  // the thread ends: kept is gone
    static inline thread_local kept here_;
};

}  // namespace mailfs::detail
