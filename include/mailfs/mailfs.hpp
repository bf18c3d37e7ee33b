// SPDX-License-Identifier: BSL-1.0
// The umbrella: all that a program needs to store mail. Left out is what tests need: fs/memory_fs.hpp, and the decorators
// fs/faulty_fs.hpp, fs/counting_fs.hpp and fs/latency_fs.hpp.
#pragma once

#include <mailfs/fwd.hpp>

#include <mailfs/error.hpp>

#include <mailfs/types/bytes.hpp>
#include <mailfs/types/durability.hpp>
#include <mailfs/types/flags.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/uid.hpp>
#include <mailfs/types/uid_set.hpp>

#include <mailfs/fs/posix_fs.hpp>

#include <mailfs/index/index.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/replication/standalone.hpp>

#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>

#include <mailfs/store/store.hpp>
