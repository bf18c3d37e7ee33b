// SPDX-License-Identifier: BSL-1.0
// Which filesystem types lie on a network, where appends of several hosts have no one order.
#pragma once

#include <cstdint>
#include <string_view>

namespace mailfs {

/// What statfs(2) says in f_type for a filesystem in user space. What stands behind it cannot be told.
inline constexpr std::uint32_t fuse_filesystem_type = 0x6573'5546;

/// The name of the network filesystem with this f_type (its low 32 bits); empty for all others, FUSE among them.
constexpr std::string_view network_filesystem_name(std::uint32_t type) noexcept {
    switch (type) {
        case 0x0000'6969: return "NFS";
        case 0x0000'517b: return "SMB";
        case 0xff53'4d42: return "CIFS";
        case 0xfe53'4d42: return "SMB2";
        case 0x0102'1997: return "9p";
        case 0x5346'414f: return "AFS";
        case 0x6b41'4653: return "AFS";  // the kernel's own client, kAFS
        case 0x00c3'6400: return "Ceph";
        case 0x7375'7245: return "Coda";
        case 0x0bd0'0bd0: return "Lustre";
        case 0x0116'1970: return "GFS2";
        case 0x7461'636f: return "OCFS2";
        case 0x4750'4653: return "GPFS";
        case 0x0000'564c: return "NCP";
        default: return {};
    }
}

}  // namespace mailfs
