// SPDX-License-Identifier: BSL-1.0
#include "backup/plan.hpp"

#include <mailfs/format/log_record.hpp>
#include <mailfs/format/mailbox_operations.hpp>

#include <algorithm>

namespace mailfsctl {
namespace {

namespace f = mailfs::format;

bool removes(f::record_view const& record) {
    if (record.kind() != f::record_kind::transaction) return false;
    bool found = false;
    f::for_each_operation(record.payload, [&](std::uint16_t kind, std::uint16_t, mailfs::bytes_view) {
        constexpr auto known = static_cast<std::uint16_t>(f::mailbox_operation::relocate);
        found = kind == static_cast<std::uint16_t>(f::mailbox_operation::expunge) || kind > known;
        return !found;
    });
    return found;
}

}  // namespace

copy_step step_for(file_facts const& source, std::optional<file_facts> const& copy) {
    if (!copy || copy->size > source.size) return copy_step::replace;
    if (copy->size < source.size) return copy_step::append;
    return copy->modified_ns == source.modified_ns ? copy_step::keep : copy_step::compare;
}

bool removes_messages(mailfs::bytes_view log, std::uint64_t known) {
    if (log.size() < sizeof(f::log_header)) return false;
    auto const header = f::load<f::log_header>(log);
    if (header.checksum != f::log_header_checksum(header)) return true;
    auto const seed = f::record_seed(header.nonce);
    for (auto at = f::find_record(log, sizeof header, seed); at < log.size();) {
        auto const record = f::decode_record(log.subspan(at), seed);
        if (!record) return true;
        auto const end = at + record->header.size;
        if (end > known && removes(*record)) return true;
        at = f::find_record(log, end, seed);
    }
    return false;
}

std::vector<std::uint64_t> cut_logs(std::vector<log_copy> const& logs) {
    std::vector<std::uint64_t> out;
    bool leads_on = true;
    for (auto i = logs.size(); i-- > 0;) {
        bool const newest = i + 1 == logs.size();
        leads_on = leads_on && (newest || (logs[i].number + 1 == logs[i + 1].number &&
                                           logs[i + 1].seal_offset + f::record_size(0) <= logs[i].size));
        if ((!leads_on || newest) && !logs[i].in_source) out.push_back(logs[i].number);
    }
    return out;
}

bool is_passed_over(std::string_view name) { return name.starts_with('.'); }

bool all_are_left(std::vector<std::string> const& before, std::vector<std::string> const& after) {
    return std::includes(after.begin(), after.end(), before.begin(), before.end());
}

}  // namespace mailfsctl
