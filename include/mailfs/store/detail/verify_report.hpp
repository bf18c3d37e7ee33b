// SPDX-License-Identifier: BSL-1.0
// Counts what verify() finds and passes it on.
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/store/finding.hpp>

#include <cstdint>
#include <string>
#include <utility>

namespace mailfs::detail {

struct verify_report {
    verify_observer observer;
    verify_summary sum;
    verify_progress at;

    void tell(severity how, std::string file, std::uint64_t offset, std::string what) {
        ++(how == severity::note ? sum.notes : how == severity::damage ? sum.damages : sum.losses);
        if (observer.found) observer.found({how, std::move(file), offset, std::move(what)});
    }
    void tell(severity how, error const& e) {
        // "FILE, offset N: WHY: MEANING": the place is told beside it
        std::string what = e.what();
        if (auto const place = what.find(": "); what.starts_with(e.file()) && place != what.npos) what.erase(0, place + 2);
        tell(how, e.file(), e.offset(), std::move(what));
    }
    void read(std::uint64_t bytes) {
        at.bytes_done += bytes;
        if (observer.progress) observer.progress(at);
    }
};

}  // namespace mailfs::detail
