// SPDX-License-Identifier: BSL-1.0
// What verify() tells while it works: findings, and how far it has come.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace mailfs {

enum class severity : std::uint8_t {
    note,    ///< worth knowing, and nothing is wrong: orphaned mail, what a killed writer left
    damage,  ///< bytes or files that are not as they should be; what they told is known from elsewhere, or was nobody's
    loss,    ///< something that was acknowledged is not to be had: a message's body, a record, a whole mailbox
};
constexpr std::string_view to_text(severity s) noexcept {
    return s == severity::note ? "note" : s == severity::damage ? "damage" : "loss";
}

struct finding {
    static constexpr std::uint64_t no_offset = ~std::uint64_t{0};

    severity how = severity::note;
    std::string file;                  ///< or directory
    std::uint64_t offset = no_offset;  ///< bytes from its start
    std::string what;
};

struct verify_progress {
    std::uint64_t bytes_done = 0;
    std::uint64_t bytes_total = 0;  ///< as counted when it began; writers may add to it meanwhile
};

/// Who is told; either may be empty. Both are called on the caller's executor and must not wait.
struct verify_observer {
    std::function<void(finding const&)> found;
    std::function<void(verify_progress const&)> progress;
};

struct verify_summary {
    std::uint64_t mailboxes = 0;
    std::uint64_t messages = 0;
    std::uint64_t logs = 0;
    std::uint64_t snapshots = 0;
    std::uint64_t mail_files = 0;
    std::uint64_t orphaned_mails = 0;  ///< whole bodies that no mailbox refers to: purge collects them
    std::uint64_t orphaned_bytes = 0;
    std::uint64_t notes = 0;
    std::uint64_t damages = 0;
    std::uint64_t losses = 0;

    bool sound() const noexcept { return damages == 0 && losses == 0; }
};

}  // namespace mailfs
