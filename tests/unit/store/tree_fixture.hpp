// SPDX-License-Identifier: BSL-1.0
// Feeds a mailbox tree as a log would: each transaction a record of its own.
#pragma once

#include <mailfs/store/tree_state.hpp>

#include <cstdint>
#include <vector>

namespace mailfs::test {

inline guid numbered_guid(std::uint64_t n) { return guid::from_words(0, n); }

struct tree_fixture {
    tree_state tree;
    std::uint64_t counter = 0;

    tree_fixture() { tree.reset(numbered_guid(99)); }

    tree_verdict apply(format::tree_transaction const& t) { return apply_to(tree, t.bytes(), ++counter); }
    tree_verdict apply(bytes_view operations) { return apply_to(tree, operations, ++counter); }

    static tree_verdict apply_to(tree_state& tree, bytes_view operations, std::uint64_t counter) {
        std::vector<std::byte> bytes;
        format::record_header header;
        header.kind = static_cast<std::uint8_t>(format::record_kind::transaction);
        header.node = 1;
        header.incarnation = 5;
        header.counter = counter;
        header.stamp = stamp::at(1000 + counter).value;
        format::encode_record(bytes, header, operations, 7);
        tree_outcome outcome;
        tree.apply(*format::decode_record(bytes, 7), &outcome);
        return outcome.verdict;
    }

    tree_verdict create(std::string_view name, std::uint64_t id, bool if_absent = false) {
        return apply(format::tree_transaction().create(
            {numbered_guid(id), next_uid_validity(0, tree.contents().uid_validity_last), 0, if_absent, name}));
    }
    tree_verdict remove(std::uint64_t id) { return apply(format::tree_transaction().remove({numbered_guid(id)})); }
    tree_verdict rename(std::uint64_t id, std::string_view from, std::string_view to) {
        return apply(format::tree_transaction().rename({numbered_guid(id), from, to}));
    }
    tree_verdict subscribe(std::string_view name, bool on = true) {
        return apply(format::tree_transaction().subscribe({on, name}));
    }
    tree_verdict metadata(std::uint64_t id, std::string_view key, std::string_view value, bool present = true) {
        return apply(format::tree_transaction().metadata({numbered_guid(id), present, key, value}));
    }

    std::vector<std::string> names() const {
        std::vector<std::string> all;
        for (auto const& [name, entry] : tree.contents().mailboxes) all.push_back(name);
        return all;
    }
};

}  // namespace mailfs::test
