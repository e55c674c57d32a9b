#!/usr/bin/env bash
# Runs real clients of several languages against a broker, and hostile input and crashes from outside it.
#
#   tests/clients/run.sh [--broker-binary PATH] [--bootstrap HOST:PORT] [--kafka] [--per-shard] [--size small|large] [--only PATTERN]
#
# Without --bootstrap it starts a Corelog of its own on free ports and a fresh directory under target/clients, and ends it.
# One line per step (ok, FAILED, SKIPPED with the reason), then "N passed, N failed, N skipped"; the status is 1 if any failed.
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

if ! command -v python3 >/dev/null 2>&1; then
  echo "SKIPPED  everything: python3, which drives these tests, is not installed"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
fi
case " $* " in *" --help "* | *" -h "*) ;; *) "$HERE/setup.sh" ;; esac
exec python3 -B "$HERE/suite" "$@"
