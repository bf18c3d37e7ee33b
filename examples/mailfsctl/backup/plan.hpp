// SPDX-License-Identifier: BSL-1.0
// What a backup decides, without any I/O: how a file is brought up to date, and whether another look is needed.
//
// Files are only appended to, created and removed. A copy of one account taken while writers go on is sound when
//   1. the tree is read before the mailboxes, and the mailboxes before the mail files: what a record names was there
//      before the record, so it is there when its turn comes;
//   2. a directory is listed until two listings are equal, then its files are read: a file n+1 is made when file n has
//      got its seal, so no listing has log.(n+1) beside a log.n that is read without its end, nor index.(n+1) alone;
//   3. a file that went meanwhile (rotation) makes its directory be read again, and a mail file that went (purge) the
//      mailboxes and the mail: the records that say where the mail is now were written first;
//   4. passes over tree and mailboxes are repeated until one finds the tree as the pass before did (so each mailbox it
//      names was listed while it was there), and takes over nothing that removes a message. A message is moved by an append
//      and then an expunge elsewhere: an expunge that an earlier pass took over had its append before this pass.
#pragma once

#include <mailfs/types/bytes.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mailfsctl {

struct file_facts {
    std::uint64_t size = 0;
    std::int64_t modified_ns = 0;  ///< a copy has its original's, once its bytes are on stable storage
};

enum class copy_step : std::uint8_t {
    keep,     ///< the copy is what the file was when it last changed
    append,   ///< the file is longer: where the copy is its beginning, append the rest, else replace
    compare,  ///< equally long: keep where the bytes are equal, else replace
    replace,  ///< there is no copy, or a longer one: another file had this name
};
copy_step step_for(file_facts const& source, std::optional<file_facts> const& copy);

/// Whether what the log has beyond its first `known` bytes takes messages out of the mailbox, or can't be told.
bool removes_messages(mailfs::bytes_view log, std::uint64_t known);

/// A log in the copy, by its number.
struct log_copy {
    std::uint64_t number = 0;
    std::uint64_t size = 0;
    std::uint64_t seal_offset = 0;  ///< of the log before, as this one's header tells
    bool in_source = false;
};
/// Numbers of logs that went from the source before their ends were copied, and of those behind which one is missing: what
/// they told stands in later snapshots, and a log without its end would pass for a damaged one. `logs` ascend. Logs that are
/// whole and lead up to the newest stay: they tell the past.
std::vector<std::uint64_t> cut_logs(std::vector<log_copy> const& logs);

/// Names that a copy leaves out: files in the making.
bool is_passed_over(std::string_view name);

/// Whether each of `before` (ascending) is in `after` (ascending).
bool all_are_left(std::vector<std::string> const& before, std::vector<std::string> const& after);

}  // namespace mailfsctl
