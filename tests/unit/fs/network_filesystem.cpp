// SPDX-License-Identifier: BSL-1.0
#include <mailfs/fs/network_filesystem.hpp>

#include <doctest/doctest.h>

#include <linux/magic.h>

using namespace mailfs;

TEST_CASE("network_filesystem: what lies on a network is known by its type, and local disks are not taken for it") {
    CHECK(network_filesystem_name(NFS_SUPER_MAGIC) == "NFS");
    CHECK(network_filesystem_name(SMB_SUPER_MAGIC) == "SMB");
    CHECK(network_filesystem_name(0xff53'4d42) == "CIFS");
    CHECK(network_filesystem_name(0xfe53'4d42) == "SMB2");
    CHECK(network_filesystem_name(V9FS_MAGIC) == "9p");
    CHECK(network_filesystem_name(AFS_SUPER_MAGIC) == "AFS");
    CHECK(network_filesystem_name(AFS_FS_MAGIC) == "AFS");
    CHECK(network_filesystem_name(0x00c3'6400) == "Ceph");
    CHECK(network_filesystem_name(CODA_SUPER_MAGIC) == "Coda");
    constexpr std::uint32_t xfs = 0x5846'5342;
    constexpr std::uint32_t local[]{EXT4_SUPER_MAGIC, TMPFS_MAGIC, OVERLAYFS_SUPER_MAGIC, xfs, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
                                    fuse_filesystem_type};
    for (auto const type : local) CHECK(network_filesystem_name(type).empty());
}
