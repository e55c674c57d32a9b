# How each kind of scenario is run, but for the clients of others; run.sh sources this file.
#
# A scenario leaves RESULT.json, the run's file of corelog-bench, where that drove it, and RESULT.facts: lines of a figure's name
# and its value, for what corelog-bench did not measure.
LABELS=(kafka "Kafka, page cache" flush "Kafka, flush each" corelog "Corelog, durable" ceiling "stores nothing")
# Filled with batches of this size before reading.
FILL_BATCH_BYTES=101000
FETCH_GB=1.6
COLD_GB=6
IDLE_SETTLE_S=10
# Where there are more partitions than this, each is written to before it is measured, so much and in such batches.
PARTITIONS_MANY=64
TOUCH_BYTES=100000
TOUCH_BATCH_BYTES=16000
CLIENT=""

label_of() { # side
  local at
  for at in 0 2 4 6; do [ "${LABELS[$at]}" != "$1" ] || echo "${LABELS[$((at + 1))]}"; done
}

# Old data goes, on all sides, so that a minute at full speed fits on the disk; both are above what the kernel writes late.
bound_disk() { # partitions
  [ "$1" -gt "$PARTITIONS_MANY" ] || echo "topic.settings={ \"retention.bytes\" = \"536870912\", \"segment.bytes\" = \"268435456\" }"
}

applies() { # kind, side, round: whether the side runs scenarios of the kind
  case "$1:$2" in
    recovery:*) [ "$2" = corelog ] && [ "$3" = 1 ] ;;
    produce:ceiling | mixed:ceiling | fetch:ceiling) true ;;
    *:ceiling) false ;;
    # Reading and idling know no flush.
    fetch:flush | cold:flush | idle:flush | start:flush | *-consume:flush) false ;;
    rdkafka-*) have_rdkafka ;;
    *) true ;;
  esac
}

run_scenario() { # name, side
  local options
  read -ra options <<<"$(with_rates "$1")"
  reset_peak
  case "${KIND[$1]}" in
    produce | mixed | end-to-end) run_driven "${KIND[$1]}" "${options[@]}" ;;
    fetch) run_fetch "${options[@]}" ;;
    cold) run_cold "${options[@]}" ;;
    idle) run_idle "${options[0]}" ;;
    start) run_start ;;
    recovery) run_recovery ;;
    java-produce) run_java_produce "${options[0]}" "$(scaled "${options[1]}")" ;;
    java-consume) run_java_consume "${options[0]}" "$(scaled "${options[1]}")" ;;
    rdkafka-produce) run_rdkafka_produce "${options[0]}" "$(scaled "${options[1]}")" ;;
    rdkafka-consume) run_rdkafka_consume "${options[0]}" "$(scaled "${options[1]}")" ;;
    *) die "$1: unknown kind ${KIND[$1]}" ;;
  esac
  note_peak
  [ "$2" != kafka ] || keep_rate "$1"
}

# The options with rates in the place of @SHARE*NAME and the counted time in the place of %SECONDS.
with_rates() { # name
  local text=${OPTIONS[$1]} seconds=$SECONDS_COUNTED base share
  if [[ "$text" =~ @([0-9.]+)\*([a-z0-9-]+) ]]; then
    share=${BASH_REMATCH[1]} base=${BASH_REMATCH[2]}
    [ -f "$OUT/rate-$base" ] || die "$1 needs what Kafka took in $base"
    text=${text/"@$share*$base"/$(awk -v rate="$(cat "$OUT/rate-$base")" -v share="$share" 'BEGIN { printf "%.0f", rate * share }')}
  fi
  if [[ "$text" =~ %([0-9.]+) ]]; then
    # As many times longer as the list says it is than the 10 s of other scenarios.
    seconds=$(awk -v own="${BASH_REMATCH[1]}" -v given="$SECONDS_COUNTED" 'BEGIN { print own * given / 10 }')
    text=${text/"%${BASH_REMATCH[1]}"/}
  fi
  case "${KIND[$1]}" in produce | mixed | end-to-end | fetch) text="--duration $seconds $text" ;; esac
  echo "$text"
}

