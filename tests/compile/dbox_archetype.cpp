// SPDX-License-Identifier: BSL-1.0
// Exactly the message_format concept and no more, and one near miss for each requirement. Compiled, never linked.
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>

namespace archetype {

using namespace mailfs;
template <class T>
using awaitable = asio::awaitable<T>;

struct bare_mapping {
    bare_mapping(bare_mapping&&) noexcept;
    bare_mapping& operator=(bare_mapping&&) noexcept;
    std::span<std::byte> bytes();
};
struct bare_file {
    using mapping = bare_mapping;
    bare_file(bare_file&&) noexcept;
    bare_file& operator=(bare_file&&) noexcept;
    awaitable<std::uint64_t> append(bytes_view);
    awaitable<std::size_t> read(std::uint64_t, std::span<std::byte>);
    awaitable<std::uint64_t> size();
    awaitable<void> sync();
    awaitable<mapping> map();
};
struct bare_fs {
    using file = bare_file;
    static constexpr fs_traits traits{scope::cluster, scope::cluster, false, true, latency::network, 1};
    bare_fs(bare_fs const&);
    bare_fs& operator=(bare_fs const&);
    awaitable<std::optional<file>> open(std::string_view);
    awaitable<bool> create(std::string_view, bytes_view, durability);
    awaitable<std::vector<std::string>> list(std::string_view);
    awaitable<bool> remove(std::string_view);
};
struct bare_host {
    bare_host(bare_host const&);
    bare_host& operator=(bare_host const&);
    std::uint64_t now_ms();
    std::uint64_t random();
    guid boot();
    std::uint32_t node();
};
static_assert(filesystem<bare_fs> && host<bare_host>);

struct bare_format {
    using fs_type = bare_fs;
    using host_type = bare_host;
    static constexpr bool shares_files = true;
    bare_format(bare_fs, std::string, bare_host, dbox_options);
    bare_format(bare_format&&) noexcept;
    bare_format& operator=(bare_format&&) noexcept;
    awaitable<std::vector<mail_location>> write(std::span<mail_to_write const>, durability);
    awaitable<std::vector<std::byte>> read(guid, mail_location);
    awaitable<std::vector<std::byte>> read(guid, mail_location, std::uint64_t);
    awaitable<std::vector<std::byte>> read_part(guid, mail_location, std::uint64_t, std::uint64_t);
    awaitable<stored_mail> look(guid, mail_location);
    awaitable<std::vector<mail_file>> files();
    awaitable<mail_file_contents> scan(mail_file);
    std::uint64_t file_number(guid, mail_location);
    awaitable<bool> remove(mail_file);
};
static_assert(message_format<bare_format>);

struct stuck_format : bare_format {
    using bare_format::bare_format;
    stuck_format(stuck_format&&) = delete;
};
struct format_made_of_nothing : bare_format {};
struct format_on_nothing : bare_format {
    using bare_format::bare_format;
    using fs_type = int;
};
struct format_without_clock : bare_format {
    using bare_format::bare_format;
    using host_type = int;
};
struct format_that_hides_places : bare_format {
    using bare_format::bare_format;
    awaitable<void> write(std::span<mail_to_write const>, durability);
};
struct format_without_read : bare_format {
    using bare_format::bare_format;
    void read(guid, mail_location) = delete;
};
struct format_without_hint : bare_format {
    using bare_format::bare_format;
    awaitable<std::vector<std::byte>> read(guid, mail_location);
};
struct format_without_parts : bare_format {
    using bare_format::bare_format;
    void read_part(guid, mail_location, std::uint64_t, std::uint64_t) = delete;
};
struct format_that_looks_at_nothing : bare_format {
    using bare_format::bare_format;
    void look(guid, mail_location) = delete;
};
struct format_made_among_nodes : bare_format {
    using set_type = int;
    format_made_among_nodes(bare_fs, std::string, bare_host, dbox_options, int&);
};
static_assert(message_format<format_made_among_nodes>);
struct format_that_hides_files : bare_format {
    using bare_format::bare_format;
    void files() = delete;
};
struct format_that_cannot_scan : bare_format {
    using bare_format::bare_format;
    void scan(mail_file) = delete;
};
struct format_that_counts_only : bare_format {
    using bare_format::bare_format;
    awaitable<std::uint64_t> scan(mail_file);
};
struct format_without_numbers : bare_format {
    using bare_format::bare_format;
    void file_number(guid, mail_location) = delete;
};
struct format_that_keeps_all : bare_format {
    using bare_format::bare_format;
    void remove(mail_file) = delete;
};
struct format_of_unknown_sharing : bare_format {
    using bare_format::bare_format;
    void shares_files();
};
static_assert(!message_format<stuck_format>);
static_assert(!message_format<format_made_of_nothing>);
static_assert(!message_format<format_on_nothing>);
static_assert(!message_format<format_without_clock>);
static_assert(!message_format<format_that_hides_places>);
static_assert(!message_format<format_without_read>);
static_assert(!message_format<format_without_hint>);
static_assert(!message_format<format_without_parts>);
static_assert(!message_format<format_that_looks_at_nothing>);
static_assert(!message_format<format_that_hides_files>);
static_assert(!message_format<format_that_cannot_scan>);
static_assert(!message_format<format_that_counts_only>);
static_assert(!message_format<format_without_numbers>);
static_assert(!message_format<format_that_keeps_all>);
static_assert(!message_format<format_of_unknown_sharing>);

}  // namespace archetype

// And the models ask for nothing that filesystem and host leave out.
template class mailfs::single_dbox<archetype::bare_fs, archetype::bare_host>;
template class mailfs::multi_dbox<archetype::bare_fs, archetype::bare_host>;
