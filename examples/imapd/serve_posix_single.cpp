// SPDX-License-Identifier: BSL-1.0
// The server on a local disk with single_dbox.
#include "compose_posix.hpp"
#include "compositions.hpp"

#include <mailfs/dbox/single_dbox.hpp>

int imapd::serve_posix_single(options const& o, settings const& s) {
    return serve_posix<mailfs::single_dbox<disk>>(o, s);
}
