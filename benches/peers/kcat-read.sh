#!/usr/bin/env bash
# Reading with kcat (librdkafka) from Apache Kafka and from Corelog in turn, on this host, with the same records.
#
#   benches/peers/kcat-read.sh [ROUNDS]
#
# Each broker is started new, filled with 1 GB by Kafka's producer test, and read from the beginning by `kcat -C` ROUNDS + 1
# times; the first reading warms up and is not counted. Prints MB per second and the CPU seconds that the broker's process
# spent per GB. Each is read twice over: as librdkafka comes, which stops fetching for up to a second whenever 64 MB wait in its
# queue, so that a broker that fills it sooner waits longer; and with a queue that holds everything. Bounded: 1 GB at a time, deleted after each broker; only what was started here is stopped.
set -euo pipefail
cd "$(dirname "$0")/../.."
ROUNDS=${1:-3}
KAFKA=benches/peers/kafka.sh
PORT=29092
RECORD_BYTES=1000
RECORDS=1000000
command -v kcat >/dev/null || { echo "kcat is needed (Debian package kcat)" >&2; exit 1; }
mkdir -p target
WORK=$(mktemp -d target/kcat-read.XXXXXX)
KAFKA_RUNS=""
CORELOG_PID=""
cleanup() {
  [ -z "$KAFKA_RUNS" ] || $KAFKA stop --dir "$WORK/kafka" >/dev/null || true
  [ -z "$CORELOG_PID" ] || kill "$CORELOG_PID" 2>/dev/null || true
  rm -rf "$WORK"
}
trap cleanup EXIT
$KAFKA install >/dev/null

cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

measure() { # broker, process id, partitions
  $KAFKA tool kafka-topics --bootstrap-server 127.0.0.1:$PORT --create --topic read --partitions "$3" >/dev/null
  $KAFKA tool kafka-producer-perf-test --topic read --num-records $RECORDS --record-size $RECORD_BYTES --throughput -1 \
    --producer-props bootstrap.servers=127.0.0.1:$PORT acks=all batch.size=65536 linger.ms=2 >/dev/null 2>&1
  for queue in "as it comes" "deep queue"; do
    [ "$queue" = "as it comes" ] && settings=() || settings=(-X queued.min.messages=10000000 -X queued.max.messages.kbytes=2000000)
    for round in $(seq 0 "$ROUNDS"); do read_once "$1" "$2" "$3"; done
  done
}

read_once() { # broker, process id, partitions
  local before start bytes end after
  before=$(cpu_ticks "$2")
  start=$(date +%s.%N)
  bytes=$(kcat -C -b 127.0.0.1:$PORT -t read -o beginning -e -q -D '' ${settings[@]+"${settings[@]}"} | wc -c)
  end=$(date +%s.%N)
  after=$(cpu_ticks "$2")
  [ "$bytes" = $((RECORDS * RECORD_BYTES)) ] || { echo "$1: $bytes bytes came" >&2; exit 1; }
  [ "$round" = 0 ] || awk -v name="$1" -v n="$3" -v q="$queue" -v b="$bytes" -v s="$start" -v e="$end" -v t=$((after - before)) \
    -v hz="$(getconf CLK_TCK)" \
    'BEGIN { printf "%-20s %2d partitions, kcat %-11s: %6.0f MB/s, broker %.2f CPU-s/GB\n", name, n, q, b / (e - s) / 1e6, t / hz / (b / 1e9) }'
}

run_kafka() { # partitions
  $KAFKA start --port $PORT --controller-port $((PORT + 1)) --dir "$WORK/kafka" >"$WORK/started" 2>&1 || { cat "$WORK/started" >&2; exit 1; }
  KAFKA_RUNS=yes
  measure "kafka (page cache)" "$(cat "$WORK/kafka/kafka.pid")" "$1"
  $KAFKA stop --dir "$WORK/kafka" >"$WORK/started" 2>&1 || { cat "$WORK/started" >&2; exit 1; }
  KAFKA_RUNS=""
  rm -rf "$WORK/kafka"
}

run_corelog() { # partitions
  target/release/corelog serve --data-dir "$WORK/corelog" --listen 127.0.0.1:$PORT --admin 127.0.0.1:$((PORT + 1)) \
    >"$WORK/banner" 2>/dev/null &
  CORELOG_PID=$!
  for _ in $(seq 100); do grep -q 'is ready' "$WORK/banner" && break; sleep 0.05; done
  measure "corelog" "$CORELOG_PID" "$1"
  kill "$CORELOG_PID"; wait "$CORELOG_PID" || true
  CORELOG_PID=""
  rm -rf "$WORK/corelog"
}

for partitions in 1 16; do
  run_kafka $partitions
  run_corelog $partitions
done
