#!/usr/bin/env bash
# What many partitions cost: time to create, to serve after a start, memory and open files.
#
#   benches/engine/many-partitions.sh [--partitions N] [--shards N] [--open-files N]
#
# Default: 10,000 partitions on two shards. Prints a table. A start counts from exec until every partition has told its end
# (idle) or has taken a record and given it back. Memory is the process's resident set; per partition, its growth over that of
# a broker without any. Writes some hundred MB below target/ and removes them; a few minutes at most.
source "$(dirname "$0")/broker.sh"
PARTITIONS=10000
SHARDS=2
OPEN_FILES=""
while [ $# -gt 0 ]; do
  case "$1" in
    --partitions) PARTITIONS=$2; shift 2 ;;
    --shards) SHARDS=$2; shift 2 ;;
    --open-files) OPEN_FILES=$2; shift 2 ;;
    *) die "unknown option $1" ;;
  esac
done
need_disk 5
build
begin many-partitions
[ -z "$OPEN_FILES" ] || ulimit -n "$OPEN_FILES"

row() { printf '%-34s %12s %12s %14s %12s\n' "$@"; }
state() { # what, ms
  local rss
  rss=$(rss_kb)
  row "$1" "$2" "$((rss / 1024))" "$(((rss - EMPTY_KB) * 1024 / PARTITIONS))" "$(open_files)"
}
probe() { timeout 120 "$SERVING" "$ADDRESS" many "$PARTITIONS" "$1" "$2"; }

row "$PARTITIONS partitions, $SHARDS shards" "ms" "RSS, MiB" "B/partition" "open files"
start_broker --shards "$SHARDS"
wait_ready
EMPTY_KB=$(rss_kb)
state "started, none there" "$((($(date +%s%N) - SINCE) / 1000000))"
began=$(date +%s%N)
"$CORELOG" topic create many --partitions "$PARTITIONS" --bootstrap-server "$ADDRESS" --timeout-ms 120000 >/dev/null
created=$(((($(date +%s%N) - began)) / 1000000))
opened=$(probe "$began" read)
state "created (answer after $created ms)" "$(value "$opened" read_all_ms)"
for round in first second; do
  line=$(probe "$(date +%s%N)" write)
  state "a record to each, $round time" "$(value "$line" write_all_ms)"
done
for signal in TERM KILL; do
  end_broker "$signal"
  [ "$signal" = KILL ] || row "stopped with SIGTERM" "$ENDED_MS" "" "" ""
  start_broker --shards "$SHARDS"
  line=$(probe "$SINCE" read)
  state "started after SIG$signal, all open" "$(value "$line" read_all_ms)"
  line=$(probe "$(date +%s%N)" write)
  state "a record to each" "$(value "$line" write_all_ms)"
done
end_broker TERM
