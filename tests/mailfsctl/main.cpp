// SPDX-License-Identifier: BSL-1.0
// The runner of the operator's tool's unit tests.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
