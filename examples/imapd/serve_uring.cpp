// SPDX-License-Identifier: BSL-1.0
// The server on a local disk that is read through io_uring.
#include "compose.hpp"
#include "compositions.hpp"

#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/fs/tiered.hpp>
#include <mailfs/fs/uring_fs.hpp>

namespace {

using disk = mailfs::tiered<mailfs::uring_fs, mailfs::uring_fs>;

template <class Format>
int serve(imapd::options const& o, imapd::settings const& s) {
    disk const fs = o.alt.empty() ? disk(mailfs::uring_fs(o.root)) : disk(mailfs::uring_fs(o.root), mailfs::uring_fs(o.alt));
    return imapd::serve_on<Format>(fs, o, s, [] {});
}

}  // namespace

int imapd::serve_uring_multi(options const& o, settings const& s) { return serve<mailfs::multi_dbox<disk>>(o, s); }
int imapd::serve_uring_single(options const& o, settings const& s) { return serve<mailfs::single_dbox<disk>>(o, s); }
