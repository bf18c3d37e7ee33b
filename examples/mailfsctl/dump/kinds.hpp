// SPDX-License-Identifier: BSL-1.0
// The kinds of file that a dump knows, each in a file of its own. All go on behind what they cannot read.
#pragma once

#include "dump/writer.hpp"

#include <mailfs/types/bytes.hpp>

#include <string_view>
#include <vector>

namespace mailfsctl {

/// `of`: mailbox or tree; else the file's place and contents tell.
void dump_log(mailfs::bytes_view file, std::string_view of, dump_writer& out);
void dump_mailbox_snapshot(mailfs::bytes_view file, dump_writer& out);
void dump_tree_snapshot(mailfs::bytes_view file, dump_writer& out);
void dump_dbox(mailfs::bytes_view file, dump_writer& out);
void dump_cache(mailfs::bytes_view file, dump_writer& out);
void dump_mark(mailfs::bytes_view file, dump_writer& out);

/// What a transaction's payload holds.
std::vector<dump_entry> mailbox_operations(mailfs::bytes_view payload);
std::vector<dump_entry> tree_operations(mailfs::bytes_view payload);
/// Whether each operation is one that the machine's writers make.
bool is_of_mailbox(mailfs::bytes_view payload);
bool is_of_tree(mailfs::bytes_view payload);

}  // namespace mailfsctl
