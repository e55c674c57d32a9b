#!/bin/sh
# Runs a build with the profile that lies beside this file, if that was recorded for what is built here; else without, and says so.
#
#   pgo/with-profile.sh cargo build --release ...
#
# Symbols carry the compiler's version and those of all dependencies, so a profile of others finds no function of the same name.
# CORELOG_PROFILE=none builds without it. docs/decisions/0022 has the reasons, pgo/record.sh records another one.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "${CORELOG_PROFILE:-}" = none ]; then exec "$@"; fi
recorded=$(cat "$here/recorded-for")
wanted=$("$here/built-for.sh")
if [ "$recorded" != "$wanted" ]; then
  echo "built without the profile in pgo/, a tenth slower: it was recorded for $recorded, and this is $wanted (make profile)" >&2
  exec "$@"
fi
# Fields are parted by this byte, so that a path may have spaces.
field=$(printf '\037')
# Functions that changed since are many before the next recording; they are compiled as without it.
flags="-Cprofile-use=$here/corelog.profdata${field}-Cllvm-args=-no-pgo-warn-mismatch"
for flag in ${RUSTFLAGS:-}; do flags="$flags$field$flag"; done
export CARGO_ENCODED_RUSTFLAGS="$flags"
exec "$@"
