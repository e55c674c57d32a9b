#!/usr/bin/env bash
# Kafka's own producer test against Apache Kafka and Corelog in turn, on this host, with the same settings.
#
#   benches/peers/producer-perf.sh [ROUNDS]
#
# Three brokers alternate, each started new for each round: Kafka as it ships (acknowledges from the page cache), Kafka with
# flush.messages=1 (a flush for each acknowledgement, as Corelog gives), and Corelog. Prints one line per run. Bounded: some
# GB in all, deleted after each run; only what was started here is stopped.
set -euo pipefail
cd "$(dirname "$0")/../.."
ROUNDS=${1:-3}
KAFKA=benches/peers/kafka.sh
WORK=$(mktemp -d target/producer-perf.XXXXXX)
PORT=29092
trap 'rm -rf "$WORK"' EXIT
$KAFKA install >/dev/null

measure() { # broker, record size, records, partitions
  $KAFKA tool kafka-topics --bootstrap-server 127.0.0.1:$PORT --create --topic perf --partitions "$4" >/dev/null
  # Once to warm up, once to count.
  for _ in warm-up counted; do
    line=$($KAFKA tool kafka-producer-perf-test --topic perf --num-records "$3" --record-size "$2" --throughput -1 \
      --producer-props bootstrap.servers=127.0.0.1:$PORT acks=all batch.size=65536 linger.ms=2 2>/dev/null | tail -1)
  done
  printf '%-22s %4s B, %2s partitions: %s\n' "$1" "$2" "$4" "$line"
}

run_kafka() { # name, further settings...
  name=$1; shift
  $KAFKA start --port $PORT --controller-port $((PORT + 1)) --dir "$WORK/kafka" "$@" >/dev/null
  measure "$name" "$size" "$records" "$partitions"
  $KAFKA stop --dir "$WORK/kafka" >/dev/null
  rm -rf "$WORK/kafka"
}

run_corelog() {
  target/release/corelog serve --data-dir "$WORK/corelog" --listen 127.0.0.1:$PORT --admin 127.0.0.1:$((PORT + 1)) \
    >"$WORK/banner" 2>/dev/null &
  pid=$!
  for _ in $(seq 100); do grep -q 'is ready' "$WORK/banner" && break; sleep 0.05; done
  measure "corelog (durable)" "$size" "$records" "$partitions"
  kill "$pid"; wait "$pid" || true
  rm -rf "$WORK/corelog"
}

for round in $(seq "$ROUNDS"); do
  echo "# round $round"
  for shape in "100 1000000 1" "1000 500000 1" "1000 500000 16"; do
    read -r size records partitions <<<"$shape"
    run_kafka "kafka (page cache)"
    run_kafka "kafka (flush each)" --set log.flush.interval.messages=1
    run_corelog
  done
done
