#!/bin/sh
# SPDX-License-Identifier: BSL-1.0
# Fuzzes every decoder of bytes from disk and network, one after another or all at once, under the address and undefined sanitizers.
#
#   sh tests/fuzz/run.sh [SECONDS] [TARGET...]
#
# SECONDS for each target; otherwise MAILFS_FUZZ_SECONDS, otherwise 60. New inputs and findings go to MAILFS_FUZZ_WORK, by
# default a folder fuzz-work in the current one; MAILFS_FUZZ_JOBS says how many targets run at a time (1).
# The exit status is that of the worst. CXX: a clang with libFuzzer (clang++-16).
project=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
seconds=${MAILFS_FUZZ_SECONDS:-60}
case ${1:-} in [0-9]*) seconds=$1; shift ;; esac
work=${MAILFS_FUZZ_WORK:-fuzz-work}
jobs=${MAILFS_FUZZ_JOBS:-1}
cxx=${CXX:-clang++-16}
all="log_record log_scan mailbox_operations mailbox_snapshot tree_operations tree_snapshot dbox_file cache_file mailbox_directory peer_frame replicated_steps"
[ $# -gt 0 ] || set -- $all
mkdir -p "$work/bin"

build() {  # SOURCE OBJECT [ARGUMENT...]
    source=$1 object=$2
    shift 2
    if [ -f "$work/bin/$object.o" ]; then
        newer=$(find "$project/include" "$project/tests/fuzz" -name '*.[hc]pp' -newer "$work/bin/$object.o" | head -n 1)
        [ -n "$newer" ] || return 0
    fi
    $cxx -std=c++20 -O1 -g1 -w -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all "-I$project/include" \
        "-I$project/tests/fuzz" -c "$project/tests/fuzz/$source.cpp" -o "$work/bin/$object.o" "$@"
}
build checksums checksums || exit 1
for target; do
    build "$target" "$target" && build libfuzzer_main "$target-main" "-DMAILFS_FUZZ_TARGET=$target" || exit 1
    $cxx -fsanitize=fuzzer,address,undefined "$work/bin/$target.o" "$work/bin/$target-main.o" "$work/bin/checksums.o" -lfmt -lpthread \
        -o "$work/bin/$target" || exit 1
done

fuzz() {  # TARGET
    mkdir -p "$work/corpus/$1" "$work/findings"
    kept=$project/tests/fuzz/corpus/$1
    "$work/bin/$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -use_value_profile=1 -print_final_stats=1 \
        -artifact_prefix="$work/findings/$1-" "$work/corpus/$1" "$kept" >"$work/$1.log" 2>&1
    status=$?
    echo "$1: $(sed -n 's/^stat::number_of_executed_units: */executions /p' "$work/$1.log"), $(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$work/$1.log" | tail -n 1)," \
        "$(case $status in 0) echo no finding ;; 72) echo "interrupted, no finding so far" ;; *) echo "FINDING, see $work/$1.log" ;; esac)"
    return $status
}
failed=0 count=0 running=""
for target; do
    fuzz "$target" &
    running="$running $!" count=$((count + 1))
    [ "$count" -ge "$jobs" ] || continue
    for one in $running; do wait "$one" || failed=1; done
    running="" count=0
done
for one in $running; do wait "$one" || failed=1; done
exit $failed
