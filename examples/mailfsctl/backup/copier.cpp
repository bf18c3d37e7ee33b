// SPDX-License-Identifier: BSL-1.0
#include "backup/copier.hpp"

#include "mapped_file.hpp"

#include <mailfs/types/bytes.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
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
        for (auto const& name : stable_list(path)) {
            auto const made = file(path + '/' + name, &out.removes);
            gone = gone || made == outcome::gone;
            out.changed = out.changed || made == outcome::copied;
        }
        out.there = kind_of(source_ + '/' + path) == entry_kind::directory;
        if (!gone || !out.there) return out;
        out.removes = true;
    }
    fail(EBUSY, source_ + '/' + path);
}

void copier::collect(std::string const& path, std::vector<std::string>& out) const {
    for (auto const& e : list_directory(source_ + '/' + path)) {
        if (is_passed_over(e.name)) continue;
        auto inner = path.empty() ? e.name : path + '/' + e.name;
        if (e.is_directory)
            collect(inner, out);
        else
            out.push_back(std::move(inner));
    }
}

std::vector<std::string> copier::files_below(std::string const& path) const {
    std::vector<std::string> out;
    collect(path, out);
    std::sort(out.begin(), out.end());
    return out;
}

std::vector<std::string> copier::directories_in(std::string const& path) const {
    std::vector<std::string> out;
    for (auto const& e : list_directory(source_ + '/' + path))
        if (e.is_directory && !is_passed_over(e.name)) out.push_back(e.name);
    return out;
}

void copier::below(std::string const& path, std::vector<std::string> const& except) {
    for (auto const& e : list_directory(source_ + '/' + path)) {
        if (is_passed_over(e.name) || std::find(except.begin(), except.end(), e.name) != except.end()) continue;
        auto const inner = path.empty() ? e.name : path + '/' + e.name;
        if (e.is_directory)
            below(inner);
        else
            file(inner, nullptr);
    }
}

copier::outcome copier::file(std::string const& path, bool* removes) {
    auto const from = source_ + '/' + path, to = target_ + '/' + path;
    auto const facts = facts_of(from);  // the time before the bytes: what changes in between shows next time
    if (!facts) return outcome::gone;
    auto const copy = facts_of(to);
    ++totals_.files;
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
    if (removes != nullptr)
        *removes = *removes || !name_of(path).starts_with("log.") || removes_messages(bytes->bytes(), known);
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
        copy_rights(file.get(), source_ + '/' + path);
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

void copier::prune(std::string const& path) {
    for (auto const& e : list_directory(target_ + '/' + path)) {
        auto const inner = path.empty() ? e.name : path + '/' + e.name;
        auto const full = target_ + '/' + inner;
        auto const original = kind_of(source_ + '/' + inner);
        if (e.is_directory) {
            prune(inner);
            if (original != entry_kind::directory && ::rmdir(full.c_str()) != 0) fail(errno, full);
        } else if (original == entry_kind::none) {
            if (::unlink(full.c_str()) != 0) fail(errno, full);
            ++totals_.files_removed;
        }
    }
}

}  // namespace mailfsctl
