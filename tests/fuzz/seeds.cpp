// SPDX-License-Identifier: BSL-1.0
// Writes what the library itself writes, as first inputs: fuzz_seeds FOLDER makes FOLDER/TARGET/seed-<n>.
#include "fuzz.hpp"

#include <mailfs/cache/append_cache.hpp>
#include <mailfs/dbox/multi_dbox.hpp>
#include <mailfs/dbox/single_dbox.hpp>
#include <mailfs/format/peer_frame.hpp>
#include <mailfs/format/replication_record.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/index/index.hpp>

#include <filesystem>
#include <fstream>
#include <map>

namespace {

using namespace mailfs;
using namespace mailfs::fuzz;

using policy = basic_standalone<fixed_host>;
using index_type = mailfs::index<lockless_log, memory_fs, policy>;
using tree_type = index_type::journal<tree_state>;
using file_bytes = std::vector<std::byte>;

std::filesystem::path folder;
std::map<std::string, int> made;

// `head`: what the target reads in front of the file.
void seed(std::string const& target, std::vector<int> const& head, bytes_view file) {
    std::filesystem::create_directories(folder / target);
    std::ofstream out(folder / target / ("seed-" + std::to_string(++made[target])), std::ios::binary);
    for (auto const octet : head) out.put(static_cast<char>(octet));
    out.write(reinterpret_cast<char const*>(file.data()), static_cast<std::streamsize>(file.size()));
}

format::mailbox_transaction some_messages(std::uint64_t from, std::uint64_t count) {
    format::mailbox_transaction t;
    for (auto i = from; i < from + count; ++i) {
        message_entry m;
        m.id = guid::from_words(3, i);
        m.where = {0x0123'4567'89ab'cdef, 64 + 200 * i};
        m.size = static_cast<std::uint32_t>(100 + i);
        m.received_ms = 1'700'000'000'000 + i * 1000;
        if (i % 2 == 0) m.keywords = {"k1", "$Label"};
        t.append(m);
    }
    return t;
}
std::vector<format::mailbox_transaction> transactions() {
    std::vector<format::mailbox_transaction> all;
    all.push_back(some_messages(1, 4));
    all.emplace_back().change_flags(uid_set{{1, 2}}, {flag_mode::add, flag::seen | flag::deleted, {"k2"}, {}});
    all.emplace_back().change_flags(uid_set{{2, 4}}, {flag_mode::replace, flag::flagged, {}, modseq_t{2}});
    all.emplace_back().expunge(uid_set{{1, 1}, {3, 3}}, false);
    all.push_back(some_messages(5, 2));
    all.emplace_back().raise(90, 20);
    return all;
}
std::vector<format::tree_transaction> tree_transactions() {
    std::vector<format::tree_transaction> all;
    all.emplace_back().create({guid::from_words(6, 1), 48, 2, false, "x/y"}).create({guid::from_words(6, 2), 64, 0, true, "x"});
    all.emplace_back().rename({guid::from_words(6, 1), "x/y", "z"});
    all.emplace_back().subscribe({true, "z"}).metadata({guid::from_words(6, 1), true, "/private/comment", "hello"});
    all.emplace_back().metadata({guid{}, true, "/shared/admin", "root"}).remove({guid::from_words(6, 2)});
    all.emplace_back().subscribe({false, "z"});
    return all;
}

void append_torn(memory_fs& fs, std::string const& path, bytes_view whole, std::size_t size) {
    auto bytes = fs.bytes_of(path);
    auto const head = whole.first(size);
    bytes.insert(bytes.end(), head.begin(), head.end());
    fs.put(path, bytes);
}

template <class Journal, class Transactions>
asio::awaitable<void> write(memory_fs fs, fixed_host host, log_options options, Transactions all, bool create) {
    Journal j(fs, "box", policy(host), options);
    auto const first = all.front().bytes();
    if (create) co_await j.create(guid::from_words(1, 2), first);
    bool const there = co_await j.open();
    require(there, "no journal");
    for (std::size_t i = 1; i < all.size(); ++i) {
        auto const operations = all[i].bytes();
        co_await j.propose(operations, i % 2 == 0 ? durability::stored : durability::none);
    }
}

// A log of two boots, with what a killed writer left in the middle.
template <class Journal, class Transactions>
memory_fs lived_in(Transactions const& all, std::uint64_t rotate) {
    std::uint64_t count = 0;
    memory_fs fs;
    log_options options;
    options.rotate_size_min = rotate;
    options.rotate_share = 1'000'000;
    run(write<Journal>(fs, {1, &count}, options, all, true));
    auto const newest = fs.paths().back();
    auto const bytes = fs.bytes_of(newest);
    if (rotate > 1000) append_torn(fs, newest, bytes_view(bytes).subspan(sizeof(format::log_header)), 70);
    run(write<Journal>(fs, {1, &count}, options, all, false));
    run(write<Journal>(fs, {2, &count}, options, all, false));
    return fs;
}

template <class Journal, class Transactions>
void seed_logs(Transactions const& all, int kind, std::string const& snapshot_target) {
    auto const whole = lived_in<Journal>(all, 1U << 20);
    for (auto const& path : whole.paths()) {
        auto const bytes = whole.bytes_of(path);
        seed("log_scan", {1 | kind, 2, 0, 1, 0, 0}, bytes);
        seed("log_scan", {1 | kind, 3, 0, 1, 0, 0}, bytes_view(bytes).first(bytes.size() / 2));
        seed("log_scan", {kind, 1, 0, 1, 0, 0}, bytes);
        if (kind == 0) seed("log_record", {1}, bytes_view(bytes).subspan(sizeof(format::log_header)));
    }
    auto const rotated = lived_in<Journal>(all, 600);
    file_bytes directory{std::byte{1}, std::byte{2}};
    for (auto const& path : rotated.paths()) {
        auto const bytes = rotated.bytes_of(path);
        bool const snapshot = path.find("index.") != path.npos;
        auto const number = std::atoi(path.c_str() + path.rfind('.') + 1);
        if (snapshot) seed(snapshot_target, {1, 0}, bytes);
        else seed("log_scan", {1 | kind | 4, 2, 0, 1, static_cast<int>(bytes.size() & 0xff), static_cast<int>(bytes.size() >> 8)}, bytes);
        directory.push_back(static_cast<std::byte>((snapshot ? 0x80 : 0) | (number & 7)));
        directory.push_back(static_cast<std::byte>(bytes.size() & 0xff));
        directory.push_back(static_cast<std::byte>(bytes.size() >> 8));
        directory.insert(directory.end(), bytes.begin(), bytes.end());
    }
    if (kind != 0) return;
    seed("mailbox_directory", {}, directory);
    directory[0] = std::byte{3};
    directory[1] = std::byte{3};
    seed("mailbox_directory", {}, directory);
}

template <class Transactions>
void seed_operations(std::string const& target, Transactions const& all) {
    file_bytes together;
    for (auto const& t : all) {
        auto const bytes = t.bytes();
        file_bytes one{static_cast<std::byte>(bytes.size() & 0xff), static_cast<std::byte>(bytes.size() >> 8)};
        one.insert(one.end(), bytes.begin(), bytes.end());
        seed(target, {}, one);
        together.insert(together.end(), one.begin(), one.end());
    }
    seed(target, {}, together);
}

template <class Format>
asio::awaitable<void> write_mails(memory_fs fs, fixed_host host) {
    Format mails(fs, "mail", host, {});
    std::string const texts[] = {"Subject: 1\r\n\r\nshort", std::string(200, 'x'), ""};
    std::uint64_t n = 0;
    for (auto const& text : texts) {
        mail_to_write const mail{guid::from_words(0xb0b1'b2b3'b4b5'b6b7, ++n), 1'700'000'000'000, as_bytes(text), guid::from_words(1, 2)};
        co_await mails.write(std::span(&mail, 1), durability::none);
    }
}

asio::awaitable<void> write_cache(memory_fs fs, fixed_host host) {
    append_cache<memory_fs, fixed_host> cache(fs, "box", guid::from_words(1, 2), host);
    std::vector<cache_entry> entries;
    for (std::uint64_t i = 1; i < 4; ++i)
        entries.push_back({guid::from_words(3, i), 0, {{cache_field_id::envelope, file_bytes(30 * i)}, {cache_field_id::preview, file_bytes(5)}}});
    auto const places = co_await cache.store(entries);
    cache_entry const again{guid::from_words(3, 1), places.front(), {{cache_field_id::sizes, file_bytes(9)}}};
    co_await cache.store(std::span(&again, 1));
}

// One link: a node joins, is pushed to, proposes, takes a snapshot, hands over.
std::vector<format::peer_message> conversation() {
    using namespace format;
    origin const us{1, 0x18f0'0000'0000'1234}, them{2, 0x18f0'0000'1000'5678};
    stamp const when{1'750'000'000'000U << 16};
    position const at{0x11, 40};
    std::vector<peer_message> all;
    all.push_back(peer_hello{1, 1, guid::from_words(1, 2), 1, 1, us.incarnation, 0, 1'750'000'000'000, guid::from_words(3, 4), guid::from_words(5, 6)});
    all.push_back(peer_ping{1, 0});
    all.push_back(peer_pong{1});
    all.push_back(peer_open{"box/0102", guid::from_words(1, 2), at, 77, {{0x01, 300, 256}, {0x11, 40, 511}}, 300, us, 4, 0, 6, 0x21});
    all.push_back(peer_catch_up{{0x11, 38}, 55, false, 0});
    peer_push push{{0x11, 38}, 55, true, {}};
    for (auto const& t : transactions()) {
        auto const bytes = t.bytes();
        auto const n = static_cast<std::uint32_t>(push.steps.size());
        push.steps.push_back({record_kind::transaction, {0x11, 39 + n}, {n % 3 == 2 ? them : us, 100 + n}, stamp{when.value + n}, {bytes.begin(), bytes.end()}});
    }
    push.steps.push_back({record_kind::epoch, {0x22, 0}, {}, when, file_bytes(32)});
    all.push_back(push);
    all.push_back(peer_progress{0x11, true, {{1, 45, 40}, {2, 45, 45}, {3, 12, 0}}});
    all.push_back(peer_propose{{them, 9}, when, true, file_bytes(40)});
    all.push_back(peer_refuse{{them, 9}});
    all.push_back(peer_who{});
    all.push_back(peer_want_branch{65536});
    all.push_back(peer_snapshot{true, at, 65536, 65600, file_bytes(64)});
    all.push_back(peer_handover{at});
    all.push_back(peer_close{});
    all.push_back(peer_bodies{"alice/mail", true});
    all.push_back(peer_want_body{guid::from_words(7, 8), 65536});
    peer_body body{true, guid::from_words(7, 8), guid::from_words(1, 2), 1'750'000'000'000, 1'750'000'000'001, 0, 0, 65600, file_bytes(64)};
    body.checksum = body_checksum(body.id, body.bytes);
    all.push_back(body);
    all.push_back(peer_have_body{body.id});
    all.push_back(peer_no_body{body.id, true});
    return all;
}
void seed_frames() {
    file_bytes stream;
    for (auto const& m : conversation()) {
        auto const channel = format::is_of_link(format::type_of(m)) ? 0U : 3U;
        format::encode_frame(stream, channel, m);
        file_bytes one;
        format::encode_frame(one, channel, m);
        seed("peer_frame", {1, 255, 255}, one);
    }
    seed("peer_frame", {0, 20, 5}, stream);
    seed("peer_frame", {1, 7, 1}, stream);
    seed("peer_frame", {3, 255, 255}, stream);
}

// Steps of two nodes as the target reads them: 0 transaction, 1 epoch, 2 ids, 3 fold, 4 settle; 128: to the second.
template <class State, class Transactions>
void seed_steps(int which, Transactions const& all) {
    file_bytes file;
    State a, b;
    a.reset(guid::from_words(1, 2));
    b.reset(guid::from_words(1, 2));
    std::uint64_t counter = 0;
    auto const put = [&](int what, bytes_view payload) {
        for (auto const octet : {what, static_cast<int>(payload.size() & 255), static_cast<int>(payload.size() >> 8)}) file.push_back(std::byte(octet));
        file.insert(file.end(), payload.begin(), payload.end());
        format::record_view record;
        record.header.kind = what % 128 == 0 ? 1 : static_cast<std::uint8_t>(4 + what % 128);
        record.header.node = 1;
        record.header.incarnation = 7;
        record.header.counter = ++counter;
        record.header.stamp = counter << 16;
        record.payload = payload;
        (what < 128 ? a : b).apply_step(record, nullptr);
    };
    put(1, format::encode_epoch_start({33, {1, 7}, 256, 511, 1}));
    put(129, format::encode_epoch_start({50, {2, 7}, 512, 767, 1}));
    for (auto const& t : all) {
        put(0, t.bytes());
        put(128, t.bytes());
    }
    put(2, format::encode_ids({4352, 4607}));
    put(1, format::encode_epoch_start({65, {1, 7}, 4608, 4700, 1}));
    put(3, a.fold(b));
    put(4, format::encode_settle({65, 1}));
    seed("replicated_steps", {which}, file);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    folder = argv[1];
    std::uint64_t count = 0;
    fixed_host const host{1, &count};
    seed_logs<index_type>(transactions(), 0, "mailbox_snapshot");
    seed_logs<tree_type>(tree_transactions(), 2, "tree_snapshot");
    seed_operations("mailbox_operations", transactions());
    seed_operations("tree_operations", tree_transactions());
    seed_frames();
    seed_steps<mailbox_state>(0, transactions());
    seed_steps<tree_state>(1, tree_transactions());
    memory_fs mails, single, caches;
    run(write_mails<multi_dbox<memory_fs, fixed_host>>(mails, host));
    run(write_mails<single_dbox<memory_fs, fixed_host>>(single, host));
    run(write_cache(caches, host));
    for (auto const& path : mails.paths()) seed("dbox_file", {1, 16, 0, 8, 0}, mails.bytes_of(path));
    for (auto const& path : single.paths()) seed("dbox_file", {3, 16, 0, 8, 0}, single.bytes_of(path));
    for (auto const& path : caches.paths()) seed("cache_file", {1}, caches.bytes_of(path));
    return 0;
}
