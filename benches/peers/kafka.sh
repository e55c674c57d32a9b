#!/usr/bin/env bash
# Apache Kafka 4.2.0 as a peer: installs it under target/, runs one KRaft node of it, runs its tools.
#
#   benches/peers/kafka.sh install
#   benches/peers/kafka.sh start --port P --controller-port C --dir D [--set name=value]...
#   benches/peers/kafka.sh stop --dir D
#   benches/peers/kafka.sh tool NAME [argument...]     NAME as in Kafka's bin/, without .sh
#   benches/peers/kafka.sh tools                       lists the names
#   benches/peers/kafka.sh classpath
#
# KAFKA_PEER_HOME  where to install (default target/peers/kafka-4.2.0)
# KAFKA_HEAP       heap of the broker (default 1g) · KAFKA_TOOL_HEAP  heap of a tool (default 256m)
# KAFKA_JVM_OPTS   further options for either
#
# A directory that was started before keeps its data: start does not format it again.
set -euo pipefail

VERSION=4.2.0
SCALA=2.13
LOG4J=2.25.1
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
HOME_DIR="${KAFKA_PEER_HOME:-$ROOT/target/peers/kafka-$VERSION}"
LIBS="$HOME_DIR/libs"
START_SECONDS_MAX=60
STOP_SECONDS_MAX=30

say() { echo "kafka.sh: $*" >&2; }
die() { say "$*"; exit 1; }

need() { command -v "$1" >/dev/null 2>&1 || die "$1 is needed: install $2"; }

write_pom() {
  cat >"$HOME_DIR/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>peers</groupId><artifactId>kafka-peer</artifactId><version>$VERSION</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_$SCALA</artifactId><version>$VERSION</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$VERSION</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>$LOG4J</version></dependency>
  </dependencies>
</project>
POM
}

# $1 file, $2 level: everything goes to stderr, so that a tool's own output stays clean.
write_log4j() {
  cat >"$1" <<CONF
status = error
appender.err.type = Console
appender.err.name = err
appender.err.target = SYSTEM_ERR
appender.err.layout.type = PatternLayout
appender.err.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = $2
rootLogger.appenderRef.err.ref = err
CONF
}

install() {
  [ -f "$HOME_DIR/.complete" ] && return 0
  need java "a JDK, 17 or later"
  need mvn "Maven"
  mkdir -p "$HOME_DIR"
  # Several checks may start at once: one installs, the others wait for it.
  exec 9>"$HOME_DIR/.lock"
  flock 9
  if [ ! -f "$HOME_DIR/.complete" ]; then
    say "installing Apache Kafka $VERSION into $HOME_DIR"
    write_pom
    write_log4j "$HOME_DIR/log4j2-broker.properties" INFO
    write_log4j "$HOME_DIR/log4j2-tool.properties" WARN
    rm -rf "$LIBS"
    mvn -q -B -f "$HOME_DIR/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
      -DoutputDirectory="$LIBS" >&2 || die "Maven could not fetch Apache Kafka $VERSION"
    [ -f "$LIBS/kafka_$SCALA-$VERSION.jar" ] || die "the broker is missing from $LIBS"
    touch "$HOME_DIR/.complete"
  fi
  exec 9>&-
}

