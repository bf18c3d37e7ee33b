#!/bin/sh
# SPDX-License-Identifier: BSL-1.0
# Installs what is missing, builds and runs all tests; the last line is "N passed, N failed", and the exit code says it too.
#
#   sh tests/run.sh [--sanitize] [--build DIR] [TEST...]
#
#   --sanitize   the unit tests alone, under the address and undefined-behaviour sanitizers
#   --build DIR  the build folder; otherwise build, build-clang++-16 with CXX=clang++-16, build-sanitize, ...
#   TEST...      Meson tests to run, by name; otherwise all of them
#
# CC and CXX choose the compiler. What takes long has its budget in an environment variable that its test names.
cd "$(dirname "$0")/.." || exit 1

sanitize="" build=""
while [ $# -gt 0 ]; do
    case $1 in
        --sanitize) sanitize=1 ;;
        --build) build=${2:?--build needs a folder}; shift ;;
        -h | --help) sed -n '3,12s/^# \{0,1\}//p' tests/run.sh; exit 0 ;;
        -*) echo "run.sh: no such option: $1 (see --help)" >&2; exit 2 ;;
        *) break ;;
    esac
    shift
done
[ -n "$build" ] || build="build${CXX:+-$(basename "${CXX##* }")}${sanitize:+-sanitize}"

fail() { echo "$1"; echo "0 passed, 1 failed"; exit 1; }

case ${CXX:-} in *clang++-16*) clang=clang ;; *) clang="" ;; esac
sh tests/install_deps.sh tests $clang || fail "The tests cannot be built without these."

if [ ! -f "$build/build.ninja" ]; then
    set_up=""
    # The sanitizers make GCC see warnings that are not there; the plain builds keep them fatal.
    [ -z "$sanitize" ] || set_up="-Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debug -Doptimization=1
        -Dwerror=false -Dexamples=false -Dbench=false -Dcpp_args=-fno-sanitize-recover=all"
    # shellcheck disable=SC2086  # a list of words
    meson setup "$build" $set_up </dev/null || fail "Meson cannot set up $build (see above)."
fi

only=""
if [ -n "$sanitize" ]; then
    only=unit
    [ $# -gt 0 ] || set -- unit
fi
# shellcheck disable=SC2086  # nothing, or one word
meson compile -C "$build" $only </dev/null || fail "It does not build (see above)."

rm -f "$build/meson-logs/testlog.json"
UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}" \
    meson test -C "$build" --no-rebuild --print-errorlogs "$@" </dev/null
python3 tests/summary.py "$build/meson-logs/testlog.json"
