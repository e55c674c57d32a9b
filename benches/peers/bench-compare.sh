#!/usr/bin/env bash
# One workload of corelog-bench against Apache Kafka and against Corelog in turn, on this host, with equal settings.
#
#   benches/peers/bench-compare.sh [--rounds N] [--out FOLDER] [--flush] [OPTIONS OF corelog-bench produce ...]
#
# Brokers alternate, each started new for each round: Kafka as it ships (acknowledges from the page cache); with --flush also
# Kafka with a flush for each acknowledgement, as Corelog gives; Corelog. Prints the table of `corelog-bench compare` and
# writes the run files and a page for a browser to FOLDER (target/bench-compare). Without options: the workload market-data, 10 s
# counted. The JVM compiles Kafka's code while it runs, so half a minute of warm-up comes before; one CPU drives, so that the
# broker has another to itself where there are two. Bounded: data is deleted after each run; only what was started here is stopped.
set -euo pipefail
cd "$(dirname "$0")/../.."
KAFKA=benches/peers/kafka.sh
BENCH=target/release/corelog-bench
PORT=29092
ROUNDS=3
OUT=target/bench-compare
FLUSH=""
OPTIONS=()
while [ $# -gt 0 ]; do
  case "$1" in
    --rounds) ROUNDS=$2; shift 2 ;;
    --out) OUT=$2; shift 2 ;;
    --flush) FLUSH=yes; shift ;;
    *) OPTIONS+=("$1"); shift ;;
  esac
done
[ ${#OPTIONS[@]} -gt 0 ] || OPTIONS=(--workload market-data)
default() { # option, value: unless it was given
  case " ${OPTIONS[*]} " in *" $1 "*) ;; *) OPTIONS+=("$1" "$2") ;; esac
}
default --cpus 0
default --warm-up 30
default --duration 10
mkdir -p target "$OUT"
rm -f "$OUT"/*.json "$OUT"/*.hgrm "$OUT"/*.hlog
WORK=$(mktemp -d target/bench-compare.XXXXXX)
CORELOG_PID=""
cleanup() {
  $KAFKA stop --dir "$WORK/kafka" >/dev/null 2>&1 || true
  [ -z "$CORELOG_PID" ] || kill "$CORELOG_PID" 2>/dev/null || true
  rm -rf "$WORK"
}
trap cleanup EXIT
$KAFKA install >/dev/null

drive() { # file's name, label
  $BENCH produce --bootstrap-server 127.0.0.1:$PORT --create --accept-missed-rate "${OPTIONS[@]}" \
    --label "$2" --out "$OUT/$1" --data-dir "$WORK" --quiet >"$WORK/driven" || { cat "$WORK/driven"; exit 1; }
}

run_kafka() { # file's name, label, further settings...
  local name=$1 label=$2; shift 2
  echo "round $round: $label" >&2
  $KAFKA start --port $PORT --controller-port $((PORT + 1)) --dir "$WORK/kafka" "$@" >"$WORK/started" 2>&1 ||
    { cat "$WORK/started" >&2; exit 1; }
  drive "$name-$round" "$label"
  $KAFKA stop --dir "$WORK/kafka" >/dev/null 2>&1
  rm -rf "$WORK/kafka"
}

run_corelog() {
  echo "round $round: Corelog, durable" >&2
  target/release/corelog serve --data-dir "$WORK/corelog" --listen 127.0.0.1:$PORT --admin 127.0.0.1:$((PORT + 1)) \
    >"$WORK/banner" 2>"$WORK/log" &
  CORELOG_PID=$!
  for _ in $(seq 100); do grep -q 'is ready' "$WORK/banner" && break; sleep 0.05; done
  drive "corelog-$round" "Corelog, durable"
  kill "$CORELOG_PID"; wait "$CORELOG_PID" || true
  CORELOG_PID=""
  rm -rf "$WORK/corelog"
}

for round in $(seq "$ROUNDS"); do
  run_kafka kafka "Kafka, page cache"
  [ -z "$FLUSH" ] || run_kafka kafka-flush "Kafka, flush each" --set log.flush.interval.messages=1
  run_corelog
done

runs=("$OUT"/kafka-[0-9]*.json)
[ -z "$FLUSH" ] || runs+=("$OUT"/kafka-flush-*.json)
$BENCH compare "${runs[@]}" "$OUT"/corelog-*.json --html "$OUT/index.html"
