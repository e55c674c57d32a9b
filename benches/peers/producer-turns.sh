#!/usr/bin/env bash
# Kafka's own producer test on Apache Kafka and Corelog in turn, run by run, both brokers started once.
#
#   benches/peers/producer-turns.sh [ROUNDS [RECORD_SIZE [RECORDS]]]    default 6 100 3000000
#
# On a host whose speed changes from minute to minute the sides of a run have to be seconds apart. Kafka is stopped by a signal
# (SIGSTOP) while it is not its turn, since it takes some percent of a CPU when idle; Corelog takes none. Prints one line per
# run with the CPU-seconds of client and broker. Each side keeps 4 GB at most; only what was started here is stopped.
#
# PEERS_BINARIES  a folder with corelog (default target/release) · PEERS_PORT  first of four ports (29292)
set -euo pipefail
cd "$(dirname "$0")/../.."
PEERS=benches/peers
source "$PEERS/sides.sh"
source "$PEERS/others.sh"
ROUNDS=${1:-6}
SIZE=${2:-100}
RECORDS=${3:-3000000}
SETTINGS+=(log.retention.bytes=268435456 log.segment.bytes=134217728 "num.partitions=$TOOL_PARTITIONS")
FIRST_PORT=$PORT
ROOT=$(mktemp -d target/producer-turns.XXXXXX)
declare -A STARTED=()

turn_to() { # side: what sides.sh and others.sh do from here is done to it
  SIDE=$1 WORK=$ROOT/$1 PORT=$FIRST_PORT BROKER=${STARTED[$1]:-}
  [ "$SIDE" = kafka ] || PORT=$((FIRST_PORT + 2))
  ADDRESS=127.0.0.1:$PORT
  mkdir -p "$WORK"
}

finish_both() {
  trap '' INT TERM
  for side in "${!STARTED[@]}"; do
    turn_to "$side"
    kill -CONT "$BROKER" 2>/dev/null || true
    end_broker
  done
  rm -rf "$ROOT"
}
trap finish_both EXIT

measure() {
  local line ticks TIMEFORMAT='%U + %S'
  begin_cpu
  { time line=$(java_produce "$SIZE" "$RECORDS"); } 2>"$WORK/client"
  ticks=$(($(cpu_ticks) - TICKS_FROM))
  printf '%-8s %s; CPU-s: client %s, broker %s\n' "$SIDE" "$line" "$(tail -1 "$WORK/client")" "$(ratio $ticks "$(getconf CLK_TCK)")"
}

"$KAFKA" install >/dev/null
need_disk
for side in kafka corelog; do
  turn_to $side
  start_side $side
  STARTED[$side]=$BROKER
  # The JVM compiles.
  for _ in 1 2; do java_produce "$SIZE" "$RECORDS" >/dev/null; done
  [ $side = corelog ] || kill -STOP "$BROKER"
done
for _ in $(seq "$ROUNDS"); do
  turn_to kafka
  kill -CONT "$BROKER"
  measure
  kill -STOP "$BROKER"
  turn_to corelog
  measure
done
