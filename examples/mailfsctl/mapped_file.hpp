// SPDX-License-Identifier: BSL-1.0
// The bytes of a file, mapped to be read.
#pragma once

#include <mailfs/types/bytes.hpp>

#include <cstddef>
#include <span>
#include <string>

namespace mailfsctl {

/// Throws std::system_error, naming the file. What is mapped is as long as the file was: later appends are not seen.
class mapped_file {
public:
    explicit mapped_file(std::string const& path);
    ~mapped_file();
    mapped_file(mapped_file const&) = delete;
    mapped_file& operator=(mapped_file const&) = delete;

    mailfs::bytes_view bytes() const noexcept { return {data_, size_}; }

private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace mailfsctl
