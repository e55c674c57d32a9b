#!/usr/bin/env bash
# Whether a broker that is asked for more than it can do becomes slower and nothing else: flat memory, no failed request, no lost
# acknowledgement.
#
#   benches/overload/run.sh [--seconds N] [--bulk-seconds N] [--only small|bulk] [--slow N] [--stalled N] [--set NAME=VALUE]...
#
# --seconds N       of overload by requests of one record of 1 KB, default 60 · --bulk-seconds N  by batches of 16 KB, default 10
# --slow N          connections that fetch 55 MB and hardly read it, default 32 · --stalled N  that send half of a request of 100 MB, 48
# --set NAME=VALUE  a setting of the broker, beside corelog.batch.cache.percent=2, with which the cache has its size soon
#
# For each of the two shapes: the sustainable rate (closed loop, 64 connections × 64 in flight), latencies at a fifth of it, then an open
# loop at three times the rate over as many. Meanwhile hostile.py has its slow and stalled clients, and a witness writes and reads
# back 500 records/s with stamps (corelog-bench --verify). Then the fifth again; and at last `kill -9` under a closed loop with
# stamps, and a start on the same data.
#
# Fails if a well-behaved client had an error, a retry or a lost connection (but for the kill), if an acknowledged record is not there
# afterwards (stamps; and log end offsets against acknowledged counts, after the kill), or if memory was not flat: the largest
# sample of the overload's last third more than 10% above the largest of its second third. Timings and a missed rate are told only:
# on a host where client and broker share the cores the client does not offer all of it.
#
# Writes 25 GB to the disk where 150,000 records/s are taken, and keeps about 8 of them (retention); ends the load before less than
# 20 GB are free. Results stay in target/overload: table.md, rss.csv, metrics, run files. Needs jq, python3.
# ENGINE_BINARIES, ENGINE_PORT: see benches/engine/broker.sh.
source "$(dirname "$0")/../engine/broker.sh"
HOSTILE=benches/overload/hostile.py
OUT=target/overload
SECONDS_SMALL=60
SECONDS_BULK=10
ONLY="small bulk"
SLOW=32
STALLED=48
SETTINGS=()
PARTITIONS=16
TIMES=3
# Of the sustainable rate, when nothing is wrong.
USUAL_SHARE=5
WITNESS_RATE=500
FLAT_PERCENT=110
FLAT_SECONDS_MIN=30
HOSTILE_FIRST_S=4
# In the whole broker, whatever is written: topics of 16 partitions keep 4 GB.
RETENTION=(--config retention.bytes=268435456 --config segment.bytes=67108864)
while [ $# -gt 0 ]; do
  case "$1" in
    --seconds) SECONDS_SMALL=$2; shift 2 ;;
    --bulk-seconds) SECONDS_BULK=$2; shift 2 ;;
    --only) ONLY=$2; shift 2 ;;
    --slow) SLOW=$2; shift 2 ;;
    --stalled) STALLED=$2; shift 2 ;;
    --set) SETTINGS+=(--set "$2"); shift 2 ;;
    *) die "unknown option $1" ;;
  esac
done
for tool in jq python3; do command -v "$tool" >/dev/null || die "$tool is needed: install it"; done
need_disk 12
build
begin overload-work
rm -rf "$OUT"
mkdir -p "$OUT"
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
FAULTS=()
fault() { FAULTS+=("$*"); say "FAULT: $*"; }

start() {
  start_broker --shards 2 --set corelog.batch.cache.percent=2 --set log.retention.check.interval.ms=1000 \
    --set log.segment.delete.delay.ms=1000 "${SETTINGS[@]}"
  wait_ready
}
create() { "$CORELOG" topic create "$1" --partitions "$PARTITIONS" --bootstrap-server "$ADDRESS" "${@:2}" >/dev/null; }
delete() { "$CORELOG" topic delete "$1" --bootstrap-server "$ADDRESS" >/dev/null; }
shape() { if [ "$1" = small ]; then echo --batch-bytes 1; else echo --batch-bytes 16000; fi; }
# The exit code of a run is told, not acted by: what it found stands in its file.
produce() { # name, options...
  local code=0
  # shellcheck disable=SC2086
  "$BENCH" produce --bootstrap-server "$ADDRESS" --quiet --record-size 1000 --partitions "$PARTITIONS" --accept-missed-rate \
    --out "$OUT/$1" "${@:2}" >"$OUT/$1.out" 2>&1 || code=$?
  [ -f "$OUT/$1.json" ] || { cat "$OUT/$1.out" >&2; die "the run $1 has no result"; }
  echo "$code" >"$OUT/$1.code"
}
of() { jq -r "$2" "$OUT/$1.json"; } # run, path
count() { of "$1" ".measured.counts[\"$2\"]"; }
rate() { of "$1" '.measured.counts["produced-records"] / .measured["counted-s"] | floor'; }
ms() { of "$1" ".measured.latencies.produce[\"percentiles-us\"][\"$2\"] / 1000"; } # run, percentile

