// SPDX-License-Identifier: BSL-1.0
#include "files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <system_error>

namespace mailfsctl {
namespace {

[[noreturn]] void fail(int why, std::string const& path) { throw std::system_error(why, std::generic_category(), path); }

struct descriptor {
    int number;
    explicit descriptor(int n) : number(n) {}
    ~descriptor() {
        if (number >= 0) ::close(number);
    }
    descriptor(descriptor const&) = delete;
    descriptor& operator=(descriptor const&) = delete;
};

std::uint64_t milliseconds(timespec const& t) {
    if (t.tv_sec < 0) return 0;
    return static_cast<std::uint64_t>(t.tv_sec) * 1000 + static_cast<std::uint64_t>(t.tv_nsec) / 1'000'000;
}

}  // namespace

entry_kind kind_of(std::string const& path) {
    struct stat about {};
    if (::stat(path.c_str(), &about) != 0) {
        if (errno != ENOENT && errno != ENOTDIR) fail(errno, path);
        return entry_kind::none;
    }
    return S_ISDIR(about.st_mode) ? entry_kind::directory : S_ISREG(about.st_mode) ? entry_kind::file : entry_kind::other;
}

std::vector<directory_entry> list_directory(std::string const& path) {
    std::vector<directory_entry> out;
    auto* const directory = ::opendir(path.c_str());
    if (directory == nullptr) {
        if (errno != ENOENT && errno != ENOTDIR) fail(errno, path);
        return out;
    }
    std::unique_ptr<DIR, int (*)(DIR*)> const closing(directory, ::closedir);
    while (errno = 0, true) {
        auto const* const entry = ::readdir(directory);
        if (entry == nullptr) break;
        std::string name(static_cast<char const*>(entry->d_name));
        if (name == "." || name == "..") continue;
        auto const kind = entry->d_type == DT_DIR   ? entry_kind::directory
                          : entry->d_type == DT_REG ? entry_kind::file
                                                    : kind_of(path + '/' + name);
        if (kind == entry_kind::file || kind == entry_kind::directory)
            out.push_back({std::move(name), kind == entry_kind::directory});
    }
    if (errno != 0) fail(errno, path);
    std::sort(out.begin(), out.end(), [](auto const& a, auto const& b) { return a.name < b.name; });
    return out;
}

std::optional<whole_file> read_whole(std::string const& path, std::size_t size_max) {
    descriptor const file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat about {};
    if (file.number < 0 || ::fstat(file.number, &about) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
        fail(errno, path);
    }
    if (!S_ISREG(about.st_mode)) fail(EINVAL, path);
    whole_file out;
    out.modified_ms = milliseconds(about.st_mtim);
    out.too_long = about.st_size > 0 && static_cast<std::uint64_t>(about.st_size) > size_max;
    if (out.too_long) return out;
    out.bytes.resize(static_cast<std::size_t>(about.st_size));
    for (std::size_t at = 0; at < out.bytes.size();) {
        auto const got = ::read(file.number, out.bytes.data() + at, out.bytes.size() - at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail(errno, path);
        if (got == 0) out.bytes.resize(at);
        at += static_cast<std::size_t>(got);
    }
    return out;
}

void make_directories(std::string const& path) {
    for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
        auto const part = path.substr(0, end);
        if (::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) {
            int const why = errno;
            if (kind_of(part) != entry_kind::directory) fail(why, part);
        }
        if (end == path.npos) return;
    }
}

new_file::new_file(std::string temporary) : temporary_(std::move(temporary)) {
    ::unlink(temporary_.c_str());  // what a killed process left
    int const file = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) fail(errno, temporary_);
    file_.reset(::fdopen(file, "wb"));
    if (!file_) {
        int const why = errno;
        ::close(file);
        fail(why, temporary_);
    }
}

new_file::~new_file() {
    file_.reset();
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void new_file::write(std::string_view bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) fail(errno, temporary_);
}

void new_file::flush(std::optional<std::uint64_t> modified_ms) {
    if (std::fflush(file_.get()) != 0) fail(errno, temporary_);
    if (!modified_ms) return;
    timespec const when{static_cast<std::time_t>(*modified_ms / 1000), static_cast<long>(*modified_ms % 1000) * 1'000'000};
    timespec const times[2] = {when, when};
    if (::futimens(::fileno(file_.get()), times) != 0) fail(errno, temporary_);
}

void new_file::finish(std::string const& path, std::optional<std::uint64_t> modified_ms, bool replace) {
    flush(modified_ms);
    if (std::fclose(file_.release()) != 0) fail(errno, temporary_);
    int const done = replace ? ::rename(temporary_.c_str(), path.c_str())
                             : ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE);
    if (done != 0) fail(errno, path);
    temporary_.clear();
}

void new_file::finish_stored(std::string const& path) {
    flush({});
    if (::fsync(::fileno(file_.get())) != 0) fail(errno, temporary_);
    finish(path, {}, false);
    auto const slash = path.rfind('/');
    auto const above = slash == path.npos ? std::string(".") : slash == 0 ? std::string("/") : path.substr(0, slash);
    descriptor const directory(::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory.number < 0 || ::fsync(directory.number) != 0) fail(errno, above);
}

void replace_file(std::string const& path, std::string_view bytes) {
    new_file file(path + ".tmp");
    file.write(bytes);
    file.finish(path, {}, true);
}

bool rename_file(std::string const& from, std::string const& to) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return true;
    if (errno != EEXIST && errno != ENOENT) fail(errno, to);
    return false;
}

void sync_filesystem(std::string const& path) {
    descriptor const file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.number < 0 || ::syncfs(file.number) != 0) fail(errno, path);
}

}  // namespace mailfsctl
