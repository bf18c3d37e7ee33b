// SPDX-License-Identifier: BSL-1.0
// The server on a local disk with multi_dbox.
#include "compose_posix.hpp"
#include "compositions.hpp"

#include <mailfs/dbox/multi_dbox.hpp>

int imapd::serve_posix_multi(options const& o, settings const& s) {
    return serve_posix<mailfs::multi_dbox<disk>>(o, s);
}
