#!/usr/bin/env bash
# Installs Python's independent implementation of HdrHistogram under the folder given, by name and pinned version.
#
#   tests/report/setup.sh target/readers
#
# What is installed already costs a few milliseconds. If Python is missing or the package does not install, one line
# says so and the folder holds no `done`: the test then skips, visibly. The exit status is 0 all the same.
set -uo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
DEST="$1"

mkdir -p "$DEST"
# Several checks may start at once: one installs, the others wait for it.
exec 9>"$DEST/.lock"
flock 9 2>/dev/null || true

command -v python3 >/dev/null 2>&1 || { echo "skipped, python3 is not installed"; exit 0; }
stamp="$(cat "$HERE/requirements.txt" <(python3 -V) | cksum | tr ' ' '-')"
[ -f "$DEST/done" ] && [ "$(cat "$DEST/done")" = "$stamp" ] && exit 0
rm -rf "$DEST/python" "$DEST/done"
{
  python3 -m venv "$DEST/python" &&
    "$DEST/python/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r "$HERE/requirements.txt"
} >"$DEST/install.log" 2>&1 || {
  echo "skipped, hdrhistogram does not install here: $(tail -1 "$DEST/install.log")"
  exit 0
}
echo "$stamp" >"$DEST/done"
