# Starting, watching and stopping the sides of `make peers`; run.sh sources this file. One side runs at a time.
#
# Equal on all sides: one node on loopback, data below target/ on one device, how soon deleted data leaves the disk. Kafka has a
# heap of 1 GiB, as it ships, and the page cache; Corelog what it takes by default.
BINARIES=${PEERS_BINARIES:-target/release}
CORELOG=$BINARIES/corelog
BENCH=$BINARIES/corelog-bench
KAFKA=$PEERS/kafka.sh
PORT=${PEERS_PORT:-29292}
ADDRESS=127.0.0.1:$PORT
DISK_KEPT_GB=20
# What a scenario may have on the disk at once.
DISK_USED_GB=12
START_SECONDS_MAX=60
STOP_SECONDS_MAX=60
# Deleted data leaves within seconds, so that a minute at full speed fits on the disk.
SETTINGS=(log.retention.check.interval.ms=1000 log.segment.delete.delay.ms=1000)
SIDE=""
BROKER=""
START_MS=""

say() { echo "peers: $*" >&2; }
die() { say "$*"; exit 1; }

free_gb() { df --output=avail -B1G target | tail -1 | tr -d ' '; }
need_disk() {
  local free
  free=$(free_gb)
  [ "$free" -ge $((DISK_KEPT_GB + DISK_USED_GB)) ] ||
    die "$((DISK_KEPT_GB + DISK_USED_GB)) GB of free disk are needed to go on; $free GB are free"
}

finish() {
  # A second signal must not end the cleaning up.
  trap '' INT TERM
  [ -z "${CLIENT:-}" ] || kill "$CLIENT" 2>/dev/null || true
  stop_side
  rm -rf "$WORK"
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; }

# Sets START_MS: from exec until connections are taken.
wait_port() { # since, ns
  local deadline=$((SECONDS + START_SECONDS_MAX))
  until port_open; do
    [ "$SECONDS" -lt $deadline ] || { tail -5 "$WORK/log" >&2; die "$SIDE did not open port $PORT"; }
    sleep 0.005
  done
  START_MS=$((($(date +%s%N) - $1) / 1000000))
}

start_side() { # side
  SIDE=$1
  local since settings=("${SETTINGS[@]}") setting options=()
  ! port_open || die "port $PORT is taken"
  [ "$SIDE" != flush ] || settings+=(log.flush.interval.messages=1)
  for setting in "${settings[@]}"; do options+=(--set "$setting"); done
  since=$(date +%s%N)
  case "$SIDE" in
    kafka | flush)
      "$KAFKA" start --port "$PORT" --controller-port $((PORT + 1)) --dir "$WORK/data" "${options[@]}" >"$WORK/log" 2>&1 &
      wait_port "$since"
      wait $! || { cat "$WORK/log" >&2; die "Kafka did not start"; }
      BROKER=$(cat "$WORK/data/kafka.pid") ;;
    corelog)
      CORELOG_LOG=warn "$CORELOG" serve --data-dir "$WORK/data" --listen "$ADDRESS" --admin "127.0.0.1:$((PORT + 1))" "${options[@]}" \
        >"$WORK/log" 2>&1 &
      BROKER=$!
      wait_port "$since" ;;
    ceiling)
      "$BENCH" ceiling --listen "$ADDRESS" >"$WORK/log" 2>&1 &
      BROKER=$!
      wait_port "$since" ;;
  esac
}

end_broker() {
  [ -n "$BROKER" ] || return 0
  case "$SIDE" in
    kafka | flush) "$KAFKA" stop --dir "$WORK/data" >/dev/null 2>&1 || true ;;
    *)
      local deadline=$((SECONDS + STOP_SECONDS_MAX))
      kill "$BROKER" 2>/dev/null || true
      while kill -0 "$BROKER" 2>/dev/null && [ "$SECONDS" -lt $deadline ]; do sleep 0.05; done
      kill -9 "$BROKER" 2>/dev/null || true
      wait "$BROKER" 2>/dev/null || true ;;
  esac
  BROKER=""
}

stop_side() {
  end_broker
  rm -rf "$WORK/data"
  # What the side left to be written must not be written in the next one's time.
  sync -f target
}

# Deleted topics leave the disk, and what is late to be written is, before the next scenario's time begins. All sides give what
# is deleted a name with this in it.
SETTLE_SECONDS=3
SETTLE_SECONDS_MAX=60
settle() {
  [ "$SIDE" != ceiling ] || return 0
  local deadline=$((SECONDS + SETTLE_SECONDS_MAX))
  sleep $SETTLE_SECONDS
  # Names vanish while they are looked for.
  while [ "$SECONDS" -lt $deadline ] && [ -n "$(find "$WORK/data" -name '*delete*' -print -quit 2>/dev/null || true)" ]; do sleep 0.2; done
  sync -f target
}

fact() { echo "$1 $2" >>"$RESULT.facts"; } # name, value
status_kb() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$BROKER/status"; }
cpu_ticks() { sed 's/.*) //' "/proc/$BROKER/stat" | awk '{ print $12 + $13 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.6g\n", a / b }'; }

# The peak counts from here: 5 resets VmHWM (proc_pid_clear_refs(5)).
reset_peak() { [ -z "$BROKER" ] || [ "$SIDE" = ceiling ] || echo 5 >"/proc/$BROKER/clear_refs"; }
note_peak() { [ -z "$BROKER" ] || [ "$SIDE" = ceiling ] || fact peak_mb "$(ratio "$(status_kb VmHWM)" 976.5625)"; }
