// SPDX-License-Identifier: BSL-1.0
#include "mail/importer.hpp"

#include <mailfs/types/bytes.hpp>

#include <algorithm>
#include <functional>
#include <limits>
#include <string_view>
#include <utility>

namespace mailfsctl {

importer::importer(mailbox_access& to, line_ends ends) : to_(&to), ends_(ends) {
    to.uids().for_each([&](mailfs::uid_t uid) {
        if (auto const row = to.row(uid)) there_.emplace(key(row->size, row->received_ms), uid);
    });
}

// The index keeps whole seconds of 32 bits.
std::uint64_t importer::key(std::uint64_t size, std::uint64_t received_ms) noexcept {
    return size << 32 | std::min<std::uint64_t>(received_ms / 1000, std::numeric_limits<std::uint32_t>::max());
}

// Each body is read once to be known by its hash, and once more to be compared, however many share a date and a size.
bool importer::is_there(found_message const& message) {
    auto const k = key(message.bytes.size(), message.received_ms);
    auto const hash = [](std::string_view bytes) { return std::hash<std::string_view>{}(bytes); };
    auto const [first, last] = there_.equal_range(k);
    for (auto it = first; it != last; ++it) hashed_.emplace(k ^ hash(mailfs::as_text(to_->read(it->second))), it->second);
    there_.erase(first, last);
    auto const [begin, end] = hashed_.equal_range(k ^ hash(message.bytes));
    for (auto it = begin; it != end; ++it) {
        if (mailfs::as_text(to_->read(it->second)) != message.bytes) continue;
        hashed_.erase(it);
        return true;
    }
    return false;
}

bool importer::take(found_message message) {
    message.bytes = with_line_ends(std::move(message.bytes), ends_);
    message.received_ms = std::max<std::uint64_t>(message.received_ms, 1);  // 0 would be now
    if (is_there(message)) return false;
    if (batch_bytes_ + message.bytes.size() > batch_size_max) finish();
    batch_bytes_ += message.bytes.size();
    batch_.push_back(std::move(message));
    if (batch_.size() >= batch_count_max) finish();
    return true;
}

void importer::finish() {
    if (batch_.empty()) return;
    std::vector<mailfs::new_message> messages;
    for (auto const& m : batch_)
        messages.push_back({mailfs::as_bytes(m.bytes), m.marks.flags, m.marks.keywords, m.received_ms});
    to_->append(messages);
    imported_ += batch_.size();
    batch_.clear();
    batch_bytes_ = 0;
}

}  // namespace mailfsctl
