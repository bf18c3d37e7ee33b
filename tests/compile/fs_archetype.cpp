// SPDX-License-Identifier: BSL-1.0
// Exactly the filesystem concept and no more, and one near miss for each requirement. Compiled, never linked.
#include <mailfs/fs/counting_fs.hpp>
#include <mailfs/fs/faulty_fs.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/fs/latency_fs.hpp>
#include <mailfs/fs/shared_sync.hpp>

namespace archetype {

using namespace mailfs;
template <class T>
using awaitable = asio::awaitable<T>;

struct bare_mapping {
    bare_mapping(bare_mapping&&) noexcept;
    bare_mapping& operator=(bare_mapping&&) noexcept;
    std::span<std::byte> bytes();
};
static_assert(file_mapping<bare_mapping>);

struct stuck_mapping : bare_mapping {
    stuck_mapping(stuck_mapping&&) = delete;
};
struct blind_mapping : bare_mapping {
    void bytes() = delete;
};
struct frozen_mapping : bare_mapping {
    std::span<std::byte const> bytes();
};
static_assert(!file_mapping<stuck_mapping>);
static_assert(!file_mapping<blind_mapping>);
static_assert(!file_mapping<frozen_mapping>);

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
static_assert(append_file<bare_file>);

struct stuck_file : bare_file {
    stuck_file(stuck_file&&) = delete;
};
struct file_of_no_mapping : bare_file {
    using mapping = int;
    awaitable<int> map();
};
struct file_without_append : bare_file {
    void append(bytes_view) = delete;
};
struct file_that_hides_offsets : bare_file {
    awaitable<void> append(bytes_view);
};
struct file_that_blocks : bare_file {
    std::uint64_t append(bytes_view);
};
struct file_without_read : bare_file {
    void read(std::uint64_t, std::span<std::byte>) = delete;
};
struct file_that_reads_on : bare_file {
    void read(std::uint64_t, std::span<std::byte>) = delete;
    awaitable<std::size_t> read(std::span<std::byte>);
};
struct file_without_size : bare_file {
    void size() = delete;
};
struct file_without_sync : bare_file {
    void sync() = delete;
};
struct file_that_syncs_in_place : bare_file {
    void sync();
};
struct file_without_map : bare_file {
    void map() = delete;
};
static_assert(!append_file<stuck_file>);
static_assert(!append_file<file_of_no_mapping>);
static_assert(!append_file<file_without_append>);
static_assert(!append_file<file_that_hides_offsets>);
static_assert(!append_file<file_that_blocks>);
static_assert(!append_file<file_without_read>);
static_assert(!append_file<file_that_reads_on>);
static_assert(!append_file<file_without_size>);
static_assert(!append_file<file_without_sync>);
static_assert(!append_file<file_that_syncs_in_place>);
static_assert(!append_file<file_without_map>);

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
static_assert(filesystem<bare_fs>);
static_assert(!watchable_filesystem<bare_fs>);

struct fs_that_cannot_be_copied : bare_fs {
    fs_that_cannot_be_copied(fs_that_cannot_be_copied&&) noexcept;
};
struct fs_of_unsynced_files : bare_fs {
    using file = file_without_sync;
    awaitable<std::optional<file>> open(std::string_view);
};
struct fs_without_traits : bare_fs {
    static constexpr int traits = 0;
};
struct fs_with_late_traits : bare_fs {
    static inline fs_traits traits{};
};
struct fs_that_takes_no_append : bare_fs {
    static constexpr fs_traits traits{scope::cluster, scope::cluster, false, true, latency::network, 0};
};
struct fs_that_always_opens : bare_fs {
    awaitable<file> open(std::string_view);
};
struct fs_without_create : bare_fs {
    void create(std::string_view, bytes_view, durability) = delete;
};
struct fs_that_hides_who_created : bare_fs {
    awaitable<void> create(std::string_view, bytes_view, durability);
};
struct fs_without_durability : bare_fs {
    awaitable<bool> create(std::string_view, bytes_view);
};
struct fs_without_list : bare_fs {
    void list(std::string_view) = delete;
};
struct fs_without_remove : bare_fs {
    void remove(std::string_view) = delete;
};
static_assert(!filesystem<fs_that_cannot_be_copied>);
static_assert(!filesystem<fs_of_unsynced_files>);
static_assert(!filesystem<fs_without_traits>);
static_assert(!filesystem<fs_with_late_traits>);
static_assert(!filesystem<fs_that_takes_no_append>);
static_assert(!filesystem<fs_that_always_opens>);
static_assert(!filesystem<fs_without_create>);
static_assert(!filesystem<fs_that_hides_who_created>);
static_assert(!filesystem<fs_without_durability>);
static_assert(!filesystem<fs_without_list>);
static_assert(!filesystem<fs_without_remove>);

struct bare_watch {
    bare_watch(bare_watch&&) noexcept;
    bare_watch& operator=(bare_watch&&) noexcept;
    awaitable<void> changed();
};
struct bare_watchable_fs : bare_fs {
    using watch = bare_watch;
    awaitable<watch> watch_directory(std::string_view);
};
static_assert(watchable_filesystem<bare_watchable_fs>);

struct deaf_watch : bare_watch {
    void changed() = delete;
};
struct fs_of_deaf_watches : bare_fs {
    using watch = deaf_watch;
    awaitable<watch> watch_directory(std::string_view);
};
struct fs_with_a_watch_and_no_way_to_it : bare_fs {
    using watch = bare_watch;
};
static_assert(!watchable_filesystem<fs_of_deaf_watches>);
static_assert(!watchable_filesystem<fs_with_a_watch_and_no_way_to_it>);

// What stands on the concept passes on what it gets, and no more.
static_assert(filesystem<counting_fs<bare_fs>> && !watchable_filesystem<counting_fs<bare_fs>>);
static_assert(watchable_filesystem<counting_fs<latency_fs<faulty_fs<bare_watchable_fs>>>>);

}  // namespace archetype

// And asks for nothing that the concept leaves out.
template class mailfs::counting_fs<archetype::bare_fs>;
template class mailfs::latency_fs<archetype::bare_fs>;
template class mailfs::faulty_fs<archetype::bare_fs>;
template class mailfs::shared_sync<archetype::bare_file>;
