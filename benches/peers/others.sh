# The clients of others against each side: Kafka's own performance tools, and librdkafka's; run.sh sources this file.
#
# Each runs twice, the first time to warm up. Their figures are those that they print; the broker's CPU time is read beside them.
RDKAFKA_HOME=${PEERS_RDKAFKA:-target/peers/rdkafka}
RDKAFKA=$RDKAFKA_HOME/rdkafka_performance
RDKAFKA_SKIPPED=""
TOOL_PARTITIONS=16

# As many as a scenario's list says for 10 s, or as much fewer or more as the counted time is.
scaled() { awk -v n="$1" -v s="$SECONDS_COUNTED" 'BEGIN { printf "%.0f", n * s / 10 }'; } # records

kafka_tool() { KAFKA_JVM_OPTS="-XX:TieredStopAtLevel=4" KAFKA_TOOL_HEAP=512m "$KAFKA" tool "$@"; }

create_topic() { # partitions
  kafka_tool kafka-topics --bootstrap-server "$ADDRESS" --create --topic peers --partitions "$1" >/dev/null 2>&1
}
delete_topic() { kafka_tool kafka-topics --bootstrap-server "$ADDRESS" --delete --topic peers >/dev/null 2>&1; }

TICKS_FROM=0
begin_cpu() { TICKS_FROM=$(cpu_ticks); }
note_cpu() { # bytes
  fact cpu_gb "$(awk -v ticks=$(($(cpu_ticks) - TICKS_FROM)) -v hz="$(getconf CLK_TCK)" -v bytes="$1" 'BEGIN { print ticks / hz / (bytes / 1e9) }')"
}
note_rate() { # records/s, record's bytes
  fact records_s "$1"
  fact mb_s "$(awk -v rate="$1" -v bytes="$2" 'BEGIN { print rate * bytes / 1e6 }')"
}

java_produce() { # bytes, records
  kafka_tool kafka-producer-perf-test --topic peers --num-records "$2" --record-size "$1" --throughput -1 \
    --producer-props "bootstrap.servers=$ADDRESS" acks=all batch.size=65536 linger.ms=2 2>/dev/null | tail -1
}

run_java_produce() { # bytes, records
  local line
  create_topic $TOOL_PARTITIONS
  java_produce "$1" "$2" >/dev/null
  begin_cpu
  line=$(java_produce "$1" "$2")
  note_cpu $(($1 * $2))
  # "N records sent, R records/sec (M MB/sec), A ms avg latency, X ms max latency, P ms 50th, ... 95th, ... 99th, ... 99.9th."
  [[ "$line" =~ sent,\ ([0-9.]+)\ records/sec.*\ ([0-9.]+)\ ms\ 50th.*\ ([0-9.]+)\ ms\ 99th.*\ ([0-9.]+)\ ms\ 99\.9th ]] ||
    die "kafka-producer-perf-test said: $line"
  note_rate "${BASH_REMATCH[1]}" "$1"
  fact p50_ms "${BASH_REMATCH[2]}"
  fact p99_ms "${BASH_REMATCH[3]}"
  fact p99.9_ms "${BASH_REMATCH[4]}"
  delete_topic
}

run_java_consume() { # bytes, records
  local line rate
  create_topic $TOOL_PARTITIONS
  java_produce "$1" "$2" >/dev/null
  for _ in warm-up counted; do
    begin_cpu
    # Start, end, MB, MB/s, records, records/s, ms of rebalancing, ms of fetching, MB/s and records/s of fetching.
    line=$(kafka_tool kafka-consumer-perf-test --bootstrap-server "$ADDRESS" --topic peers --num-records "$2" --timeout 30000 2>/dev/null | tail -1)
  done
  note_cpu $(($1 * $2))
  rate=$(awk -F', *' 'NF >= 10 { print $10 }' <<<"$line")
  [ -n "$rate" ] || die "kafka-consumer-perf-test said: $line"
  note_rate "$rate" "$1"
  delete_topic
}

# Debian's librdkafka-dev has the source of the tool among its examples; the library itself is librdkafka1.
have_rdkafka() {
  [ ! -x "$RDKAFKA" ] || return 0
  [ -z "$RDKAFKA_SKIPPED" ] || return 1
  if build_rdkafka >"$WORK/rdkafka-build" 2>&1; then return 0; fi
  RDKAFKA_SKIPPED=yes
  say "SKIPPED  rdkafka_performance: it needs a C compiler, librdkafka1, and apt-get to download librdkafka-dev"
  return 1
}

build_rdkafka() {
  local include source library
  mkdir -p "$RDKAFKA_HOME"
  source=/usr/share/doc/librdkafka-dev/examples/rdkafka_performance.c
  include=/usr/include
  if [ ! -f "$source" ]; then
    [ -f "$RDKAFKA_HOME/unpacked$source" ] ||
      (cd "$RDKAFKA_HOME" && apt-get download librdkafka-dev && dpkg -x librdkafka-dev_*.deb unpacked) || return 1
    source=$RDKAFKA_HOME/unpacked$source
    include=$RDKAFKA_HOME/unpacked/usr/include
  fi
  library=$(ldconfig -p | awk '$1 == "librdkafka.so.1" { print $NF; exit }')
  [ -n "$library" ] || return 1
  # It includes headers of the source tree, of which it needs little.
  sed -E 's,"(\.\./src/rd|rd|rdtime)\.h","rdkafka_shim.h",; s,"rdkafka\.h",<librdkafka/rdkafka.h>,' "$source" >"$RDKAFKA_HOME/rdkafka_performance.c" &&
    cc -O2 -I "$PEERS" -I "$include" -o "$RDKAFKA" "$RDKAFKA_HOME/rdkafka_performance.c" "$library" -lpthread -lm
}

rdkafka() { # mode, bytes, records, further options...
  local mode=$1 bytes=$2 records=$3; shift 3
  "$RDKAFKA" "$mode" -t peers -s "$bytes" -c "$records" -b "$ADDRESS" "$@" 2>&1
}
rdkafka_rate() { # output: the last rate that it tells
  grep -oE '[0-9]+ msgs/s' <<<"$1" | tail -1 | cut -d' ' -f1
}

note_rdkafka() { # bytes, records, what it said
  local rate
  note_cpu $(($1 * $2))
  rate=$(rdkafka_rate "$3")
  [ -n "$rate" ] || die "rdkafka_performance said: $(tail -2 <<<"$3")"
  note_rate "$rate" "$1"
}

run_rdkafka_produce() { # bytes, records
  local text
  create_topic $TOOL_PARTITIONS
  for _ in warm-up counted; do
    begin_cpu
    text=$(rdkafka -P "$1" "$2" -a -1 -q) || die "rdkafka_performance: $(tail -2 <<<"$text")"
  done
  note_rdkafka "$1" "$2" "$text"
  delete_topic
}

run_rdkafka_consume() { # bytes, records
  local text
  create_topic 1
  text=$(rdkafka -P "$1" "$2" -a -1 -q) || die "rdkafka_performance: $(tail -2 <<<"$text")"
  for _ in warm-up counted; do
    begin_cpu
    text=$(rdkafka -C "$1" "$2" -p 0 -o beginning -q) || die "rdkafka_performance: $(tail -2 <<<"$text")"
  done
  note_rdkafka "$1" "$2" "$text"
  delete_topic
}
