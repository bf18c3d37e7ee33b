#!/bin/sh
# SPDX-License-Identifier: BSL-1.0
# Builds and runs the consumer twice: with mailfs as a Meson subproject, and by pkg-config from an installed tree.
#
#   run.sh SOURCE      SOURCE: the folder of mailfs; CXX chooses the compiler
set -eu
source=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset DESTDIR PKG_CONFIG_PATH

fail() { echo "FAILED: $1"; exit 1; }
quietly() { "$@" </dev/null >"$work/log" 2>&1 || { cat "$work/log"; fail "$*"; }; }
answer() {  # NAME: what the consumer built in $work/NAME says
    quietly meson compile -C "$work/$1"
    said=$("$work/$1/consumer") || fail "$1: the consumer ended with $?"
    [ "$said" = "$expected" ] || fail "$1: the consumer said '$said' instead of '$expected'"
    grep -q -- "-isystem *[^ ]*$2" "$work/$1/compile_commands.json" || fail "$1: the headers do not come in as system headers"
    echo "$1: built, ran, and its headers came in as system headers"
}
expected="uid 1: Subject: from a consumer"

cp -r "$source/tests/consumer" "$work/project"
mkdir "$work/project/subprojects"
ln -s "$source" "$work/project/subprojects/mailfs"
quietly meson setup "$work/subproject" "$work/project" --force-fallback-for=mailfs
answer subproject mailfs/include
targets=$(meson introspect --targets "$work/subproject" | python3 -c 'import json, sys; print(*(t["name"] for t in json.load(sys.stdin)))')
[ "$targets" = consumer ] || fail "subproject: builds more than the consumer: $targets"

quietly meson setup "$work/mailfs" "$source" -Dtests=false -Dexamples=false -Dbench=false -Dpkgconfig.relocatable=true
quietly meson install -C "$work/mailfs" --no-rebuild --destdir "$work/installed"
rm "$work/project/subprojects/mailfs"
pc=$(find "$work/installed" -name mailfs.pc)
[ -n "$pc" ] || fail "installed: there is no mailfs.pc"
PKG_CONFIG_PATH=$(dirname "$pc") quietly meson setup "$work/installed_consumer" "$work/project" --wrap-mode=nofallback
answer installed_consumer installed
