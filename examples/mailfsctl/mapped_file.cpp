// SPDX-License-Identifier: BSL-1.0
#include "mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace mailfsctl {
namespace {
[[noreturn]] void fail(int why, std::string const& path) { throw std::system_error(why, std::generic_category(), path); }
}  // namespace

mapped_file::mapped_file(std::string const& path) {
    int const file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) fail(errno, path);
    struct stat about {};
    int why = ::fstat(file, &about) != 0 ? errno : S_ISDIR(about.st_mode) ? EISDIR : S_ISREG(about.st_mode) ? 0 : EINVAL;
    if (why == 0 && about.st_size > 0) {
        size_ = static_cast<std::size_t>(about.st_size);
        auto* const at = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
        why = at == MAP_FAILED ? errno : 0;  // NOLINT: the macro casts
        if (why == 0) data_ = static_cast<std::byte*>(at);
    }
    ::close(file);
    if (why != 0) fail(why, path);
}

mapped_file::~mapped_file() {
    if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace mailfsctl
