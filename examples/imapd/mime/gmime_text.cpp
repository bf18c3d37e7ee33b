// SPDX-License-Identifier: BSL-1.0
// The text of a part: transfer encoding undone and converted to UTF-8, by GMime's filters.
#include "limits.hpp"
#include "mime/gmime_extractor.hpp"
#include "mime/gmime_handle.hpp"

#include <algorithm>

namespace imapd::mime {
namespace {

std::string charset_of(part const& p) {
    for (auto const& [name, value] : p.parameters)
        if (name == "CHARSET") return value;
    return "us-ascii";
}

}  // namespace

std::string gmime_extractor::text(std::string_view message, part const& p) const {
    auto const body = message.substr(p.body_begin, std::min(p.body_end - p.body_begin, limits::search_text_size_max));
    object<GMimeStream> const memory(g_mime_stream_mem_new());
    object<GMimeStream> const filtered(g_mime_stream_filter_new(memory.get()));
    auto* const stream = GMIME_STREAM_FILTER(filtered.get());
    object<GMimeFilter> const decode(
        g_mime_filter_basic_new(g_mime_content_encoding_from_string(p.encoding.c_str()), FALSE));
    g_mime_stream_filter_add(stream, decode.get());
    object<GMimeFilter> const convert(g_mime_filter_charset_new(charset_of(p).c_str(), "utf-8"));
    if (convert) g_mime_stream_filter_add(stream, convert.get());  // a charset that is not known stays as it is
    if (g_mime_stream_write(filtered.get(), body.data(), body.size()) < 0) return std::string(body);
    if (g_mime_stream_flush(filtered.get()) < 0) return std::string(body);
    auto const* const array = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(memory.get()));
    return std::string(reinterpret_cast<char const*>(array->data), array->len);
}

}  // namespace imapd::mime
