#!/usr/bin/env bash
# Records the profile that release builds are guided by (docs/decisions/0022): builds broker and load generator with counters, has the
# one drive the other in many ways, and writes what was counted to pgo/corelog.profdata.
#
#   pgo/record.sh
#
# Takes ten to fifteen minutes on two cores, most of it the build, and some GB below target/pgo, which later recordings use
# again. Installs the compiler's llvm-tools with rustup if they are not there.
export ENGINE_BINARIES=target/pgo/release
source "$(dirname "$0")/../benches/engine/broker.sh"
SECONDS_EACH=3
RAW=$PWD/target/pgo/counts

tool() {
  echo "$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/llvm-profdata"
}
[ -x "$(tool)" ] || rustup component add llvm-tools
[ -x "$(tool)" ] || die "llvm-profdata is not at $(tool)"
need_disk 4

# Build scripts count too; what they did is nobody's profile.
# Packages as in `make build`: with others, dependencies may get other features, and all symbols other names.
LLVM_PROFILE_FILE=$PWD/target/pgo/build/%m.profraw RUSTFLAGS="-Cprofile-generate -Cllvm-args=-vp-counters-per-site=8" \
  cargo build --release --locked --workspace --target-dir target/pgo
rm -rf "$RAW" target/pgo/build
export LLVM_PROFILE_FILE=$RAW/%p.profraw

begin profile
KEPT='topic.settings={ "retention.bytes" = "268435456", "segment.bytes" = "134217728" }'
bench() { # command, options
  say "$*"
  "$BENCH" "$@" --bootstrap-server "$ADDRESS" --quiet --data-dir "$WORK" --out "$WORK/run" >"$WORK/said" 2>&1 ||
    { tail -5 "$WORK/said" >&2; die "corelog-bench failed"; }
}
timed() { bench "$@" --warm-up 1 --duration "$SECONDS_EACH"; }
send() { timed "$@" --create --accept-missed-rate --set "$KEPT"; }
produce() { send produce --encoding ready "$@"; }
read_kept() { timed consume --topic kept --partitions 8 --start loop --set topic.remove=false; }
serve() {
  start_broker --shards 2 --set log.retention.check.interval.ms=1000
  wait_ready
}

drive() {
  # As many requests of every size as they come in: alone, in pairs, by the hundred; records large and small; every codec.
  produce --workload bulk-100x1k
  produce --workload single-1k --in-flight 1
  produce --workload single-1k
  produce --workload small-10x100
  produce
  produce --record-size 100
  produce --acks 1
  produce --idempotent
  for codec in gzip snappy lz4 zstd; do produce --codec "$codec" --compressibility 0.5; done
  produce --workload single-1k --partitions 1 --connections 1 --in-flight 1
  produce --workload single-1k --connections 500 --in-flight 1
  produce --workload single-1k --record-size 100 --partitions 1000 --connections 64 --in-flight 4
  produce --workload single-1k --connections 64 --rate 8000
  send end-to-end --workload single-1k --connections 64 --rate 8000 --set consumer.fan-out=2
  # From memory, and from the device.
  bench produce --workload bulk-100x1k --topic kept --partitions 8 --set topic.create=true --warm-up 0 --duration 0 --volume 1GB
  read_kept
  end_broker TERM
  serve
  read_kept
}

serve
drive
end_broker TERM
# Sparse: what nobody called is left out, and compiled as without a profile instead of as cold.
"$(tool)" merge --sparse -o pgo/corelog.profdata "$RAW"/*.profraw
rm -rf "$RAW"
pgo/built-for.sh >pgo/recorded-for
say "recorded: pgo/corelog.profdata, for $(cat pgo/recorded-for)"
