// SPDX-License-Identifier: BSL-1.0
// A set of places in mail files: what a purge has found to be in use.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mailfs::detail {

/// Takes 16 to 48 bytes for each place, and some for each file that many share. Adding and looking up is O(1).
class purge_places {
public:
    /// `shared`: several messages share a file, and bytes_in() is to tell how many bytes of it are in use.
    explicit purge_places(bool shared) : shared_(shared), slots_(slots_min) {}

    /// The same place counts once.
    void add(std::uint64_t file, std::uint64_t offset, std::uint64_t extent) {
        if (!shared_) offset = whole_file;
        if ((count_ + 1) * 2 > slots_.size()) grow();
        auto& slot = find({file, offset});
        if (slot == place{file, offset}) return;
        slot = {file, offset};
        ++count_;
        if (shared_) bytes_[file] += extent;
    }
    bool has_file(std::uint64_t file) const { return shared_ ? bytes_.contains(file) : find({file, whole_file}) == place{file, whole_file}; }
    /// Of a shared file.
    std::uint64_t bytes_in(std::uint64_t file) const {
        auto const found = bytes_.find(file);
        return found == bytes_.end() ? 0 : found->second;
    }
    std::size_t count() const noexcept { return count_; }

private:
    struct place {
        std::uint64_t file = 0, offset = 0;  // {0, 0}: a free slot, which is no place of a message
        friend bool operator==(place const&, place const&) = default;
    };
    static constexpr std::uint64_t whole_file = 1;
    static constexpr std::size_t slots_min = 64;

    place const& find(place const& wanted) const {
        auto h = (wanted.file ^ wanted.offset * 0x9e37'79b9'7f4a'7c15U) * 0xbf58'476d'1ce4'e5b9U;
        for (auto at = static_cast<std::size_t>(h ^ h >> 32);; ++at) {
            auto const& slot = slots_[at & (slots_.size() - 1)];
            if (slot == wanted || slot == place{}) return slot;
        }
    }
    place& find(place const& wanted) { return const_cast<place&>(std::as_const(*this).find(wanted)); }
    void grow() {
        auto const old = std::exchange(slots_, std::vector<place>(slots_.size() * 2));
        for (auto const& each : old)
            if (each != place{}) find(each) = each;
    }

    bool shared_;
    std::size_t count_ = 0;
    std::vector<place> slots_;  // a power of two of them, at most half of them taken
    std::unordered_map<std::uint64_t, std::uint64_t> bytes_;
};

}  // namespace mailfs::detail
