// SPDX-License-Identifier: BSL-1.0
// Files of each released version, kept: every later build reads them, writes on, and refuses what is newer than itself.
//
// tests/format/golden/VERSION/FORMAT holds an account as that version left it, and what is in it, told in `contents.txt`.
// A new version adds a folder and never touches the older ones: MAILFS_GOLDEN_MAKE=VERSION makes it.
#include <mailfs/cache/append_cache.hpp>
#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/format/crc32c.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/index/index.hpp>
#include <mailfs/store/store.hpp>

#include "support/run.hpp"
#include "unit/log/log_fixture.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#ifndef MAILFS_GOLDEN
#define MAILFS_GOLDEN "tests/format/golden"
#endif

using namespace mailfs;
using test::test_host;
namespace stdfs = std::filesystem;

namespace {

using golden_index = mailfs::index<lockless_log, memory_fs, basic_standalone<test_host>>;
template <template <class, class> class Format>
using golden_store = mailfs::store<golden_index, Format<memory_fs, test_host>>;
using contents = std::map<std::string, std::vector<std::byte>>;

store_options small_logs() {
    store_options o;
    o.log.rotate_size_min = 2048;
    o.dbox.file_size_max = 4096;
    return o;
}

// --- what the account is made of ------------------------------------------------------------------------------

std::vector<std::string> work_and_later() { return {"$Work", "Later"}; }
std::vector<cache_entry> some_fields() {
    return {{guid::from_words(1, 1), 0, {{cache_field_id::preview, {std::byte{'h'}, std::byte{'i'}}}}}};
}
asio::awaitable<void> deliver(auto& box, std::string text, append_options options) {
    auto const bytes = as_bytes(text);
    co_await box.append(bytes, std::move(options));
}
template <class Store>
asio::awaitable<void> make(Store& store, test_host& host, memory_fs fs) {
    auto alice = co_await store.account("alice");
    create_options const archived{.use = special_use::archive};
    co_await alice.create("Archive/2023", archived);
    co_await alice.create("Gone");
    co_await alice.create("Old name");
    co_await alice.rename("Old name", "R\u00e9sum\u00e9");
    for (int i = 0; i < 40; ++i) co_await alice.subscribe("Archive/2023", i % 2 == 1);  // the tree gets a snapshot
    co_await alice.subscribe("No such mailbox", true);
    co_await alice.remove("Gone");
    auto inbox = co_await alice.open("INBOX");
    for (std::uint64_t n = 1; n <= 12; ++n) {
        host.in().now_ms += 1000;
        append_options o;
        o.received_ms = 1'600'000'000'000 + n * 86'400'000;
        if (n % 2 == 0) o.flags = flag::seen | flag::answered;
        if (n % 3 == 0) o.keywords = work_and_later();
        co_await deliver(inbox, fmt::format("Subject: {}\r\n\r\nMessage {}\r\n{}", n, n, std::string(n * 100, 'x')), std::move(o));
    }
    auto archive = co_await alice.open("Archive/2023");
    uid_set some, marked, out;
    some.add(2, 4);
    marked.add(5, 9);
    out.add(6, 7);
    co_await inbox.copy_to(some, archive);
    flag_change change;
    change.mode = flag_mode::add;
    change.flags = flag::flagged;
    change.keywords.push_back("\u00dcbrig");
    for (int i = 0; i < 30; ++i) {  // several generations of logs
        change.mode = i % 2 == 0 ? flag_mode::add : flag_mode::remove;
        co_await inbox.set_flags(marked, change);
    }
    change.mode = flag_mode::add;
    co_await inbox.set_flags(marked, change);
    co_await inbox.expunge(out, false);
    append_cache cache(fs, fmt::format("{}/box/{}", account_directory("alice").value(), inbox.id().hex()), inbox.id(), host);
    auto const entries = some_fields();
    co_await cache.store(entries);
}

// --- what is in it -----------------------------------------------------------------------------------------------

std::string words(std::vector<std::string> const& all) { return fmt::format("{}", fmt::join(all, " ")); }

template <class Account>
asio::awaitable<std::string> tell_mailbox(Account& account, mailbox_info info) {
    auto box = co_await account.open(info.name);
    auto const status = co_await account.status(info.name);
    auto text = fmt::format("{} {} use {} subscribed {} validity {} next {} modseq {} messages {} unseen {} deleted {} bytes {}\n",
                            info.name, info.id.hex(), static_cast<int>(info.use), info.subscribed, status.uid_validity,
                            status.uid_next, status.highest_modseq, status.messages, status.unseen, status.deleted, status.bytes);
    auto const uids = box.view().uids();
    auto mails = box.fetch(uids);
    while (auto const mail = co_await mails.next()) {
        auto const m = box.view().row(mail->uid).value();
        text += fmt::format("  {} flags {} [{}] modseq {} size {} received {} guid {} body {:08x} {}\n", mail->uid,
                            static_cast<unsigned>(m.flags), words(m.keywords), m.modseq, m.size, m.received_ms, m.id.hex(),
                            crc32c(mail->bytes), mail->reason);
    }
    co_return text;
}
template <class Store>
asio::awaitable<std::string> tell(Store& store) {
    auto alice = co_await store.find_account("alice");
    if (!alice) co_return "no account";
    auto const all = co_await alice->list();
    auto const subscriptions = co_await alice->subscriptions();
    auto text = fmt::format("subscribed: {}\n", fmt::join(subscriptions, ", "));
    for (auto const& info : all) {
        if (!info.selectable) text += info.name + "\n";
        else text += co_await tell_mailbox(*alice, info);
    }
    co_return text;
}

// --- folders -------------------------------------------------------------------------------------------------------

std::vector<std::byte> read_file(stdfs::path const& path) {
    std::ifstream in(path, std::ios::binary);
    std::string const text{std::istreambuf_iterator<char>(in), {}};
    auto const view = as_bytes(text);
    return {view.begin(), view.end()};
}
contents read_folder(stdfs::path const& folder) {
    contents files;
    for (auto const& e : stdfs::recursive_directory_iterator(folder / "files"))
        if (e.is_regular_file()) files.emplace(stdfs::relative(e.path(), folder / "files").string(), read_file(e.path()));
    return files;
}
contents files_of(memory_fs const& fs) {
    contents files;
    for (auto const& path : fs.paths()) files.emplace(path, fs.bytes_of(path));
    return files;
}
memory_fs disk_of(contents const& files) {
    memory_fs fs;
    for (auto const& [path, bytes] : files) fs.put(path, bytes);
    return fs;
}
void write_file(stdfs::path const& path, bytes_view bytes) {
    stdfs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << as_text(bytes);
}

template <template <class, class> class Format>
void make_folder(stdfs::path const& folder) {
    memory_fs fs;
    test_host host;
    golden_store<Format> store(fs, small_logs(), host);
    std::string text;
    test::run([&]() -> asio::awaitable<void> {
        co_await make(store, host, fs);
        text = co_await tell(store);
    });
    for (auto const& [path, bytes] : files_of(fs)) write_file(folder / "files" / path, bytes);
    write_file(folder / "contents.txt", as_bytes(text));
}

/// What a store over these files tells, or the error that it ends with.
template <template <class, class> class Format>
std::string read_through(memory_fs fs) {
    std::string text;
    try {
        golden_store<Format> store(fs, small_logs(), test_host());
        test::run([&]() -> asio::awaitable<void> { text = co_await tell(store); });
    } catch (error const& e) {
        text = e.what();
    }
    return text;
}

// --- versions that are still to come ----------------------------------------------------------------------------

struct header_place {
    std::string_view magic;
    std::size_t checksum;     // of all before it,
    bool and_behind = false;  // and going on with all behind it
};
constexpr header_place headers[] = {
    {"mfsLOG\r\n", 124}, {"mfsIDX\r\n", 188}, {"mfsTREE\n", 68, true}, {"\x89mdbox\r\n", 60}, {"mfsCCH\r\n", 60}};

header_place const* header_of(bytes_view file) {
    for (auto const& h : headers)
        if (file.size() > h.checksum + 4 && as_text(file.first(h.magic.size())) == h.magic) return &h;
    return nullptr;
}
std::vector<std::byte> with_version(std::vector<std::byte> file, header_place const& h, std::uint16_t major, std::uint16_t minor) {
    le16 const numbers[] = {major, minor};
    std::memcpy(file.data() + 8, numbers, sizeof numbers);
    auto sum = crc32c(bytes_view(file).first(h.checksum));
    if (h.and_behind) sum = crc32c(bytes_view(file).subspan(h.checksum + sizeof(le32)), sum);
    le32 const checksum = sum;
    std::memcpy(file.data() + h.checksum, &checksum, sizeof checksum);
    return file;
}

template <template <class, class> class Format>
void check_folder(stdfs::path const& folder) {
    CAPTURE(folder.string());
    auto const files = read_folder(folder);
    auto const expected = std::string(as_text(read_file(folder / "contents.txt")));
    REQUIRE(files.size() > 6);
    auto const fs = disk_of(files);
    CHECK(read_through<Format>(fs) == expected);
    CHECK(files_of(fs) == files);

    // Written on: nothing that was there changes.
    golden_store<Format> store(fs, small_logs(), test_host());
    test::run([&]() -> asio::awaitable<void> {
        auto alice = co_await store.account("alice");
        auto inbox = co_await alice.open("INBOX");
        auto const before = inbox.view().uids();
        co_await deliver(inbox, "Subject: new\r\n\r\n", {});
        co_await inbox.refresh();
        auto const after = inbox.view().uids();
        CHECK(after.size() == before.size() + 1);
    });
    CHECK(read_through<Format>(fs).size() > expected.size());

    std::map<std::string_view, int> refusals;  // by magic: older generations and caches are not needed
    for (auto const& [path, bytes] : files) {
        CAPTURE(path);
        auto const* const header = header_of(bytes);
        REQUIRE(header != nullptr);
        auto newer = files;
        newer[path] = with_version(bytes, *header, 1, 7);
        CHECK(read_through<Format>(disk_of(newer)) == expected);
        newer[path] = with_version(bytes, *header, 2, 0);
        auto const later = disk_of(newer);
        auto const told = read_through<Format>(later);
        bool const refused = told.find("newer version") != told.npos;
        bool const not_needed = told == expected;
        CHECK((refused || not_needed));
        CHECK(files_of(later) == newer);
        refusals[header->magic] += refused ? 1 : 0;
    }
    for (auto const& h : headers) CHECK((refusals[h.magic] > 0 || h.magic.starts_with("mfsCCH")));
}

}  // namespace

TEST_CASE("golden: files of every version kept are read, written on, and refused where they are newer") {
    stdfs::path const root = MAILFS_GOLDEN;
    if (auto const* const version = std::getenv("MAILFS_GOLDEN_MAKE")) {
        make_folder<multi_dbox>(root / version / "multi");
        make_folder<single_dbox>(root / version / "single");
    }
    int versions = 0;
    for (auto const& version : stdfs::directory_iterator(root)) {
        check_folder<multi_dbox>(version.path() / "multi");
        check_folder<single_dbox>(version.path() / "single");
        ++versions;
    }
    CHECK(versions >= 1);
}
