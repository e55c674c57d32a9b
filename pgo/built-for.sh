#!/bin/sh
# What a profile belongs to, in one line: the compiler, and the versions of all dependencies.
set -eu
cd "$(dirname "$0")/.."
compiler=$(rustc -vV | awk '/^(release|commit-hash|host):/ { printf "%s ", $2 }')
echo "${compiler}Cargo.lock:$(cksum <Cargo.lock | cut -d ' ' -f 1)"