sample() { # phase: until it is ended
  local began now free
  began=$(date +%s%N)
  while now=$(date +%s%N); do
    echo "$1,$(((now - began) / 1000000)),$(rss_kb),$(awk '/^Threads/ { print $2 }' "/proc/$BROKER/status"),$(open_files)" >>"$OUT/rss.csv"
    free=$(df --output=avail -B1G target | tail -1 | tr -d ' ')
    [ "$free" -ge "$DISK_KEPT_GB" ] || { say "the disk fills up"; kill "$2" 2>/dev/null || true; }
    sleep 1
  done
}
peak_mb() { # phase, from, to: thirds
  awk -F, -v phase="$1" -v from="$2" -v to="$3" '$1 == phase { at[++n] = $3 }
    END { for (i = int(n * from / 3) + 1; i <= int(n * to / 3); i++) if (at[i] > most) most = at[i]; printf "%.0f\n", most / 1024 }' "$OUT/rss.csv"
}
keep_metrics() { metrics_text >"$OUT/metrics-$1"; }
metrics_text() {
  exec 3<>"/dev/tcp/127.0.0.1/$((PORT + 1))"
  printf 'GET /metrics HTTP/1.0\r\nConnection: close\r\n\r\n' >&3
  cat <&3
  exec 3<&- 3>&-
}
written_gb() { awk '/^write_bytes/ { printf "%.1f", $2 / 1e9 }' "/proc/$BROKER/io"; }

check_clean() { # run: nothing went wrong for its clients
  local errors retries
  errors=$(of "$1" '.measured.errors | to_entries | map("\(.value) \(.key)") | join(", ")')
  retries=$(of "$1" '.measured.counts | .retries + .reconnects')
  [ -z "$errors" ] || fault "$1: $errors"
  [ "$retries" -eq 0 ] || fault "$1: $retries retries and reconnects"
}
check_code() { # run
  local code
  code=$(cat "$OUT/$1.code")
  [ "$code" -eq 0 ] || { tail -3 "$OUT/$1.out" >&2; fault "$1 ended with exit code $code"; }
}
check_flat() { # phase, seconds
  local second last
  [ "$2" -ge "$FLAT_SECONDS_MIN" ] || return 0
  second=$(peak_mb "$1" 1 2)
  last=$(peak_mb "$1" 2 3)
  [ $((last * 100)) -le $((second * FLAT_PERCENT)) ] || fault "$1: memory is not flat, $second MB in the second third, $last MB in the last"
}
ends() { # topic: the sum of its log end offsets
  "$CORELOG" topic describe "$1" --json --bootstrap-server "$ADDRESS" | jq '[.. | objects | select(has("end_offset")) | .end_offset] | add'
}
check_ends() { # shape, when
  local acknowledged end
  acknowledged=$(count "$1-overload" produced-records)
  end=$(ends "$1-overload")
  [ "$end" -ge "$acknowledged" ] || fault "$1-overload, $2: $acknowledged acknowledged records, but the logs end at $end"
  echo "$1-overload, $2: $acknowledged acknowledged, log end offsets $end" >>"$OUT/ends"
}
usual_again_s() { # shape: seconds after the overload until a second's p99 is at most twice the usual one
  jq -r --argjson usual "$(ms "$1-usual" p99)" \
    '[.measured.series[] | select(.latencies.produce.p99 <= 2000 * $usual) | .["from-s"] | ceil][0] // "longer"' "$OUT/$1-after.json"
}

