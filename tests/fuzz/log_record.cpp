// SPDX-License-Identifier: BSL-1.0
// Records: decode at every offset, find the next, tell torn ones; what was decoded is encoded to the same bytes.
#include "checksums.hpp"
#include "fuzz.hpp"

namespace mailfs::fuzz {

void log_record(bytes_view bytes) {
    input in(bytes);
    auto const mode = in.octet();
    constexpr std::uint32_t seed = 0x1234'5678;
    auto file = copy_of(in.rest());
    if (mode % 2 == 1 && file.size() >= format::record_size(0)) {
        auto h = format::load<format::record_header>(file);
        h.sync = format::record_sync;
        auto const payload = (file.size() - format::record_size(0)) / 8 * 8;
        if (mode % 4 == 3) h.size = static_cast<std::uint32_t>(format::record_size(payload));
        std::memcpy(file.data(), &h, sizeof h);
        if (h.size >= format::record_size(0) && h.size <= file.size()) fix_record(std::span(file).first(h.size), seed);
    }
    auto const next = format::find_record(file, 0, seed);
    require(next <= file.size(), "a record beyond the end");
    static_cast<void>(format::is_torn(bytes_view(file).first(next), seed));
    for (std::size_t at = 0; at < file.size() && at < 512; ++at) {
        auto const record = format::decode_record(bytes_view(file).subspan(at), seed);
        require(record.has_value() == (format::find_record(file, at, seed) == at), "finding and decoding contradict each other");
        if (!record) continue;
        require(at >= next, "a record before the first");
        std::vector<std::byte> again;
        format::encode_record(again, record->header, record->payload, seed);
        require(again.size() == record->header.size && std::equal(again.begin(), again.end(), file.begin() + static_cast<std::ptrdiff_t>(at)),
                "a record is encoded in another way");
    }
}

}  // namespace mailfs::fuzz
