// SPDX-License-Identifier: BSL-1.0
// What a decorator inherits: the watch of the filesystem it stands on, where that has one.
#pragma once

#include <mailfs/fs/filesystem.hpp>

namespace mailfs::detail {

template <class Fs>
struct watch_of {};
template <watchable_filesystem Fs>
struct watch_of<Fs> {
    using watch = typename Fs::watch;
};

}  // namespace mailfs::detail
