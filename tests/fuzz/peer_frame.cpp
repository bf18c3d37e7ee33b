// SPDX-License-Identifier: BSL-1.0
// The stream of a link: frames in pieces of any size. What comes through is encoded to the same bytes, and comes through again.
//
// Octet 0: bit 0, checksums are put right; bit 1, sizes too, by the frames that the rest is cut into. Octet 1: the size of pieces.
#include "checksums.hpp"
#include "fuzz.hpp"

#include <mailfs/format/peer_frame.hpp>

namespace mailfs::fuzz {

namespace {

using namespace format;

void check_again(frame const& f, bytes_view came) {
    std::vector<std::byte> again;
    encode_frame(again, f.channel, f.message);
    require(again.size() == frame_size(f.channel, f.message), "a frame is not as large as was said");
    bool const is_hello = type_of(f.message) == peer_type::hello;  // may have more behind
    auto const flags = static_cast<std::uint8_t>(came[5]);
    bool const same = again.size() == came.size() && std::equal(again.begin() + 6, again.end() - 4, came.begin() + 6) &&
                      static_cast<std::uint8_t>(again[5]) == (flags & ~peer_may_skip);
    require(is_hello || same, "a frame is encoded in another way");
    frame_reader reader("again");
    reader.feed(again);
    auto const back = reader.next();
    require(back && *back == f && reader.pending() == 0, "a frame comes back as another");
    if (auto const* push = std::get_if<peer_push>(&f.message)) require(steps_that_fit(push->steps) <= push->steps.size(), "more steps than there are");
}

}  // namespace

void peer_frame(bytes_view bytes) {
    input in(bytes);
    auto const mode = in.octet();
    auto const piece = std::size_t{1} + in.octet() * in.octet();
    auto stream = copy_of(in.rest());
    if (mode % 2 == 1) fix_frames(stream, mode % 4 == 3);
    frame_reader reader("peer");
    std::size_t begin = 0;
    try {
        for (std::size_t at = 0; at < stream.size(); at += piece) {
            reader.feed(bytes_view(stream).subspan(at, std::min(piece, stream.size() - at)));
            while (auto const f = reader.next()) {
                auto const end = static_cast<std::size_t>(reader.offset());
                // Others may have been skipped in front of it.
                auto one = bytes_view(stream).subspan(begin, end - begin);
                while (one.size() > std::size_t{load<le32>(one)} + 4) one = one.subspan(std::size_t{load<le32>(one)} + 4);
                check_again(*f, one);
                begin = end;
            }
            require(reader.pending() < peer_frame_size_max, "more than a frame is kept");
        }
    } catch (error const& e) {
        check_error(e);
        require(e.file() == "peer" && e.offset() <= stream.size(), "an error at no place of the stream");
    }
    require(reader.offset() + reader.pending() <= stream.size(), "more was kept than came");
}

}  // namespace mailfs::fuzz