java_tool() {
  # shellcheck disable=SC2086
  java -Xmx"${KAFKA_TOOL_HEAP:-256m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto \
    -Dlog4j2.configurationFile="file:$HOME_DIR/log4j2-tool.properties" ${KAFKA_JVM_OPTS:-} -cp "$LIBS/*" "$@"
}

TOOLS="
kafka-acls org.apache.kafka.tools.AclCommand
kafka-broker-api-versions org.apache.kafka.tools.BrokerApiVersionsCommand
kafka-client-metrics org.apache.kafka.tools.ClientMetricsCommand
kafka-cluster org.apache.kafka.tools.ClusterTool
kafka-configs kafka.admin.ConfigCommand
kafka-console-consumer org.apache.kafka.tools.consumer.ConsoleConsumer
kafka-console-producer org.apache.kafka.tools.ConsoleProducer
kafka-console-share-consumer org.apache.kafka.tools.consumer.ConsoleShareConsumer
kafka-consumer-groups org.apache.kafka.tools.consumer.group.ConsumerGroupCommand
kafka-consumer-perf-test org.apache.kafka.tools.ConsumerPerformance
kafka-delegation-tokens org.apache.kafka.tools.DelegationTokenCommand
kafka-delete-records org.apache.kafka.tools.DeleteRecordsCommand
kafka-dump-log kafka.tools.DumpLogSegments
kafka-e2e-latency org.apache.kafka.tools.EndToEndLatency
kafka-features org.apache.kafka.tools.FeatureCommand
kafka-get-offsets org.apache.kafka.tools.GetOffsetShell
kafka-groups org.apache.kafka.tools.GroupsCommand
kafka-jmx org.apache.kafka.tools.JmxTool
kafka-leader-election org.apache.kafka.tools.LeaderElectionCommand
kafka-log-dirs org.apache.kafka.tools.LogDirsCommand
kafka-metadata-quorum org.apache.kafka.tools.MetadataQuorumCommand
kafka-producer-perf-test org.apache.kafka.tools.ProducerPerformance
kafka-reassign-partitions org.apache.kafka.tools.reassign.ReassignPartitionsCommand
kafka-replica-verification org.apache.kafka.tools.ReplicaVerificationTool
kafka-share-consumer-perf-test org.apache.kafka.tools.ShareConsumerPerformance
kafka-share-groups org.apache.kafka.tools.consumer.group.ShareGroupCommand
kafka-storage kafka.tools.StorageTool
kafka-streams-application-reset org.apache.kafka.tools.StreamsResetter
kafka-streams-groups org.apache.kafka.tools.streams.StreamsGroupCommand
kafka-topics org.apache.kafka.tools.TopicCommand
kafka-transactions org.apache.kafka.tools.TransactionsCommand
kafka-verifiable-consumer org.apache.kafka.tools.VerifiableConsumer
kafka-verifiable-producer org.apache.kafka.tools.VerifiableProducer
kafka-verifiable-share-consumer org.apache.kafka.tools.VerifiableShareConsumer
"

tool() {
  local name="${1:?tool: which one? see: kafka.sh tools}"
  shift
  name="${name%.sh}"
  local class
  if [ "$name" = kafka-run-class ]; then
    class="${1:?kafka-run-class: which class?}"
    shift
  else
    class="$(awk -v n="$name" '$1 == n { print $2 }' <<<"$TOOLS")"
    [ -n "$class" ] || die "no tool named $name; see: kafka.sh tools"
  fi
  install
  java_tool "$class" "$@"
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

running() { [ -f "$1/kafka.pid" ] && kill -0 "$(cat "$1/kafka.pid")" 2>/dev/null; }

write_properties() {
  local file="$1" dir="$2" port="$3" controller="$4"
  shift 4
  {
    echo "process.roles=broker,controller"
    echo "node.id=1"
    echo "listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller"
    echo "advertised.listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller"
    echo "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
    echo "controller.listener.names=CONTROLLER"
    echo "controller.quorum.bootstrap.servers=127.0.0.1:$controller"
    echo "log.dirs=$dir/data"
    # One node cannot hold the replicas that Kafka's defaults ask for.
    echo "offsets.topic.replication.factor=1"
    echo "transaction.state.log.replication.factor=1"
    echo "transaction.state.log.min.isr=1"
    echo "share.coordinator.state.topic.replication.factor=1"
    echo "share.coordinator.state.topic.min.isr=1"
    local setting
    for setting in "$@"; do echo "$setting"; done
  } >"$file"
}

start() {
  local port="" controller="" dir="" settings=()
  while [ $# -gt 0 ]; do
    case "$1" in
      --port) port="$2"; shift 2 ;;
      --controller-port) controller="$2"; shift 2 ;;
      --dir) dir="$2"; shift 2 ;;
      --set) settings+=("$2"); shift 2 ;;
      *) die "start: unknown option $1" ;;
    esac
  done
  [ -n "$port" ] && [ -n "$controller" ] && [ -n "$dir" ] || die "start: --port, --controller-port and --dir are needed"
  install
  mkdir -p "$dir"
  dir="$(cd "$dir" && pwd)"
  running "$dir" && die "already running in $dir"
  port_open "$port" && die "port $port is taken"
  port_open "$controller" && die "port $controller is taken"
  write_properties "$dir/server.properties" "$dir" "$port" "$controller" ${settings[@]+"${settings[@]}"}
  if [ ! -f "$dir/data/meta.properties" ]; then
    local cluster
    cluster="$(java_tool kafka.tools.StorageTool random-uuid)"
    java_tool kafka.tools.StorageTool format --standalone -t "$cluster" -c "$dir/server.properties" \
      >"$dir/format.log" 2>&1 || { cat "$dir/format.log" >&2; die "formatting failed"; }
  fi
  # shellcheck disable=SC2086
  setsid nohup java -Xmx"${KAFKA_HEAP:-1g}" -Xms"${KAFKA_HEAP:-1g}" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
    -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true -Dlog4j2.configurationFile="file:$HOME_DIR/log4j2-broker.properties" \
    ${KAFKA_JVM_OPTS:-} -cp "$LIBS/*" kafka.Kafka "$dir/server.properties" </dev/null >>"$dir/server.log" 2>&1 &
  echo $! >"$dir/kafka.pid"
  local tenths=$((START_SECONDS_MAX * 10))
  until port_open "$port"; do
    running "$dir" || { tail -20 "$dir/server.log" >&2; die "Kafka ended while starting"; }
    tenths=$((tenths - 1))
    [ "$tenths" -gt 0 ] || { stop --dir "$dir"; die "Kafka did not open port $port within $START_SECONDS_MAX s, see $dir/server.log"; }
    sleep 0.1
  done
  say "Apache Kafka $VERSION on 127.0.0.1:$port, pid $(cat "$dir/kafka.pid"), log $dir/server.log"
}

stop() {
  [ "${1:-}" = --dir ] && [ -n "${2:-}" ] || die "stop: --dir is needed"
  local dir="$2"
  if ! running "$dir"; then
    rm -f "$dir/kafka.pid"
    return 0
  fi
  local pid tenths
  pid="$(cat "$dir/kafka.pid")"
  kill "$pid" 2>/dev/null || true
  tenths=$((STOP_SECONDS_MAX * 10))
  while kill -0 "$pid" 2>/dev/null; do
    tenths=$((tenths - 1))
    if [ "$tenths" -eq 0 ]; then
      say "Kafka did not stop within $STOP_SECONDS_MAX s: killing it"
      kill -9 "$pid" 2>/dev/null || true
    fi
    sleep 0.1
  done
  rm -f "$dir/kafka.pid"
}

command="${1:-}"
[ $# -gt 0 ] && shift
case "$command" in
  install) install ;;
  start) start "$@" ;;
  stop) stop "$@" ;;
  tool) tool "$@" ;;
  tools) awk 'NF { print $1 }' <<<"$TOOLS"; echo kafka-run-class ;;
  classpath) install; echo "$LIBS/*" ;;
  *) sed -n '2,/^set /p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//' >&2; exit 2 ;;
esac
