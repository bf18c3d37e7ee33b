// SPDX-License-Identifier: BSL-1.0
// What a project that uses mailfs writes: one include, and a word of the library that must be right.
#include <mailfs/types/uid_set.hpp>

#include <cstdio>

int main() {
    mailfs::uid_set set;
    set.add(1, 3);
    set.add(7);
    std::puts(set.text().c_str());
}
