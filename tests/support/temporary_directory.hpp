// SPDX-License-Identifier: BSL-1.0
// A directory that is there for one test and gone after it.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace mailfs::test {

/// Made under TMPDIR (or the system's place for such) and removed, with all in it, by the destructor.
class temporary_directory {
public:
    temporary_directory() {
        path_ = (std::filesystem::temp_directory_path() / "mailfs-test-XXXXXX").string();
        if (::mkdtemp(path_.data()) == nullptr) throw std::system_error(errno, std::generic_category(), path_);
    }
    temporary_directory(temporary_directory const&) = delete;
    temporary_directory& operator=(temporary_directory const&) = delete;
    ~temporary_directory() {
        std::error_code ignored;  // a test that failed says why; what it left behind is not worth a second word
        std::filesystem::remove_all(path_, ignored);
    }

    std::string const& path() const noexcept { return path_; }

private:
    std::string path_;
};

}  // namespace mailfs::test
