// SPDX-License-Identifier: BSL-1.0
// What a bench is: a function, registered in its own file, that answers one question in figures.
//
//     // bench/uid_set.cpp -- how long does a look-up take in a set of many ranges?
//     #include "bench.hpp"
//
//     static void look_up(bench::run& run) {
//         auto const set = make_set(run.size(10'000));                // --size, or this
//         auto const seconds = bench::seconds([&] { for (...) run.digest(set.contains(uid)); });
//         run.figure("uid_set.contains", n / seconds / 1e6, "M/s");
//     }
//     static bench::entry const here{"uid_set", "How long does a look-up take in a set of many ranges?", look_up};
//
// and its name in bench/meson.build. The function is called once a run; for each figure the median of all runs is
// printed. So two things measured in one call are measured in turns, and a ratio of the two belongs into the same call.
// What the function computes goes through digest(): nothing is optimised away, and runs that differ are an error.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

struct figure {
    std::string name;  ///< such as log.append.records: begins with the bench's name
    std::string unit;
    std::vector<double> runs;

    double median() const;
};

/// One call of a bench.
class run {
public:
    run(std::uint64_t size, std::filesystem::path directory, std::vector<figure>& figures)
        : size_(size), directory_(std::move(directory)), figures_(figures) {}

    /// How much to do: what --size says, or the bench's own `otherwise`.
    std::uint64_t size(std::uint64_t otherwise) const noexcept { return size_ != 0 ? size_ : otherwise; }
    /// A directory of this run alone, empty at the start and removed behind it.
    std::filesystem::path const& directory() const noexcept { return directory_; }
    /// Says what one figure was in this run.
    void figure(std::string_view name, double value, std::string_view unit);
    /// Folds an answer into the digest of this run, which must be the same in all runs.
    void digest(std::uint64_t answer) noexcept { digest_ = (digest_ ^ answer) * 0x9e37'79b9'7f4a'7c15U + (digest_ >> 29); }
    std::uint64_t digest() const noexcept { return digest_; }

private:
    std::uint64_t size_;
    std::filesystem::path directory_;
    std::vector<bench::figure>& figures_;
    std::uint64_t digest_ = 0;
};

/// A bench as it is listed; making one at namespace scope registers it.
struct entry {
    entry(std::string_view name, std::string_view question, void (*function)(run&));

    std::string_view name;
    std::string_view question;
    void (*function)(run&);
};
std::vector<entry const*> const& entries();  ///< by name

/// Seconds that `work` takes.
template <class F>
double seconds(F&& work) {
    auto const begin = std::chrono::steady_clock::now();
    std::invoke(std::forward<F>(work));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Bytes from a fixed seed, the same on every machine.
std::vector<std::byte> random_bytes(std::size_t size, std::uint64_t seed = 1);

struct results {
    std::vector<figure> figures;
    std::map<std::string, std::uint64_t, std::less<>> digests;  ///< of each bench
};
std::string plain(double value);  ///< without an exponent, and no more digits than mean something
std::string as_json(results const&);
std::string as_svg(results const&);  ///< a horizontal bar for each figure, a scale for each unit

}  // namespace bench
