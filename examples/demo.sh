#!/bin/sh
# SPDX-License-Identifier: BSL-1.0
# Installs what is missing, builds the demo server, delivers messages to it and tells how to read them.
#
#   sh examples/demo.sh [PATH] [--once] [--port PORT] [...]      --help lists the rest
#
# PATH: an mbox, a Maildir, a folder of message files or a tar archive of one; the messages of examples/mail otherwise.
# MAILFS_DEMO_BUILD: a build folder that is there already, in the place of build-demo.
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)
build=${MAILFS_DEMO_BUILD:-$source/build-demo}

python=/usr/bin/python3  # Debian's, which has Debian's libraries, even where another comes first in PATH
[ -x "$python" ] || python=python3
for word; do
    case $word in -h | --help) exec "$python" "$source/examples/demo/demo.py" --help ;; esac
done

sh "$source/tests/install_deps.sh" demo
if [ ! -f "$build/build.ninja" ]; then
    echo "Setting up the build in $build"
    log=$(mktemp)
    meson setup "$build" "$source" -Doptimization=2 -Ddebug=false -Dtests=false -Dbench=false </dev/null >"$log" 2>&1 || {
        cat "$log"
        rm "$log"
        exit 1
    }
    rm "$log"
fi
meson compile -C "$build" imapd </dev/null

exec "$python" "$source/examples/demo/demo.py" --imapd "$build/examples/imapd/imapd" "$@"
