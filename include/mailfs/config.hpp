// SPDX-License-Identifier: BSL-1.0
// What must be settled before the first Asio header is read. Every header that names Asio includes this first.
#pragma once

// Asio 1.22 frees by free() or by operator delete, as a macro of libstdc++ says that is there only once one of its headers
// was read. All translation units must agree: one that read Asio first would free what another allocated otherwise.
#include <version>

// Asio 1.22 (Debian 12) looks for std::experimental coroutines under clang; clang 16 has the real ones.
#if defined(__clang__) && defined(__cpp_impl_coroutine)
#if !defined(ASIO_HAS_CO_AWAIT)
#define ASIO_HAS_CO_AWAIT 1
#endif
#if !defined(ASIO_HAS_STD_COROUTINE)
#define ASIO_HAS_STD_COROUTINE 1
#endif
#endif

// MAILFS_UNDER_TEST: defined, for all translation units of a program, by the simulation alone. It brings the errors that are
// planted to see whether they are found (replication/detail/mutant.hpp), and counts what was reached (detail/coverage.hpp).
namespace mailfs::detail {
#if defined(MAILFS_UNDER_TEST)
inline constexpr bool under_test = true;
#else
inline constexpr bool under_test = false;
#endif
}  // namespace mailfs::detail