measure() { # shape, seconds
  local usual offered witness hostile sampler options load
  read -ra options <<<"$(shape "$1")"
  create "$1-calm" "${RETENTION[@]}"
  say "$1: the sustainable rate"
  produce "$1-sustained" --topic "$1-calm" "${options[@]}" --connections 64 --in-flight 64 --warm-up 1 --duration 4
  usual=$(($(rate "$1-sustained") / USUAL_SHARE))
  offered=$(($(rate "$1-sustained") * TIMES))
  produce "$1-usual" --topic "$1-calm" "${options[@]}" --connections 16 --in-flight 8 --rate "$usual" --warm-up 1 --duration 5
  create "$1-overload" "${RETENTION[@]}"
  # First: what they ask for is a broker's that has time.
  python3 "$HOSTILE" "$ADDRESS" "$1-calm" "$PARTITIONS" $(($2 + HOSTILE_FIRST_S)) --slow "$SLOW" --stalled "$STALLED" >"$OUT/$1-hostile" &
  hostile=$!
  CLIENTS=("$hostile")
  sleep "$HOSTILE_FIRST_S"
  create "$1-witness"
  keep_metrics "$1-before"
  say "$1: $offered records/s for $2 s"
  "$BENCH" produce --bootstrap-server "$ADDRESS" --quiet --verify --topic "$1-witness" --partitions "$PARTITIONS" --record-size 1000 \
    --connections 4 --rate "$WITNESS_RATE" --warm-up 0 --duration "$2" --accept-missed-rate --out "$OUT/$1-witness" >"$OUT/$1-witness.out" 2>&1 &
  witness=$!
  produce "$1-overload" --topic "$1-overload" "${options[@]}" --connections 64 --in-flight 64 --rate "$offered" --warm-up 0 \
    --duration "$2" &
  load=$!
  sample "$1" "$load" &
  sampler=$!
  CLIENTS=("$witness" "$hostile" "$load" "$sampler")
  wait "$load" || die "the overload could not be driven"
  kill "$sampler" "$hostile" 2>/dev/null || true
  wait "$sampler" "$hostile" 2>/dev/null || true
  say "$1: a fifth of the rate again"
  produce "$1-after" --topic "$1-calm" "${options[@]}" --connections 16 --in-flight 8 --rate "$usual" --warm-up 0 --duration 10
  wait "$witness" && echo 0 >"$OUT/$1-witness.code" || echo $? >"$OUT/$1-witness.code"
  CLIENTS=()
  keep_metrics "$1-after"
  for run in sustained usual overload witness after; do
    check_clean "$1-$run"
    check_code "$1-$run"
  done
  check_flat "$1" "$2"
  check_ends "$1" "after the overload"
  delete "$1-calm"
  delete "$1-witness"
}

kill_and_start() { # under load with stamps; idempotent, so that what is sent again is there once
  local load
  create killed
  say "kill -9 under load"
  produce killed --topic killed --verify --idempotent --batch-bytes 1 --connections 64 --in-flight 5 --warm-up 0 --duration 10 --retry-for 60 &
  load=$!
  CLIENTS=("$load")
  sleep 4
  WRITTEN_GB=$(written_gb)
  end_broker KILL
  start
  wait "$load" || die "the run with the kill could not be driven"
  CLIENTS=()
  check_code killed
  [ "$(count killed reconnects)" -gt 0 ] || fault "the kill met no client"
  for kind in $ONLY; do check_ends "$kind" "after kill -9"; done
}

table() {
  local kind missed
  echo "| | sustainable, records/s | offered | taken | p99 at a fifth, before / overloaded / after, ms | usual p99 again after, s | memory, MB: thirds of the overload | witness |"
  echo "| --- | --- | --- | --- | --- | --- | --- | --- |"
  for kind in $ONLY; do
    missed=$(($(rate "$kind-sustained") * TIMES))
    echo "| $kind | $(rate "$kind-sustained") | $missed | $(rate "$kind-overload") | $(ms "$kind-usual" p99) / $(ms "$kind-overload" p99) / $(ms "$kind-after" p99) |" \
      "$(usual_again_s "$kind") | $(peak_mb "$kind" 0 1), $(peak_mb "$kind" 1 2), $(peak_mb "$kind" 2 3) |" \
      "$(count "$kind-witness" produced-records) records, p99 $(ms "$kind-witness" p99) ms, exit $(cat "$OUT/$kind-witness.code") |"
  done
  echo
  for kind in $ONLY; do
    echo "$kind, hostile clients: $(cat "$OUT/$kind-hostile")"
    echo "$kind, due in the overload and unanswered at its end: $(count "$kind-overload" unanswered-records)"
  done
  cat "$OUT/ends"
  echo "killed: $(count killed produced-records) acknowledged across kill -9, exit $(cat "$OUT/killed.code")"
  echo "written to the disk until the kill: $WRITTEN_GB GB"
  echo "warnings and errors in the broker's log: $(grep -cE ' (WARN|ERROR) ' "$WORK/log" || true)"
}

# Read as a whole before anything runs.
main() {
  start
  for kind in $ONLY; do
    if [ "$kind" = small ]; then measure small "$SECONDS_SMALL"; else measure bulk "$SECONDS_BULK"; fi
  done
  kill_and_start
  end_broker TERM
  cp "$WORK/log" "$OUT/broker.log"
  table | tee "$OUT/table.md"
  if [ ${#FAULTS[@]} -gt 0 ]; then
    printf 'FAULT: %s\n' "${FAULTS[@]}" | tee -a "$OUT/table.md"
    exit 1
  fi
  echo "no fault" | tee -a "$OUT/table.md"
}
main; exit