# What Kafka took is the measure of paced scenarios: that of the first round, so that all rounds have the same rate.
keep_rate() { # name
  local name
  [ -f "$RESULT.json" ] && [ ! -f "$OUT/rate-$1" ] || return 0
  for name in "${NAMES[@]}"; do
    [ "$(base_of "$name")" != "$1" ] ||
      jq '.measured.counts["produced-records"] / .measured["counted-s"]' "$RESULT.json" >"$OUT/rate-$1"
  done
}

partitions_of() { # options...
  local partitions=16
  while [ $# -gt 0 ]; do
    [ "$1" != --partitions ] || partitions=$2
    shift
  done
  echo "$partitions"
}

# Runs corelog-bench, and ends it before the disk is full.
drive() { # command, options...
  local bound words=("$@") status=0
  # A scenario for which one CPU of the client is not enough says so itself.
  [[ " ${words[*]} " == *" --cpus "* ]] || words+=(--cpus "$CPUS")
  bound=$(bound_disk "$(partitions_of "$@")")
  [ -z "$bound" ] || words+=(--set "$bound")
  "$BENCH" "${words[0]}" --bootstrap-server "$ADDRESS" --topic peers --accept-missed-rate --quiet \
    --label "$(label_of "$SIDE")" --data-dir "$WORK" --out "$RESULT" "${words[@]:1}" >"$WORK/driven" 2>&1 &
  CLIENT=$!
  while kill -0 "$CLIENT" 2>/dev/null; do
    if [ "$(free_gb)" -lt "$DISK_KEPT_GB" ]; then
      kill "$CLIENT"
      die "less than $DISK_KEPT_GB GB of the disk are free"
    fi
    sleep 0.5
  done
  wait "$CLIENT" || status=$?
  CLIENT=""
  [ "$status" = 0 ] || { tail -5 "$WORK/driven" >&2; die "corelog-bench ended with $status"; }
  rm -f "$RESULT".*.hgrm "$RESULT".*.hlog
}

# A broker that has just started is not what users run: a JVM compiles while it runs, and memory that was never used has to be
# found, by the kernel and by the host of a virtual machine. Requests of all kinds that follow, the same for every side.
warm_broker() {
  local part RESULT=$WORK/warm
  part=$(awk -v all="$BROKER_WARM_UP" 'BEGIN { print all / 3 }')
  awk -v s="$part" 'BEGIN { exit !(s > 0) }' || return 0
  say "warming the broker up for $BROKER_WARM_UP s"
  drive produce --create --warm-up 0 --duration "$part" --workload single-1k --encoding ready
  drive produce --create --warm-up 0 --duration "$part" --workload bulk-100x1k
  drive end-to-end --create --warm-up 0 --duration "$part" --workload single-1k --rate 10000
}

run_driven() { # command, options...
  local command=$1 partitions topic=(--create); shift
  partitions=$(partitions_of "$@")
  if [ "$partitions" -gt "$PARTITIONS_MANY" ] && [ "$SIDE" != ceiling ]; then
    touch_partitions "$partitions"
    topic=(--set topic.remove=true)
  fi
  drive "$command" "${topic[@]}" --warm-up "$WARM_UP" "$@"
}

# Writes so often to many partitions that each has entries in its indexes: Kafka maps these files when they are made, and at the
# first touch of each the kernel reads as far ahead as the device is set to (read_ahead_kb). That can take the better part of a
# minute for a thousand partitions, and is no broker's usual speed.
touch_partitions() { # partitions
  say "writing to all $1 partitions before"
  fill "$(($1 * TOUCH_BYTES / 1000000))MB" $TOUCH_BATCH_BYTES --partitions "$1"
}

fill() { # volume, bytes of a batch, options...
  local volume=$1 batch_bytes=$2 RESULT=$WORK/filled; shift 2
  [ "$SIDE" != ceiling ] || return 0
  drive produce --warm-up 0 --duration 0 --volume "$volume" --encoding ready --batch-bytes "$batch_bytes" \
    --set topic.create=true "$@"
}

run_fetch() { # options...
  local remove=true
  fill "${FETCH_GB}GB" $FILL_BATCH_BYTES --partitions 16
  [ "$SIDE" != ceiling ] || remove=false
  drive consume --start loop --warm-up "$WARM_UP" --set topic.remove=$remove "$@"
}

run_cold() { # options...
  fill "${COLD_GB}GB" $FILL_BATCH_BYTES --partitions 16
  # What Corelog keeps in its own memory goes with the process; Kafka keeps nothing but what lies in the page cache.
  [ "$SIDE" != corelog ] || { end_broker; start_side corelog; }
  sync -f target
  # Of no bytes: drops a file's pages without reading it.
  find "$WORK/data" -name '*.log' -size +1M -exec dd if={} iflag=nocache count=0 status=none \;
  drive consume --start beginning --warm-up 0 --duration 0 --set topic.remove=false "$@"
  note_device
  "$CORELOG" topic delete peers --bootstrap-server "$ADDRESS" >/dev/null
}

# Reads the same files again, each by a reader of its own, past the page cache: what the device gives of them. Afterwards, so
# that a host that keeps what it has read helps this and not the broker.
note_device() {
  local file bytes began reader readers=() files=()
  mapfile -t files < <(find "$WORK/data" -name '*.log' -size +1M)
  bytes=$(du -cb "${files[@]}" | tail -1 | cut -f1)
  began=$(date +%s%N)
  for file in "${files[@]}"; do
    dd if="$file" of=/dev/null bs=1M iflag=direct status=none &
    readers+=($!)
  done
  for reader in "${readers[@]}"; do wait "$reader"; done
  fact device_mb_s "$(awk -v bytes="$bytes" -v ns=$(($(date +%s%N) - began)) 'BEGIN { printf "%.0f\n", bytes / ns * 1e3 }')"
}

run_idle() { # connections
  "$BENCH" idle --bootstrap-server "$ADDRESS" --connections "$1" --settle "$IDLE_SETTLE_S" --duration "$SECONDS_COUNTED" >>"$RESULT.facts"
}

# A second start, on what the first one left: nothing is formatted and nothing compiled by the file system's cache.
run_start() {
  end_broker
  start_side "$SIDE"
  fact start_s "$(ratio "$START_MS" 1000)"
}

# Corelog alone: a script of the engine's benchmarks, which starts a broker of its own.
run_recovery() {
  local line
  if [ ! -x "$BINARIES/examples/serving" ]; then
    say "SKIPPED  recovery: cargo build --release -p corelog-bench --example serving"
    return 0
  fi
  ENGINE_BINARIES=$BINARIES ENGINE_PORT=$PORT benches/engine/recovery.sh >"$WORK/recovery"
  line=$(tail -1 "$WORK/recovery")
  fact recovery_s "$(ratio "${line##* }" 1000)"
}

# The table and the picture, a page for each scenario that corelog-bench drove, and one that leads to them.
report() {
  local name run runs links=""
  "$BENCH" side-by-side "$OUT" --scenarios "$SCENARIOS" --markdown "$OUT/table.md" --plot "$OUT/ratios.svg"
  for name in "${NAMES[@]}"; do
    runs=()
    for run in "$OUT/$name".{kafka,flush,corelog}-*.json; do [ ! -f "$run" ] || runs+=("$run"); done
    [ ${#runs[@]} != 0 ] || continue
    "$BENCH" compare "${runs[@]}" --html "$OUT/$name.html" >"$OUT/$name.txt"
    links+="<li><a href=\"$name.html\">$name</a>: ${WORDS[$name]}</li>"
  done
  {
    echo "<!doctype html><meta charset=\"utf-8\"><title>Side by side</title><h1>Apache Kafka and Corelog side by side</h1>"
    cat "$OUT/ratios.svg"
    echo "<ul>$links</ul>"
  } >"$OUT/index.html"
  say "written: $OUT/table.md, $OUT/ratios.svg, $OUT/index.html"
}
