#!/usr/bin/env bash
# Installs what the client tests drive, under target/clients, by package name and pinned version.
#
#   tests/clients/setup.sh
#
# Each part that is installed already costs a few milliseconds. A part whose runtime is missing, or that does not
# install, is said so in one line and leaves no mark: the tests then skip it, visibly. The exit status is 0 all the same.
set -uo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
ROOT="$(cd "$HERE/../.." && pwd)"
DEST="${CLIENT_TESTS_DIR:-$ROOT/target/clients}"
KAFKA_SH="${KAFKA_PEER_SH:-$ROOT/benches/peers/kafka.sh}"
PLATFORMATIC=1.35.0
NEED_GO=1.26

mkdir -p "$DEST"
# Several checks may start at once: one installs, the others wait for it.
exec 9>"$DEST/.lock"
flock 9 2>/dev/null || true

say() { echo "setup: $*"; }
have() { command -v "$1" >/dev/null 2>&1; }

# A part is done when its stamp holds the checksum of everything that decides what it installs.
stamp_of() { cat "$@" | cksum | tr ' ' '-'; }
is_done() { [ -f "$DEST/$1.done" ] && [ "$(cat "$DEST/$1.done")" = "$2" ]; }
mark_done() { echo "$2" >"$DEST/$1.done"; }

run_logged() {
  local part="$1"
  shift
  "$@" >"$DEST/$part.log" 2>&1 || { say "$part: failed, the last lines of $DEST/$part.log are:"; tail -5 "$DEST/$part.log"; return 1; }
}

setup_python() {
  have python3 || { say "python: skipped, python3 is not installed"; return; }
  local stamp
  stamp="$(stamp_of "$HERE/requirements.txt" <(python3 -V))"
  is_done python "$stamp" && return
  say "python: installing $(grep -c == "$HERE/requirements.txt") packages"
  rm -rf "$DEST/python" "$DEST/python.done"
  run_logged python python3 -m venv "$DEST/python" || return
  run_logged python "$DEST/python/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
    -r "$HERE/requirements.txt" || return
  mark_done python "$stamp"
}

# The lock file of npm would name the registry: versions are pinned in package.json instead.
setup_node() {
  have node && have npm || { say "node: skipped, node or npm is not installed"; return; }
  local stamp
  stamp="$(stamp_of "$HERE/clients/node/package.json" <(node -v; echo "$PLATFORMATIC"))"
  is_done node "$stamp" && return
  say "node: installing kafkajs, its codecs and @platformatic/kafka"
  rm -rf "$DEST/node" "$DEST/node.done"
  mkdir -p "$DEST/node"
  cp "$HERE/clients/node/package.json" "$DEST/node/"
  run_logged node npm install --prefix "$DEST/node" --no-package-lock --no-audit --no-fund --ignore-scripts || return
  run_logged platformatic npm install --prefix "$DEST/node" --no-package-lock --no-audit --no-fund --ignore-scripts \
    --no-save "@platformatic/kafka@$PLATFORMATIC" || say "node: @platformatic/kafka does not install here, its tests are skipped"
  mark_done node "$stamp"
}

setup_go() {
  have go || { say "go: skipped, go is not installed"; return; }
  local stamp
  stamp="$(stamp_of "$HERE"/clients/go/*.go "$HERE"/clients/go/go.mod <(go version))"
  is_done go "$stamp" && return
  say "go: building the franz-go, sarama and kafka-go programs (go $NEED_GO or later, or a toolchain it can fetch)"
  rm -f "$DEST/go-clients" "$DEST/go.done"
  (cd "$HERE/clients/go" && GOFLAGS=-buildvcs=false run_logged go go build -o "$DEST/go-clients" .) || return
  mark_done go "$stamp"
}

setup_java() {
  have java && have mvn || { say "java: skipped, a JDK or Maven is not installed"; return; }
  [ -x "$KAFKA_SH" ] || { say "java: skipped, $KAFKA_SH is not there"; return; }
  [ -f "$DEST/java.done" ] && return
  run_logged java "$KAFKA_SH" install || return
  mark_done java installed
}

setup_java_programs() {
  [ -f "$DEST/java.done" ] && have javac || { say "java-programs: skipped, Apache Kafka or javac is not there"; return; }
  local stamp
  stamp="$(stamp_of "$HERE"/clients/java/*.java)"
  is_done java-programs "$stamp" && return
  say "java-programs: compiling the Java group member"
  rm -rf "$DEST/java-programs" "$DEST/java-programs.done"
  run_logged java-programs javac -d "$DEST/java-programs" -cp "$("$KAFKA_SH" classpath)" "$HERE"/clients/java/*.java || return
  mark_done java-programs "$stamp"
}

setup_kcat() {
  have kcat && return
  have apt-get || { say "kcat: skipped, it is neither installed nor is apt-get there to install it"; return; }
  [ "$(id -u)" = 0 ] || { say "kcat: skipped, installing the package kcat needs root"; return; }
  say "kcat: installing the Debian package"
  run_logged kcat apt-get install -y --no-install-recommends kcat && return
  run_logged kcat apt-get update && run_logged kcat apt-get install -y --no-install-recommends kcat
}

setup_python
setup_node
setup_go
setup_java
setup_java_programs
setup_kcat
exit 0
