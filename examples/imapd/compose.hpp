// SPDX-License-Identifier: BSL-1.0
// The policies that the command line chooses among, put together.
#pragma once

#include "../compression.hpp"
#include "server.hpp"

#include <mailfs/index/index.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/store/store.hpp>

namespace imapd {

inline mailfs::store_options store_options_of(options const& o, settings const& s) {
    mailfs::store_options out;
    out.durability = o.stored ? mailfs::durability::stored : mailfs::durability::none;
    out.log.rotate_size_min = o.rotate_size;
    out.dbox.message_size_max = s.message_size_max;
    out.dbox.compression = mailfs_examples::compression(o.compress);
    out.grace_ms = static_cast<std::uint64_t>(o.grace * 1000);
    out.log.history_ms = static_cast<std::uint64_t>(o.history * 1000);
    return out;
}

/// All threads see one filesystem, by copies of it. `before_end` is called when no thread runs any more, while all that
/// they waited on is still there.
template <class Format, class Fs, class BeforeEnd>
int serve_on(Fs const& fs, options const& o, settings const& s, BeforeEnd const& before_end) {
    using store_type = mailfs::store<mailfs::index<mailfs::lockless_log, Fs>, Format>;
    server<store_type> all(o, s);
    int const result = all.run([&] { return std::make_unique<store_type>(fs, store_options_of(o, s)); });
    before_end();
    return result;
}

}  // namespace imapd
