// SPDX-License-Identifier: BSL-1.0
// Reads layouts one behind the other out of bytes that nobody vouches for.
#pragma once

#include <mailfs/format/log_record.hpp>
#include <mailfs/types/bytes.hpp>

#include <cstddef>
#include <string_view>

namespace mailfs::format {

/// Takes layouts and texts off the front of bytes; what is not there makes it bad for good, and gives zeros.
class byte_reader {
public:
    explicit byte_reader(bytes_view bytes) noexcept : rest_(bytes) {}

    template <class T>
    T take() noexcept {
        T value{};
        if (auto const b = bytes(sizeof(T)); good_) value = load<T>(b);
        return value;
    }
    bytes_view bytes(std::size_t size) noexcept {
        if (size > rest_.size()) good_ = false;
        if (!good_) return {};
        auto const taken = rest_.first(size);
        rest_ = rest_.subspan(size);
        return taken;
    }
    std::string_view text(std::size_t size) noexcept { return as_text(bytes(size)); }
    /// Whether so many elements can follow: nothing is allocated for a count that the bytes cannot have.
    bool has(std::size_t count, std::size_t element_size) noexcept {
        if (good_ && count > rest_.size() / element_size) good_ = false;
        return good_;
    }
    void fail() noexcept { good_ = false; }
    bool good() const noexcept { return good_; }
    bytes_view& rest() noexcept { return rest_; }

private:
    bytes_view rest_;
    bool good_ = true;
};

}  // namespace mailfs::format
