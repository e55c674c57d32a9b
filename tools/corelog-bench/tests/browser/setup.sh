#!/usr/bin/env bash
# Installs a headless browser for the tests of the comparison's page, by Debian's package chromium.
#
#   tests/browser/setup.sh
#
# Where there is no apt-get, no root or no package, one line says so and the tests skip, visibly. The exit status is 0 all
# the same.
set -uo pipefail

for browser in chromium chromium-browser google-chrome; do
  command -v "$browser" >/dev/null 2>&1 && exit 0
done
command -v apt-get >/dev/null 2>&1 || { echo "there is neither a browser nor apt-get to install chromium"; exit 0; }
[ "$(id -u)" = 0 ] || { echo "there is no browser, and installing the package chromium needs root"; exit 0; }
exec 9>"${TMPDIR:-/tmp}/corelog-browser.lock"
flock 9 2>/dev/null || true
command -v chromium >/dev/null 2>&1 && exit 0
install() { apt-get install -y --no-install-recommends chromium >/dev/null 2>&1; }
install || { apt-get update >/dev/null 2>&1 && install; } || echo "the package chromium does not install here"
exit 0
