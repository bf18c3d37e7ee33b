// SPDX-License-Identifier: BSL-1.0
// State machines that remember, while logs are replayed for a rebuild, what was ever there.
#pragma once

#include <mailfs/format/log_record.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/format/tree_operations.hpp>
#include <mailfs/index/mailbox_state.hpp>
#include <mailfs/store/tree_state.hpp>
#include <mailfs/types/bytes.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_set.hpp>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <variant>

namespace mailfs::detail {

/// What logs and snapshots say of a mailbox, whether it still holds or not.
struct mailbox_facts {
    std::set<guid> known;               // each body that was ever in it
    uid_set unknown;                    // UIDs that were given out where nothing is left to tell to what
    std::uint64_t changes_dropped = 0;  // operations that named some of those

    void see(mailbox_state const& s) {
        s.for_each(1, uid_max, [&](std::size_t row) { known.insert(s.rows().id[row]); });
    }
    void see(bytes_view operations) {
        format::for_each_operation(operations, [&](std::uint16_t kind, std::uint16_t, bytes_view bytes) {
            using enum format::mailbox_operation;
            switch (static_cast<format::mailbox_operation>(kind)) {
                case append:
                    if (auto const v = format::view_operation<format::append_operation>(bytes))
                        known.insert(format::get_guid(v->op.id));
                    break;
                case flags:
                    if (auto v = format::view_operation<format::flags_operation>(bytes))
                        see_ranges(v->rest, v->op.range_count);
                    break;
                case expunge:
                    if (auto v = format::view_operation<format::expunge_operation>(bytes))
                        see_ranges(v->rest, v->op.range_count);
                    break;
                default: break;
            }
            return true;
        });
    }
    void lose_ids(std::uint32_t first, std::uint32_t end) {
        if (first > 0 && first < end) unknown.add(first, end - 1);
    }

private:
    void see_ranges(bytes_view rest, std::uint32_t count) {
        bool some = false;
        format::for_each_range(rest, count, [&](uid_t first, uid_t last) {
            for (auto r : unknown.ranges()) some = some || (first <= r.last && last >= r.first);
        });
        changes_dropped += some ? 1 : 0;
    }
};

struct watched_mailbox : mailbox_state {
    using facts_type = mailbox_facts;

    admission apply(format::record_view const& record, outcome* out) {
        auto const verdict = mailbox_state::apply(record, out);
        if (verdict == admission::fresh && facts != nullptr) facts->see(record.payload);
        return verdict;
    }

    mailbox_facts* facts = nullptr;
};

/// The same of a mailbox tree. A mailbox that was made before anything that is left may be named by a rename.
struct tree_facts {
    std::set<guid> known;               // each that was named, or removed
    std::map<guid, std::string> names;  // the last that each was seen to have

    void see(tree_state const& s) {
        for (auto const& [name, entry] : s.contents().mailboxes) see(entry.id, name);
    }
    void see(bytes_view operations) {
        for (std::size_t i = 0; i < tree_operations_max; ++i) {
            auto const operation = format::take_tree_operation(operations);
            if (!operation) return;
            if (auto const* made = std::get_if<format::tree_create>(&*operation)) see(made->id, made->name);
            if (auto const* gone = std::get_if<format::tree_remove>(&*operation)) known.insert(gone->id);
            if (auto const* moved = std::get_if<format::tree_rename>(&*operation)) names[moved->id] = std::string(moved->to);
            if (std::holds_alternative<format::tree_malformed>(*operation)) return;
        }
    }
    void lose_ids(std::uint32_t, std::uint32_t) noexcept {}

private:
    void see(guid const& id, std::string_view name) {
        known.insert(id);
        names[id] = std::string(name);
    }
};

struct watched_tree : tree_state {
    using facts_type = tree_facts;

    admission apply(format::record_view const& record, outcome* out) {
        auto const verdict = tree_state::apply(record, out);
        if (verdict == admission::fresh && facts != nullptr) facts->see(record.payload);
        return verdict;
    }

    tree_facts* facts = nullptr;
};

}  // namespace mailfs::detail
