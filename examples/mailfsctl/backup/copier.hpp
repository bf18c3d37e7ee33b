// SPDX-License-Identifier: BSL-1.0
// Brings files of a copy up to date with files that grow, come and go meanwhile.
#pragma once

#include "backup/plan.hpp"
#include "files.hpp"
#include "progress.hpp"

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mailfsctl {

/// What one directory's turn came to.
struct directory_copied {
    bool there = true;     ///< false: it is gone
    bool changed = false;  ///< some bytes were taken over
    bool removes = false;  ///< among them what takes messages away
};

struct copy_totals {
    std::uint64_t files = 0, files_copied = 0, bytes_copied = 0, files_removed = 0;
};

/// Paths are relative to all roots. What is not in `source` may be in `second` (where the store has a second disk): the copy has both.
/// Throws std::system_error.
class copier {
public:
    copier(std::string source, std::string second, std::string target, progress& bar)
        : source_(std::move(source)), second_(std::move(second)), target_(std::move(target)), bar_(&bar) {}

    /// The files directly in a directory of a log. Logs that were cut (plan.hpp) are removed from the copy.
    directory_copied directory(std::string const& path);
    /// All files below it, at any depth. `except`: names directly in it that are left out.
    void below(std::string const& path, std::vector<std::string> const& except = {});
    /// Paths of the files below it, ascending.
    std::vector<std::string> files_below(std::string const& path) const;
    std::vector<std::string> directories_in(std::string const& path) const;

    /// What was copied is put on stable storage, and then the copies get their originals' times.
    void settle();
    /// What directory() and below() meet from now on is what the copy is made of: before each pass.
    void begin_pass(std::string const& path);
    /// Removes from the copy what it is not made of. Not what is gone from the source by now: records may name it.
    void prune(std::string const& path);

    copy_totals const& totals() const noexcept { return totals_; }

private:
    enum class outcome : std::uint8_t { gone, kept, copied };

    std::vector<std::string> stable_list(std::string const& path) const;
    outcome file(std::string const& path, bool* removes);
    void drop_cut_logs(std::string const& path, std::vector<std::string> const& names);
    void replace(std::string const& path, std::string_view bytes);
    void append(std::string const& path, std::string_view bytes);
    void collect(std::string const& root, std::string const& path, std::vector<std::string>& out) const;
    void below(std::string const& root, std::string const& path, std::vector<std::string> const& except);
    std::string original(std::string const& path) const;

    std::string source_, second_, target_;
    progress* bar_;
    copy_totals totals_;
    std::set<std::string> met_;                                    // paths of files
    std::vector<std::pair<std::string, std::int64_t>> unsettled_;  // path, time of the original
};

/// Paths of regular files and directories; nothing: it is not there.
std::optional<file_facts> facts_of(std::string const& path);

}  // namespace mailfsctl
