#!/usr/bin/env bash
# The differential test: the same requests to Apache Kafka 4.2.0 and to Corelog, answers compared field by field.
#
#   tests/differential/run.sh [--only PATTERN] [--corelog HOST:PORT] [--kafka HOST:PORT]
#   tests/differential/run.sh --record [--only PATTERN]   Kafka's answers alone, as JSON lines
#   tests/differential/run.sh --peer kafka                a second Kafka in Corelog's place: the harness tests itself
#
# Prints a line per scenario, then "N passed, N failed"; the exit status is 0 when nothing failed and no entry of
# differences.txt is stale. Logs of the brokers stay in target/differential/. CORELOG names the binary to start
# (default target/release/corelog), DIFFERENTIAL_PORT the first of five free ports (default 28092).
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
ROOT="$(cd "$HERE/../.." && pwd)"
PEER="$ROOT/benches/peers/kafka.sh"
CORELOG="${CORELOG:-$ROOT/target/release/corelog}"
PORT="${DIFFERENTIAL_PORT:-28092}"
WORK="$ROOT/target/differential"
RUN="$WORK/run.$$"
CORELOG_START_TENTHS_MAX=300
# So that what retention does can be waited for, and groups begin at once.
SETTINGS=(--set log.retention.check.interval.ms=1000 --set log.cleaner.backoff.ms=500 --set group.initial.rebalance.delay.ms=0)
KAFKA_SETTINGS=("${SETTINGS[@]}" --set log.initial.task.delay.ms=500)

only="" record="" peer=corelog corelog="" kafka=""
while [ $# -gt 0 ]; do
  case "$1" in
    --only) only="$2"; shift 2 ;;
    --record) record=1; shift ;;
    --peer) peer="$2"; shift 2 ;;
    --corelog) corelog="$2"; shift 2 ;;
    --kafka) kafka="$2"; shift 2 ;;
    *) sed -n '2,/^set /p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//' >&2; exit 2 ;;
  esac
done

for runtime in java javac mvn; do
  command -v "$runtime" >/dev/null 2>&1 || { echo "differential: skipped, $runtime is not installed"; exit 0; }
done

corelog_pid=""
cleanup() {
  [ -n "$corelog_pid" ] && kill "$corelog_pid" 2>/dev/null && wait "$corelog_pid" 2>/dev/null
  for node in kafka other; do
    if [ -d "$RUN/$node" ]; then
      "$PEER" stop --dir "$RUN/$node" || true
      cp "$RUN/$node/server.log" "$WORK/$node.log" 2>/dev/null || true
    fi
  done
  cp "$RUN/corelog.log" "$WORK/corelog.log" 2>/dev/null || true
  rm -rf "$RUN"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

"$PEER" install
LIBS="$("$PEER" classpath)"
mkdir -p "$RUN/classes"
javac -d "$RUN/classes" -cp "$LIBS" "$HERE"/src/differential/*.java 2>"$RUN/javac.log" || { cat "$RUN/javac.log" >&2; exit 2; }

if [ -z "$kafka" ]; then
  KAFKA_HEAP="${KAFKA_HEAP:-512m}" "$PEER" start --port "$PORT" --controller-port $((PORT + 1)) --dir "$RUN/kafka" "${KAFKA_SETTINGS[@]}"
  kafka="127.0.0.1:$PORT"
fi

other=""
if [ -z "$record" ]; then
  if [ -n "$corelog" ]; then
    other="$corelog"
  elif [ "$peer" = kafka ]; then
    KAFKA_HEAP="${KAFKA_HEAP:-512m}" "$PEER" start --port $((PORT + 2)) --controller-port $((PORT + 3)) --dir "$RUN/other" "${KAFKA_SETTINGS[@]}"
    other="127.0.0.1:$((PORT + 2))"
  else
    [ -x "$CORELOG" ] || { echo "differential: $CORELOG is not there: cargo build --release" >&2; exit 2; }
    other="127.0.0.1:$((PORT + 2))"
    "$CORELOG" serve --data-dir "$RUN/corelog" --listen "$other" --admin "127.0.0.1:$((PORT + 4))" "${SETTINGS[@]}" >"$RUN/corelog.log" 2>&1 &
    corelog_pid=$!
    tenths=$CORELOG_START_TENTHS_MAX
    until (exec 3<>"/dev/tcp/127.0.0.1/$((PORT + 2))") 2>/dev/null; do
      tenths=$((tenths - 1))
      if [ "$tenths" -eq 0 ] || ! kill -0 "$corelog_pid" 2>/dev/null; then
        cat "$RUN/corelog.log" >&2
        echo "differential: Corelog did not start" >&2
        exit 2
      fi
      sleep 0.1
    done
  fi
fi

java -Xmx512m -XX:+UseSerialGC -Dlog4j2.configurationFile="file:$(dirname "${LIBS%/\*}")/log4j2-tool.properties" \
  -cp "$RUN/classes:$LIBS" differential.Main --home "$HERE" --kafka "$kafka" --peer "$peer" ${other:+--other "$other"} ${only:+--only "$only"}
