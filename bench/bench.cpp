// SPDX-License-Identifier: BSL-1.0
// The registry of benches, figures and their medians.
#include "bench.hpp"

#include <algorithm>

namespace bench {

namespace {
std::vector<entry const*>& registry() {
    static std::vector<entry const*> all;
    return all;
}
}  // namespace

entry::entry(std::string_view name_, std::string_view question_, void (*function_)(run&))
    : name(name_), question(question_), function(function_) {
    auto& all = registry();
    all.insert(std::ranges::upper_bound(all, name, {}, &entry::name), this);
}
std::vector<entry const*> const& entries() { return registry(); }

double figure::median() const {
    auto sorted = runs;
    std::ranges::sort(sorted);
    auto const middle = sorted.size() / 2;
    return sorted.size() % 2 != 0 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

void run::figure(std::string_view name, double value, std::string_view unit) {
    auto found = std::ranges::find(figures_, name, &bench::figure::name);
    if (found == figures_.end()) found = figures_.insert(found, {std::string(name), std::string(unit), {}});
    found->runs.push_back(value);
}

std::vector<std::byte> random_bytes(std::size_t size, std::uint64_t seed) {
    std::vector<std::byte> bytes(size);
    for (auto& byte : bytes) {  // xorshift64*
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        byte = static_cast<std::byte>((seed * 0x2545'f491'4f6c'dd1dU) >> 56);
    }
    return bytes;
}

}  // namespace bench
