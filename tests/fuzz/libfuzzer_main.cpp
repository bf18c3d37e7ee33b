// SPDX-License-Identifier: BSL-1.0
// One target under libFuzzer: MAILFS_FUZZ_TARGET names it.
#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    mailfs::fuzz::MAILFS_FUZZ_TARGET({reinterpret_cast<std::byte const*>(data), size});
    return 0;
}
