#!/usr/bin/env bash
# Kafka's own producer test on Apache Kafka and Corelog in turn, run by run, both brokers started once.
#
#   benches/peers/producer-turns.sh [ROUNDS [RECORD_SIZE [RECORDS]]]    default 6 100 3000000
#
# On a host whose speed changes from minute to minute the sides of a run have to be seconds apart. Kafka is stopped by a signal
# (SIGSTOP) while it is not its turn, since it takes some percent of a CPU when idle; Corelog takes none. Prints one line per
# run with the CPU-seconds of client and broker. Topics keep 4 GB at most; only what was started here is stopped.
#
# PEERS_BINARIES  a folder with corelog (default target/release)
set -euo pipefail
cd "$(dirname "$0")/../.."
ROUNDS=${1:-6}
SIZE=${2:-100}
RECORDS=${3:-3000000}
CORELOG=${PEERS_BINARIES:-target/release}/corelog
KAFKA=benches/peers/kafka.sh
WORK=$(mktemp -d target/producer-turns.XXXXXX)
PORT=29192
KAFKA_PORT=29194
BOUND=(--set log.retention.bytes=268435456 --set log.segment.bytes=134217728 --set log.retention.check.interval.ms=1000)
BOUND+=(--set log.segment.delete.delay.ms=1000 --set num.partitions=16)
$KAFKA install >/dev/null

finish() {
  kill -CONT "${kafka:-0}" 2>/dev/null || true
  $KAFKA stop --dir "$WORK/kafka" >/dev/null 2>&1 || true
  [ -z "${corelog:-}" ] || { kill "$corelog" && wait "$corelog"; } 2>/dev/null || true
  rm -rf "$WORK"
}
trap finish EXIT

$KAFKA start --port $KAFKA_PORT --controller-port $((KAFKA_PORT + 1)) --dir "$WORK/kafka" "${BOUND[@]}" >/dev/null
kafka=$(cat "$WORK/kafka/kafka.pid")
"$CORELOG" serve --data-dir "$WORK/corelog" --listen 127.0.0.1:$PORT --admin 127.0.0.1:$((PORT + 1)) "${BOUND[@]}" >"$WORK/banner" 2>/dev/null &
corelog=$!
for _ in $(seq 100); do grep -q 'is ready' "$WORK/banner" && break; sleep 0.05; done

# The tool as kafka.sh runs it is for short commands: compiled quickly, not well.
produce() { # port
  KAFKA_JVM_OPTS="-XX:TieredStopAtLevel=4" KAFKA_TOOL_HEAP=1g $KAFKA tool kafka-producer-perf-test --topic perf --num-records "$RECORDS" --record-size "$SIZE" --throughput -1 \
    --producer-props "bootstrap.servers=127.0.0.1:$1" acks=all batch.size=65536 linger.ms=2 2>/dev/null | tail -1
}

cpu() { # pid: its CPU time so far, in ticks of 10 ms
  awk '{ print $14 + $15 }' "/proc/$1/stat"
}

measure() { # name, pid, port
  local before line TIMEFORMAT='%U %S'
  before=$(cpu "$2")
  { time line=$(produce "$3"); } 2>"$WORK/client"
  printf '%-8s %s; CPU-s: client %s (user, system), broker %s.%02d\n' "$1" "$line" "$(tail -1 "$WORK/client")" \
    $((($(cpu "$2") - before) / 100)) $((($(cpu "$2") - before) % 100))
}

# The JVM compiles.
for _ in 1 2; do produce $KAFKA_PORT >/dev/null; done
produce $PORT >/dev/null
for _ in $(seq "$ROUNDS"); do
  kill -CONT "$kafka"
  measure kafka "$kafka" $KAFKA_PORT
  kill -STOP "$kafka"
  measure corelog "$corelog" $PORT
done
