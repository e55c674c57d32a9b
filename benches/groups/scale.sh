#!/usr/bin/env bash
# What groups cost: rebalances of many members, heartbeats, durable offset commits, a start with a million committed offsets.
#
#   benches/groups/scale.sh [--members N] [--groups N] [--seconds N] [--offsets N] [--delay-ms N]
#
# Default: 1,000 members in one group, 2,000 groups of one member, 5 s each of heartbeats and of commits over 64 connections,
# 1,000,000 offsets, group.initial.rebalance.delay.ms 3000; two shards. Prints one line for each. Writes some hundred MB below
# target/ and removes them; two minutes.
source "$(dirname "$0")/../engine/broker.sh"
MEMBERS=1000
GROUPS_OF_ONE=2000
SECONDS_EACH=5
OFFSETS=1000000
DELAY_MS=3000
CONNECTIONS=64
# Partitions of the topic whose offsets are committed.
PARTITIONS=1000
while [ $# -gt 0 ]; do
  case "$1" in
    --members) MEMBERS=$2; shift 2 ;;
    --groups) GROUPS_OF_ONE=$2; shift 2 ;;
    --seconds) SECONDS_EACH=$2; shift 2 ;;
    --offsets) OFFSETS=$2; shift 2 ;;
    --delay-ms) DELAY_MS=$2; shift 2 ;;
    *) die "unknown option $1" ;;
  esac
done
need_disk 3
build
PROBE=$BINARIES/examples/groups
begin groups
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"

probe() { timeout 180 "$PROBE" "$ADDRESS" "$@"; }
# CPU time of the broker in ms.
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) * 1000 / hz }' "/proc/$BROKER/stat"; }
each_us() { # what, line, cpu before, cpu after
  awk -v what="$1" -v count="$(value "$2" count)" -v before="$3" -v after="$4" \
    'BEGIN { printf "%s: %.1f us of CPU each, all of the broker included\n", what, (after - before) * 1000 / count }'
}

start_broker --shards 2 --set group.initial.rebalance.delay.ms="$DELAY_MS"
wait_ready
"$CORELOG" topic create many --partitions "$PARTITIONS" --bootstrap-server "$ADDRESS" >/dev/null
echo "rebalance delay: $DELAY_MS ms, heartbeats of members every 500 ms"
echo "one classic group: $(probe gather 1 "$MEMBERS")"
echo "many classic groups: $(probe gather "$GROUPS_OF_ONE" 1)"
echo "one consumer group (KIP-848): $(probe consumer 3000000 "$MEMBERS")"
for what in heartbeat commit; do
  before=$(cpu_ms)
  line=$(probe "$what" "$CONNECTIONS" "$SECONDS_EACH")
  after=$(cpu_ms)
  echo "$what: $line"
  each_us "$what" "$line" "$before" "$after"
done
end_broker TERM
rm -rf "$WORK/data"

start_broker --shards 2
wait_ready
"$CORELOG" topic create many --partitions "$PARTITIONS" --bootstrap-server "$ADDRESS" >/dev/null
echo "fill: $(probe fill $((OFFSETS / PARTITIONS)) "$PARTITIONS")"
for signal in TERM KILL; do
  end_broker "$signal"
  start_broker --shards 2
  echo "start after SIG$signal, until every group tells its offsets: $(probe loaded $((OFFSETS / PARTITIONS)) "$SINCE")"
done
end_broker TERM
