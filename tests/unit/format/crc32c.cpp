// SPDX-License-Identifier: BSL-1.0
#include <mailfs/format/crc32c.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace mailfs;

TEST_CASE("crc32c: the check values of RFC 3720 appendix B.4") {
    CHECK(crc32c(as_bytes("123456789")) == 0xe306'9283U);
    std::vector<std::byte> const zeros(32), ones(32, std::byte{0xff});
    CHECK(crc32c(zeros) == 0x8a91'36aaU);
    CHECK(crc32c(ones) == 0x62a8'ab43U);
}

TEST_CASE("crc32c: the portable way and the processor's agree at every length, and seeding equals joining") {
    std::vector<std::byte> bytes(9000);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * i * 37 + i / 251 + 11);
    for (std::size_t n = 0; n <= bytes.size(); n += n < 1300 || n % 384 < 20 || n % 384 > 364 ? 1 : 19) {
        bytes_view const all = bytes_view(bytes).first(n);
        auto const portable = ~detail::crc32c_portable(~0U, reinterpret_cast<unsigned char const*>(all.data()), n);
        CHECK(crc32c(all) == portable);
        CHECK(crc32c(all.subspan(n / 3), crc32c(all.first(n / 3))) == portable);
    }
}
