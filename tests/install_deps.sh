#!/bin/sh
# SPDX-License-Identifier: BSL-1.0
# Installs the Debian packages that a purpose needs and that are missing; does and says nothing when all are there.
#
#   sh tests/install_deps.sh PURPOSE...      PURPOSE: build, tests, demo, clang
#
# Debian or a derivative of it, as root or through sudo. Elsewhere it only checks that the tools are there.
set -eu

build="libasio-dev libfmt-dev meson ninja-build pkg-config"
programs="libcli11-dev libgmime-3.0-dev"  # options of the programs, MIME in the demo server
peers="libsqlite3-dev liblmdb-dev"        # what the bench measures us against
engines="liburing-dev libzstd-dev"        # what the optional headers stand on
compiler="g++"                             # unless CXX names another
wanted=""
for purpose; do
    case $purpose in
        build) wanted="$wanted $build" ;;
        tests) wanted="$wanted $build $programs $peers $engines doctest-dev python3 rsync strace" ;;
        demo) wanted="$wanted $build $programs libzstd-dev python3 python3-tqdm" ;;
        clang) wanted="$wanted clang-16 libclang-rt-16-dev" compiler="" ;;
        *) echo "install_deps.sh: no such purpose: $purpose (there are build, tests, demo, clang)" >&2; exit 2 ;;
    esac
done
[ -n "${CXX:-}" ] || wanted="$compiler $wanted"
# shellcheck disable=SC2086  # one blank between the words
wanted=$(echo $wanted)

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    for tool in "${CXX:-c++}" meson ninja pkg-config python3; do
        command -v "${tool%% *}" >/dev/null || {
            echo "This is not Debian, and ${tool%% *} is missing. Please install by hand what these Debian packages hold: $wanted" >&2
            exit 1
        }
    done
    exit 0  # Meson says in its own words which library is missing
fi

missing=""
for package in $wanted; do
    case " $missing " in *" $package "*) continue ;; esac
    state=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null) || state=""
    case $state in installed*) ;; *) missing="$missing $package" ;; esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then as_root=""
elif command -v sudo >/dev/null; then as_root="sudo"
else
    echo "Missing:$missing. Installing needs root or sudo, and here is neither. As root: apt-get install$missing" >&2
    exit 1
fi

echo "Installing with apt-get, for $*:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1; }
# shellcheck disable=SC2086  # a list of words
if apt update && apt install -y --no-install-recommends $missing; then exit 0; fi
cat "$log" >&2
echo "apt-get could not install:$missing (its words are above)" >&2
exit 1
