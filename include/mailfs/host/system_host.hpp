// SPDX-License-Identifier: BSL-1.0
// The real machine: system clock, kernel randomness, the kernel's boot id.
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/host/host.hpp>

#include <sys/random.h>

#include <chrono>
#include <cstdio>
#include <string>

namespace mailfs {

/// Reads /proc/sys/kernel/random/boot_id once, when made; throws errc::io where there is none.
class system_host {
public:
    explicit system_host(std::uint32_t node = 0) : node_(node), boot_(read_boot()) {}

    std::uint64_t now_ms() const {
        auto const since = std::chrono::system_clock::now().time_since_epoch();
        return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
    }
    std::uint64_t random() const {
        std::uint64_t word = 0;
        if (::getrandom(&word, sizeof word, 0) != static_cast<ssize_t>(sizeof word)) throw error(errc::io, "getrandom", "no randomness");
        return word;
    }
    guid boot() const noexcept { return boot_; }
    std::uint32_t node() const noexcept { return node_; }

private:
    static guid read_boot() {
        constexpr auto path = "/proc/sys/kernel/random/boot_id";
        std::string digits;
        if (auto* file = std::fopen(path, "r")) {
            for (int c; (c = std::fgetc(file)) != EOF;)
                if (c != '-' && c != '\n') digits += static_cast<char>(c);
            std::fclose(file);
        }
        auto const boot = guid::parse(digits);
        if (!boot) throw error(errc::io, path, "cannot tell this boot from the last one");
        return *boot;
    }

    std::uint32_t node_;
    guid boot_;
};
static_assert(host<system_host>);

}  // namespace mailfs
