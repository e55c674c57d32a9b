#!/usr/bin/env bash
# The same scenarios against Apache Kafka and against Corelog in alternation, on this host, and one table of them.
#
#   benches/peers/run.sh [--list] [--only REGEX] [--rounds N] [--seconds S] [--warm-up S] [--broker-warm-up S] [--cpus LIST]
#                        [--no-flush | --sides LIST] [--no-ceiling] [--out FOLDER]
#
# --list         the names of the scenarios (scenarios.txt beside this file) · --only REGEX  those whose whole name matches
# --rounds N     default 3 · --seconds S  counted in each scenario, default 10; 1 is enough to try the scripts
# --warm-up S    before each, not counted, default 3 · --broker-warm-up S  after each start of a broker, default 30
# --cpus LIST    from which corelog-bench drives, default 0; scenarios whose client needs more say so themselves
# --no-flush     without the second column, Kafka with log.flush.interval.messages=1 · --no-ceiling  without `corelog-bench ceiling`
# --sides LIST   of kafka, flush, corelog: the others' results are taken as they lie in the folder, for work on one side. What is
#                told to others comes from runs in which the sides took turns
# --out FOLDER   run files, pages and table.md, default target/peers-run; results that lie there already are kept, and made anew
#                where a scenario runs again on a side
#
# PEERS_BINARIES  a folder with corelog and corelog-bench (default target/release) · PEERS_PORT  first of two ports (29292)
#
# Needs a JDK 17, Maven (kafka.sh installs Kafka below target/), jq. Sides take turns scenario group by scenario group: each is
# started on an empty directory, runs the group, is stopped and its directory removed. Topics are deleted after each scenario and
# keep 0.5 GB a partition at most, so that a run needs 32 GB; it ends before less than 20 GB of the disk are free.
set -euo pipefail
cd "$(dirname "$0")/../.."
PEERS=benches/peers
source "$PEERS/sides.sh"
source "$PEERS/drive.sh"
source "$PEERS/others.sh"
SCENARIOS=$PEERS/scenarios.txt
ONLY=.
ROUNDS=3
SECONDS_COUNTED=10
WARM_UP=3
BROKER_WARM_UP=30
CPUS=0
SIDES=(kafka flush corelog)
CEILING=yes
OUT=target/peers-run
LIST=""

while [ $# -gt 0 ]; do
  case "$1" in
    --list) LIST=yes; shift ;;
    --only) ONLY=$2; shift 2 ;;
    --rounds) ROUNDS=$2; shift 2 ;;
    --seconds) SECONDS_COUNTED=$2; shift 2 ;;
    --warm-up) WARM_UP=$2; shift 2 ;;
    --broker-warm-up) BROKER_WARM_UP=$2; shift 2 ;;
    --cpus) CPUS=$2; shift 2 ;;
    --no-flush) SIDES=(kafka corelog); shift ;;
    --sides) IFS=, read -ra SIDES <<<"$2"; shift 2 ;;
    --no-ceiling) CEILING=""; shift ;;
    --out) OUT=$2; shift 2 ;;
    -h | --help) sed -n '2,/^set /p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 0 ;;
    *) die "unknown option $1; see --help" ;;
  esac
done

# Fields of scenarios by name, and the names in the order of the file.
declare -A GROUP KIND OPTIONS WORDS CHOSEN
NAMES=()
trim() { local text="${1#"${1%%[![:space:]]*}"}"; printf '%s' "${text%"${text##*[![:space:]]}"}"; }
while IFS='|' read -r name group kind _ words options; do
  name=$(trim "$name")
  case "$name" in '' | '#'*) continue ;; esac
  NAMES+=("$name")
  GROUP[$name]=$(trim "$group")
  KIND[$name]=$(trim "$kind")
  WORDS[$name]=$(trim "$words")
  OPTIONS[$name]=$(trim "$options")
done <"$SCENARIOS"

if [ -n "$LIST" ]; then
  for name in "${NAMES[@]}"; do printf '%-18s %-6s %s\n' "$name" "${GROUP[$name]}" "${WORDS[$name]}"; done
  exit 0
fi

need() { command -v "$1" >/dev/null 2>&1 || die "$1 is needed"; }
need jq
need java
[ -x "$BENCH" ] && [ -x "$CORELOG" ] || die "corelog and corelog-bench are not in $BINARIES: make build"

base_of() { # scenario: the one whose maximum it takes a share of
  [[ "${OPTIONS[$1]}" =~ @[0-9.]+\*([a-z0-9-]+) ]] && echo "${BASH_REMATCH[1]}" || true
}
for side in "${SIDES[@]}"; do
  [[ "$side" =~ ^(kafka|flush|corelog)$ ]] || die "$side is no side; kafka, flush and corelog are"
done
runs_kafka() { [[ " ${SIDES[*]} " = *" kafka "* ]]; }

for name in "${NAMES[@]}"; do
  [[ "$name" =~ ^($ONLY)$ || "$ONLY" = . ]] || continue
  CHOSEN[$name]=yes
  base=$(base_of "$name")
  # A rate that an earlier run into this folder found is used again.
  [ -z "$base" ] || [ -f "$OUT/rate-$base" ] || ! runs_kafka || CHOSEN[$base]=yes
done
for name in "${!CHOSEN[@]}"; do ! runs_kafka || rm -f "$OUT/rate-$name"; done
[ ${#CHOSEN[@]} -gt 0 ] || die "no scenario's name matches $ONLY; see --list"
groups() { for name in "${NAMES[@]}"; do [ -z "${CHOSEN[$name]:-}" ] || echo "${GROUP[$name]}"; done | awk '!seen[$0]++'; }

# Each connection is an open file, on both ends.
ulimit -n "$(ulimit -H -n)"
mkdir -p target "$OUT"
WORK=$(mktemp -d target/peers-work.XXXXXX)
trap finish EXIT
trap 'exit 130' INT TERM
"$KAFKA" install >/dev/null

run_group() { # group, side, round
  local group=$1 side=$2 round=$3 name started=""
  for name in "${NAMES[@]}"; do
    [ -n "${CHOSEN[$name]:-}" ] && [ "${GROUP[$name]}" = "$group" ] || continue
    applies "${KIND[$name]}" "$side" "$round" || continue
    if [ -z "$started" ] && [ "$group" != alone ]; then
      start_side "$side"
      started=yes
      if [ "$side" != ceiling ] && [ "$group" != idle ]; then warm_broker; settle; fi
    fi
    need_disk
    say "round $round, $side: $name"
    # Rounds of an earlier run into this folder are not rounds of this one.
    [ "$round" -gt 1 ] || rm -f "$OUT/$name.$side-"*
    RESULT=$OUT/$name.$side-$round
    run_scenario "$name" "$side"
    settle
  done
  [ -z "$started" ] || stop_side
}

# Read as a whole before anything runs, so that an edit during a run of hours does not change it.
main() {
  local began round sides group side
  began=$(date +%s)
  # The server that stores nothing goes last: paced scenarios take their rates from what Kafka took.
  for round in $(seq "$ROUNDS"); do
    sides=("${SIDES[@]}")
    # Kafka first in the first round, for the rates; then each side is first in its turn.
    for _ in $(seq $(((round - 1) % ${#SIDES[@]}))); do sides=("${sides[@]:1}" "${sides[0]}"); done
    [ -z "$CEILING" ] || [ "$round" -gt 1 ] || sides+=(ceiling)
    for group in $(groups); do
      for side in "${sides[@]}"; do run_group "$group" "$side" "$round"; done
    done
  done
  say "measured in $((($(date +%s) - began) / 60)) min"
  report
}
main; exit
