#!/usr/bin/env bash
# How long after kill -9 at full speed until every partition serves again.
#
#   benches/engine/recovery.sh [--gb N] [--partitions N] [--shards N] [--rounds N] [OPTIONS OF corelog-bench produce ...]
#
# Default: 10 GB over 1,000 partitions on two shards, once; more rounds go on with the same data. The load is the workload
# bulk-100x1k unless options say otherwise. Each round writes its bytes, kills the broker under full load, starts it and counts
# from exec until every partition has taken a record and given it back. Bar: 2 s. Needs the disk space twice over; data is
# removed in the end.
source "$(dirname "$0")/broker.sh"
GB=10
PARTITIONS=1000
SHARDS=2
ROUNDS=1
WRITE_SECONDS_MAX=300
OPTIONS=()
while [ $# -gt 0 ]; do
  case "$1" in
    --gb) GB=$2; shift 2 ;;
    --partitions) PARTITIONS=$2; shift 2 ;;
    --shards) SHARDS=$2; shift 2 ;;
    --rounds) ROUNDS=$2; shift 2 ;;
    *) OPTIONS+=("$1"); shift ;;
  esac
done
[ ${#OPTIONS[@]} -gt 0 ] || OPTIONS=(--workload bulk-100x1k)
need_disk $((GB * ROUNDS * 2))
build
begin recovery

row() { printf '%-8s %10s %10s %12s %12s %12s %12s %12s\n' "$@"; }

start_broker --shards "$SHARDS"
wait_ready
"$CORELOG" topic create recovery --partitions "$PARTITIONS" --bootstrap-server "$ADDRESS" --timeout-ms 60000 >/dev/null
row "round" "GB" "GB/s" "listens, ms" "first, ms" "half, ms" "written, ms" "read, ms"
for round in $(seq "$ROUNDS"); do
  before=$(metric corelog_appended_bytes_total)
  began=$(date +%s%N)
  "$BENCH" produce --bootstrap-server "$ADDRESS" --topic recovery --partitions "$PARTITIONS" --warm-up 0 --duration "$WRITE_SECONDS_MAX" \
    --quiet "${OPTIONS[@]}" >"$WORK/driven" 2>&1 &
  client=$!
  CLIENTS=("$client")
  written=0
  while [ "$written" -lt $((GB * 1000000000)) ]; do
    kill -0 "$client" 2>/dev/null || { cat "$WORK/driven" >&2; die "the load ended before its time"; }
    sleep 0.1
    written=$(($(metric corelog_appended_bytes_total) - before))
  done
  rate=$(awk -v bytes="$written" -v ns="$(($(date +%s%N) - began))" 'BEGIN { printf "%.2f", bytes / ns }')
  end_broker KILL
  kill "$client" 2>/dev/null || true
  wait "$client" 2>/dev/null || true
  CLIENTS=()
  start_broker --shards "$SHARDS"
  line=$(timeout 120 "$SERVING" "$ADDRESS" recovery "$PARTITIONS" "$SINCE" write)
  wait_ready
  row "$round" "$(awk -v b="$written" 'BEGIN { printf "%.1f", b / 1e9 }')" "$rate" "$(value "$line" connected_ms)" \
    "$(value "$line" write_first_ms)" "$(value "$line" write_half_ms)" "$(value "$line" write_all_ms)" "$(value "$line" read_all_ms)"
done
end_broker TERM
