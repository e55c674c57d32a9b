# Starting, watching and ending one broker, for the scripts beside this file, which source it.
#
# ENGINE_PROFILE  which build: release (default) or debug · ENGINE_PORT  first of two ports (default 29192)
# ENGINE_BINARIES  a folder with corelog, corelog-bench and examples/serving, instead of target/<profile>; nothing is built then
#
# Everything lies in a new folder below target/. On exit the processes that were started here are ended by their ids, and the
# folder is removed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PROFILE=${ENGINE_PROFILE:-release}
PORT=${ENGINE_PORT:-29192}
ADDRESS=127.0.0.1:$PORT
ADMIN=127.0.0.1:$((PORT + 1))
BINARIES=${ENGINE_BINARIES:-target/$PROFILE}
CORELOG=$BINARIES/corelog
BENCH=$BINARIES/corelog-bench
SERVING=$BINARIES/examples/serving
READY_SECONDS_MAX=120
DISK_KEPT_GB=20

say() { echo "$(basename "$0"): $*" >&2; }
die() { say "$*"; exit 1; }

build() {
  local cargo=(pgo/with-profile.sh cargo build --release)
  [ "$PROFILE" != debug ] || cargo=(cargo build)
  [ -z "${ENGINE_BINARIES:-}" ] || return 0
  "${cargo[@]}" --locked --workspace
  "${cargo[@]}" --locked --workspace --example serving --example groups
}

need_disk() { # GB that will be written
  local free
  free=$(df --output=avail -B1G target | tail -1 | tr -d ' ')
  [ "$free" -ge $(($1 + DISK_KEPT_GB)) ] || die "$1 GB are needed and $DISK_KEPT_GB GB to be left; $free GB are free"
}

begin() { # name
  mkdir -p target
  WORK=$(mktemp -d "target/$1.XXXXXX")
  BROKER=""
  CLIENTS=()
  trap finish EXIT
  trap 'exit 130' INT TERM
}

finish() {
  local client
  # A second signal must not end the cleaning up.
  trap '' INT TERM
  for client in "${CLIENTS[@]}"; do kill "$client" 2>/dev/null || true; done
  [ -z "$BROKER" ] || kill -9 "$BROKER" 2>/dev/null || true
  # Nothing may still be writing below.
  wait 2>/dev/null || true
  rm -rf "$WORK"
}

start_broker() { # options of corelog serve...; sets BROKER and SINCE
  SINCE=$(date +%s%N)
  CORELOG_LOG=${ENGINE_LOG:-warn} "$CORELOG" serve --data-dir "$WORK/data" --listen "$ADDRESS" --admin "$ADMIN" "$@" \
    >"$WORK/banner" 2>>"$WORK/log" &
  BROKER=$!
}

wait_ready() {
  local _
  for _ in $(seq $((READY_SECONDS_MAX * 20))); do
    ! grep -q 'is ready' "$WORK/banner" || return 0
    kill -0 "$BROKER" 2>/dev/null || break
    sleep 0.05
  done
  tail -5 "$WORK/log" >&2
  die "the broker did not start"
}

end_broker() { # signal; sets ENDED_MS
  local began
  began=$(date +%s%N)
  kill "-$1" "$BROKER"
  wait "$BROKER" 2>/dev/null || true
  ENDED_MS=$((($(date +%s%N) - began) / 1000000))
  BROKER=""
}

rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$BROKER/status"; }
open_files() { find "/proc/$BROKER/fd" -mindepth 1 2>/dev/null | wc -l; }

metric() { # name: the sum over all shards
  exec 3<>"/dev/tcp/127.0.0.1/$((PORT + 1))"
  printf 'GET /metrics HTTP/1.0\r\nConnection: close\r\n\r\n' >&3
  awk -v name="$1" 'index($0, name "{") == 1 || $1 == name { sum += $NF } END { printf "%.0f\n", sum }' <&3
  exec 3<&- 3>&-
}

# A value of a line of NAME=VALUE words.
value() { # line, name
  local word
  for word in $1; do [ "${word%%=*}" != "$2" ] || echo "${word#*=}"; done
}
