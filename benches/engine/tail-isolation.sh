#!/usr/bin/env bash
# Whether a consumer that reads cold data at full speed disturbs those at the tail.
#
#   benches/engine/tail-isolation.sh [--gb N] [--rate RECORDS_PER_S] [--seconds N] [--rounds N] [--cache-percent N]
#                                    [--cpus LIST] [--cold-cpus LIST]
#
# A broker with a small cache (1% of the memory) holds 3 GB of cold data. Producers and consumers work at the tail of another
# topic at a fixed rate (open loop, 5,000 records of 1 KB per second), alternately undisturbed and while a consumer reads the
# cold data from its beginning as fast as it can, over and over: three rounds of 20 s each. Prints p50, p99 and p99.9 of produce
# and of end to end, medians of the rounds, and their ratio. Bar: p99 at most doubles. Needs jq.
# The consumer of cold data takes CPU too: on few cores some of what is seen is that, although it runs at nice 19. --cpus and
# --cold-cpus keep them apart.
source "$(dirname "$0")/broker.sh"
GB=3
RATE=5000
SECONDS_EACH=20
ROUNDS=3
CACHE_PERCENT=1
CPUS=()
COLD_CPUS=()
while [ $# -gt 0 ]; do
  case "$1" in
    --gb) GB=$2; shift 2 ;;
    --rate) RATE=$2; shift 2 ;;
    --seconds) SECONDS_EACH=$2; shift 2 ;;
    --rounds) ROUNDS=$2; shift 2 ;;
    --cache-percent) CACHE_PERCENT=$2; shift 2 ;;
    --cpus) CPUS=(--cpus "$2"); shift 2 ;;
    --cold-cpus) COLD_CPUS=(--cpus "$2"); shift 2 ;;
    *) die "unknown option $1" ;;
  esac
done
command -v jq >/dev/null || die "jq is needed: install it"
need_disk $((GB * 2 + 1))
build
begin tail-isolation

create() { "$CORELOG" topic create "$1" --partitions "$2" --bootstrap-server "$ADDRESS" >/dev/null; }
bench() { "$BENCH" "$@" --bootstrap-server "$ADDRESS" --quiet; }

start_broker --set corelog.batch.cache.percent="$CACHE_PERCENT"
wait_ready
create cold 8
create tail 16
bench produce --workload bulk-100x1k --topic cold --partitions 8 --warm-up 0 --volume "${GB}GB" >"$WORK/preload" ||
  { cat "$WORK/preload" >&2; die "the cold data could not be written"; }

# The consumer begins anew whenever it has read everything.
read_cold() {
  local reader="" reads=0
  trap 'kill "$reader" 2>/dev/null || true; exit 0' TERM
  while :; do
    # All that was written, less what is not a record's: the run ends before the data does.
    bench consume --topic cold --partitions 8 --start beginning --warm-up 0 --records "$1" --duration 600 \
      "${COLD_CPUS[@]}" >"$WORK/cold.$2" 2>&1 &
    reader=$!
    # The CPU that this client takes is not the broker's doing: elsewhere it has a host of its own.
    renice -n 19 -p "$reader" >/dev/null
    wait "$reader" || { cat "$WORK/cold.$2" >&2; exit 1; }
    reads=$((reads + 1))
    echo "$reads" >"$WORK/cold.$2.reads"
  done
}

measure() { # name
  bench end-to-end --topic tail --partitions 16 --record-size 1000 --rate "$RATE" --connections 16 --warm-up 3 --duration "$SECONDS_EACH" \
    --start tail --accept-missed-rate "${CPUS[@]}" --out "$WORK/$1" >"$WORK/$1.out" 2>&1 || { cat "$WORK/$1.out" >&2; die "the run $1 failed"; }
}

COLD_RECORDS=$((GB * 950000))
for round in $(seq "$ROUNDS"); do
  say "round $round: undisturbed"
  measure "alone-$round"
  say "round $round: with a reader of cold data"
  before=$(metric corelog_fetched_bytes_total)
  began=$(date +%s%N)
  read_cold "$COLD_RECORDS" "$round" &
  reader=$!
  CLIENTS=("$reader")
  measure "disturbed-$round"
  kill -0 "$reader" 2>/dev/null || die "the reader of cold data failed"
  kill "$reader"
  wait "$reader" 2>/dev/null || true
  CLIENTS=()
  awk -v bytes="$(($(metric corelog_fetched_bytes_total) - before))" -v ns="$(($(date +%s%N) - began))" \
    'BEGIN { printf "fetched meanwhile, tail included: %.2f GB/s\n", bytes / ns }' >&2
done

median() { # side, timing, percentile: in ms
  jq -s --arg timing "$2" --arg at "$3" \
    '[.[].measured.latencies[$timing]["percentiles-us"][$at]] | sort | .[(length - 1) / 2 | floor] / 1000' "$WORK/$1"-[0-9]*.json
}
printf '%-12s %8s %14s %14s %8s\n' "latency" "" "alone, ms" "disturbed, ms" "ratio"
for timing in produce end-to-end; do
  for at in p50 p99 p99.9; do
    alone=$(median alone "$timing" "$at")
    disturbed=$(median disturbed "$timing" "$at")
    printf '%-12s %8s %14s %14s %8s\n' "$timing" "$at" "$alone" "$disturbed" \
      "$(awk -v a="$alone" -v d="$disturbed" 'BEGIN { printf "%.2f", (a > 0) ? d / a : 0 }')"
  done
done
end_broker TERM
