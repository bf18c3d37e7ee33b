#!/bin/sh
# SPDX-License-Identifier: BSL-1.0
# Installs what is missing, builds and runs all tests; the last line is "N passed, N failed", and the exit code says it too.
#
#   sh tests/run.sh [--sanitize] [--build DIR] [--optimization LEVEL] [TEST...]
#
#   --sanitize      what runs our headers in one process, under the address and undefined-behaviour sanitizers
#   --build DIR     the build folder; otherwise build, build-clang++-16 with CXX=clang++-16, build-sanitize, ...
#   --optimization  of a new build folder: 0, 1 (the default), 2, 3; compiling takes thrice the time at 2
#   TEST...         Meson tests to run, by name; otherwise all of them
#
# CC and CXX choose the compiler. What takes long has its budget in the environment: MAILFS_KILLS, MAILFS_COMPILE_RUNS,
# MAILFS_LOG_MODEL_SCHEDULES, MAILFS_MODEL_STEPS, MAILFS_CRASH_POINTS, MAILFS_PROCESS_KILLS,
# MAILFS_DAMAGE_STRIDE, MAILFS_VERIFY_STRIDE, MAILFS_PURGE_SEEDS, MAILFS_PURGE_STRIDE, MAILFS_SCOPE_VIEWS; the tests say what each means.
cd "$(dirname "$0")/.." || exit 1

sanitize="" build="" optimization=1
while [ $# -gt 0 ]; do
    case $1 in
        --sanitize) sanitize=1 ;;
        --build) build=${2:?--build needs a folder}; shift ;;
        --optimization) optimization=${2:?--optimization needs a level}; shift ;;
        -h | --help) sed -n '3,14s/^# \{0,1\}//p' tests/run.sh; exit 0 ;;
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
    args="-g1" more="" werror=true  # line numbers are all that a backtrace needs
    if [ -n "$sanitize" ]; then
        args="$args -fno-sanitize-recover=all"
        more="-Db_sanitize=address,undefined -Db_lundef=false -Dexamples=false -Dbench=false"
        [ -n "$clang" ] || werror=false  # GCC sees warnings then that are not there
    fi
    # shellcheck disable=SC2086  # a list of words
    meson setup "$build" -Doptimization="$optimization" -Ddebug=false -Dwerror="$werror" -Dcpp_args="$args" $more </dev/null ||
        fail "Meson cannot set up $build (see above)."
fi

only=""
if [ -n "$sanitize" ]; then
    only="unit unit_store unit_planted crash fuzz_replay archetypes"
    refused=$(cd tests/compile && for f in index_*.cpp fs_without_sync.cpp; do echo "refused_${f%.cpp}"; done)
    # shellcheck disable=SC2086  # a list of words
    [ $# -gt 0 ] || set -- unit unit_store unit_log_model unit_every_bit unit_planted crash fuzz_replay $refused
fi
# shellcheck disable=SC2086  # nothing, or some words
meson compile -C "$build" $only </dev/null || fail "It does not build (see above)."

rm -f "$build/meson-logs/testlog.json"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
if [ -n "$sanitize" ]; then  # several times slower: fewer random schedules and damaged bits unless told otherwise
    export MAILFS_LOG_MODEL_SCHEDULES="${MAILFS_LOG_MODEL_SCHEDULES:-100}" MAILFS_CRASH_POINTS="${MAILFS_CRASH_POINTS:-1000}"
    export MAILFS_DAMAGE_STRIDE="${MAILFS_DAMAGE_STRIDE:-7}" MAILFS_VERIFY_STRIDE="${MAILFS_VERIFY_STRIDE:-101}" MAILFS_SCOPE_VIEWS="${MAILFS_SCOPE_VIEWS:-0}"
    export MAILFS_PURGE_STRIDE="${MAILFS_PURGE_STRIDE:-3}" MAILFS_LINK_WORLDS="${MAILFS_LINK_WORLDS:-20}" MAILFS_FOLD_PAIRS="${MAILFS_FOLD_PAIRS:-500}"
fi
# Time limits are for hangs: a busy machine, or a build without optimisation, is no failure.
meson test -C "$build" --no-rebuild --timeout-multiplier "$([ -n "$sanitize" ] && echo 6 || echo 3)" --print-errorlogs "$@" </dev/null
python3 tests/summary.py "$build/meson-logs/testlog.json"
