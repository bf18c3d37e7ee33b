// SPDX-License-Identifier: BSL-1.0
#include "backup/copier.hpp"

#include "mapped_file.hpp"

#include <mailfs/format/log_record.hpp>
#include <mailfs/types/bytes.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <system_error>

namespace mailfsctl {
namespace {

constexpr int listings_max = 64;     // of a directory, until two are equal
constexpr int directory_tries = 64;  // while files of it go
constexpr auto temporary_name = "/.mailfsctl-new";

[[noreturn]] void fail(int why, std::string const& path) { throw std::system_error(why, std::generic_category(), path); }

std::string above(std::string const& path) { return path.substr(0, path.rfind('/')); }
std::string_view name_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

void write_all(int file, std::string_view bytes, std::string const& path) {
    while (!bytes.empty()) {
        auto const n = ::write(file, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail(errno, path);
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}

/// As the original has them; the owner only where we may.
void copy_rights(int file, std::string const& original) {
    struct stat about {};
    if (::stat(original.c_str(), &about) != 0) return;
    ::fchmod(file, about.st_mode & 07777);
    if (::geteuid() == 0 && ::fchown(file, about.st_uid, about.st_gid) != 0) return;
}

/// A snapshot tells what logs told that may be gone; other files, such as caches, tell nothing.
bool takes_away(std::string_view name, mailfs::bytes_view bytes, std::uint64_t known) {
    return name.starts_with("index.") || (name.starts_with("log.") && removes_messages(bytes, known));
}

class descriptor {
public:
    descriptor(std::string const& path, int flags) : number_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {
        if (number_ < 0) fail(errno, path);
    }
    ~descriptor() { ::close(number_); }
    descriptor(descriptor const&) = delete;
    descriptor& operator=(descriptor const&) = delete;
    int get() const noexcept { return number_; }

private:
    int number_;
};

std::string const mailfs_log = "log.";

std::optional<std::uint64_t> log_number(std::string_view name) {
    std::uint64_t n = 0;
    if (!name.starts_with(mailfs_log)) return std::nullopt;
    name.remove_prefix(mailfs_log.size());
    auto const [end, ec] = std::from_chars(name.data(), name.data() + name.size(), n);
    return ec == std::errc{} && end == name.data() + name.size() ? std::optional(n) : std::nullopt;
}

/// Where its header says that the log before has its seal; beyond all files where it tells nothing.
std::uint64_t seal_before(std::string const& log) {
    mapped_file const file(log);
    if (file.bytes().size() < sizeof(mailfs::format::log_header)) return std::uint64_t{1} << 62;
    auto const header = mailfs::format::load<mailfs::format::log_header>(file.bytes());
    return header.checksum == mailfs::format::log_header_checksum(header) ? std::uint64_t{header.seal_offset}
                                                                          : std::uint64_t{1} << 62;
}

/// Nothing: it went.
std::unique_ptr<mapped_file> map_if_there(std::string const& path) {
    try {
        return std::make_unique<mapped_file>(path);
    } catch (std::system_error const& e) {
        if (e.code() != std::errc::no_such_file_or_directory) throw;
        return nullptr;
    }
}

}  // namespace

std::optional<file_facts> facts_of(std::string const& path) {
    struct stat about {};
    if (::stat(path.c_str(), &about) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
        fail(errno, path);
    }
    return file_facts{static_cast<std::uint64_t>(about.st_size),
                      std::int64_t{about.st_mtim.tv_sec} * 1'000'000'000 + about.st_mtim.tv_nsec};
}

std::vector<std::string> copier::stable_list(std::string const& path) const {
    auto const list = [&] {
        std::vector<std::string> names;
        for (auto const& e : list_directory(source_ + '/' + path))
            if (!e.is_directory && !is_passed_over(e.name)) names.push_back(e.name);
        return names;
    };
    auto names = list();
    for (int i = 0; i < listings_max; ++i) {
        auto again = list();
        if (again == names) break;
        names = std::move(again);
    }
    return names;
}

directory_copied copier::directory(std::string const& path) {
    directory_copied out;
    for (int i = 0; i < directory_tries; ++i) {
        bool gone = false;
        auto const names = stable_list(path);
        for (auto const& name : names) {
            auto const made = file(path + '/' + name, &out.removes);
            gone = gone || made == outcome::gone;
            out.changed = out.changed || made == outcome::copied;
        }
        out.there = kind_of(source_ + '/' + path) == entry_kind::directory;
        if (!gone) drop_cut_logs(path, names);
        if (!gone || !out.there) return out;
        out.removes = true;
    }
    fail(EBUSY, source_ + '/' + path);
}

void copier::drop_cut_logs(std::string const& path, std::vector<std::string> const& names) {
    auto const in_source = [&](std::string const& name) { return std::binary_search(names.begin(), names.end(), name); };
    auto const directory = target_ + '/' + path + '/';
    std::vector<log_copy> logs;
    std::vector<std::string> snapshots;
    bool all_there = true;
    for (auto const& e : list_directory(directory)) {
        if (e.name.starts_with("index.")) snapshots.push_back(e.name);
        auto const n = log_number(e.name);
        if (!n) continue;
        logs.push_back({*n, facts_of(directory + e.name)->size, 0, in_source(e.name)});
        all_there = all_there && logs.back().in_source;
    }
    if (all_there) return;
    for (auto& l : logs) l.seal_offset = seal_before(directory + mailfs_log + std::to_string(l.number));
    std::sort(logs.begin(), logs.end(), [](log_copy const& a, log_copy const& b) { return a.number < b.number; });
    for (auto const n : cut_logs(logs))
        for (auto const& name : {mailfs_log + std::to_string(n), "index." + std::to_string(n)})
            if (!in_source(name) && ::unlink((directory + name).c_str()) == 0) ++totals_.files_removed;
    for (auto const& name : snapshots)  // of a log that went before
        if (!in_source(name) && kind_of(directory + mailfs_log + name.substr(6)) == entry_kind::none)
            ::unlink((directory + name).c_str());
}

void copier::collect(std::string const& root, std::string const& path, std::vector<std::string>& out) const {
    for (auto const& e : list_directory(root + '/' + path)) {
        if (is_passed_over(e.name)) continue;
        auto inner = path.empty() ? e.name : path + '/' + e.name;
        if (e.is_directory)
            collect(root, inner, out);
        else
            out.push_back(std::move(inner));
    }
}

std::vector<std::string> copier::files_below(std::string const& path) const {
    std::vector<std::string> out;
    collect(source_, path, out);
    if (!second_.empty()) collect(second_, path, out);
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

std::vector<std::string> copier::directories_in(std::string const& path) const {
    std::vector<std::string> out;
    for (auto const& e : list_directory(source_ + '/' + path))
        if (e.is_directory && !is_passed_over(e.name)) out.push_back(e.name);
    return out;
}

void copier::below(std::string const& path, std::vector<std::string> const& except) {
    below(source_, path, except);
    if (!second_.empty()) below(second_, path, except);
}

void copier::below(std::string const& root, std::string const& path, std::vector<std::string> const& except) {
    for (auto const& e : list_directory(root + '/' + path)) {
        if (is_passed_over(e.name) || std::find(except.begin(), except.end(), e.name) != except.end()) continue;
        auto const inner = path.empty() ? e.name : path + '/' + e.name;
        if (e.is_directory)
            below(root, inner, {});
        else
            file(inner, nullptr);
    }
}

// A file that moves to the second disk is there before it goes from the first.
std::string copier::original(std::string const& path) const {
    auto first = source_ + '/' + path;
    return second_.empty() || facts_of(first) ? first : second_ + '/' + path;
}

copier::outcome copier::file(std::string const& path, bool* removes) {
    auto const from = original(path), to = target_ + '/' + path;
    auto const facts = facts_of(from);  // the time before the bytes: what changes in between shows next time
    if (!facts) return outcome::gone;
    auto const copy = facts_of(to);
    ++totals_.files;
    met_.insert(path);
    if (step_for(*facts, copy) == copy_step::keep) return outcome::kept;
    auto const bytes = map_if_there(from);
    if (!bytes) return outcome::gone;
    auto const text = mailfs::as_text(bytes->bytes());
    std::uint64_t known = 0;
    bool taken = true;
    if (copy && copy->size > 0 && copy->size <= text.size()) {
        mapped_file const old(to);
        bool const is_beginning = text.starts_with(mailfs::as_text(old.bytes()));
        known = is_beginning ? old.bytes().size() : 0;
        taken = known < text.size();
    } else if (copy && copy->size == 0) {
        taken = !text.empty();
    }
    if (known > 0 && taken) append(to, text.substr(known));
    if (known == 0 && taken) replace(path, text);
    unsettled_.emplace_back(to, facts->modified_ns);
    if (!taken) return outcome::kept;
    ++totals_.files_copied;
    totals_.bytes_copied += text.size() - known;
    bar_->advance(text.size() - known);
    if (removes != nullptr) *removes = *removes || takes_away(name_of(path), bytes->bytes(), known);
    return outcome::copied;
}

void copier::append(std::string const& path, std::string_view bytes) {
    descriptor const file(path, O_WRONLY | O_APPEND);
    write_all(file.get(), bytes, path);
}

void copier::replace(std::string const& path, std::string_view bytes) {
    auto const to = target_ + '/' + path, temporary = above(to) + temporary_name;
    make_directories(above(to));
    {
        descriptor const file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
        copy_rights(file.get(), original(path));
        write_all(file.get(), bytes, temporary);
    }
    if (::rename(temporary.c_str(), to.c_str()) != 0) fail(errno, to);
}

void copier::settle() {
    if (unsettled_.empty()) return;
    sync_filesystem(target_);
    for (auto const& [path, ns] : unsettled_) {
        timespec const when{static_cast<std::time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
        timespec const times[2] = {when, when};
        if (::utimensat(AT_FDCWD, path.c_str(), times, 0) != 0 && errno != ENOENT) fail(errno, path);
    }
    unsettled_.clear();
}

void copier::begin_pass(std::string const& path) {
    auto const first = met_.lower_bound(path + '/');
    auto last = first;
    while (last != met_.end() && last->starts_with(path + '/')) ++last;
    met_.erase(first, last);
}

void copier::prune(std::string const& path) {
    for (auto const& e : list_directory(target_ + '/' + path)) {
        auto const inner = path + '/' + e.name;
        auto const full = target_ + '/' + inner;
        if (e.is_directory) {
            prune(inner);
            ::rmdir(full.c_str());  // when nothing is left in it
        } else if (!met_.contains(inner)) {
            if (::unlink(full.c_str()) != 0) fail(errno, full);
            ++totals_.files_removed;
        }
    }
}

}  // namespace mailfsctl
