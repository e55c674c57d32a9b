"""The broker under test: Corelog or Apache Kafka started by us (may be killed and restarted), or one that runs already.

Every process is ended by its own id, and its data goes with it.
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import wire
from runner import Failure, Skip
from tools import DEST, KAFKA_SH, tail

# Of a broker whose shards are nodes.
SHARDS = 2
READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
PORTS = (20_000, 32_000)
# Segments small enough that the small text closes some; Kafka accepts no less.
SETTINGS = {"num.partitions": "1"}


def free_port():
    """Below the range from which clients get theirs: a client that reconnects to a dead broker's port there may connect to itself."""
    while True:
        port = random.randrange(*PORTS)
        if is_free(port):
            return port


def is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def free_ports(count):
    """The first of so many free ports without a gap."""
    while True:
        first = free_port()
        if all(is_free(port) for port in range(first + 1, first + count)):
            return first


def answers(bootstrap):
    try:
        with wire.Connection(bootstrap, 2) as connection:
            return bool(connection.versions())
    except (OSError, ValueError):
        return False


def alive(pid):
    """Whether the process runs; one that ended but was not waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Running:
    """A broker that somebody else started: it is only talked to."""

    name = "broker"
    owned = False

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        if not answers(bootstrap):
            raise Failure(f"nothing answers as a Kafka broker at {bootstrap}")

    def node_address(self):
        """What a node's address matches: the only one's, unless shards are nodes."""
        return re.escape(self.bootstrap)

    def need_owned(self):
        if not self.owned:
            raise Skip("the broker is not ours to stop (--bootstrap)")

    def close(self):
        pass


class Owned(Running):
    """A broker that this run starts, stops, kills and starts again on the same data and port."""

    owned = True

    def __init__(self, settings=None):
        DEST.mkdir(parents=True, exist_ok=True)
        self.work = Path(tempfile.mkdtemp(prefix="run-", dir=DEST))
        self.data = self.work / "data"
        self.log = self.work / "broker.log"
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.settings = {**SETTINGS, **(settings or {})}
        self.pid = None

    def start(self):
        """Starts it and waits until it answers; returns how many seconds that took."""
        began = time.monotonic()
        self.launch()
        while not answers(self.bootstrap):
            if not alive(self.pid):
                raise Failure(f"the broker ended while starting: {tail(self.log.read_bytes())}")
            if time.monotonic() - began > READY_SECONDS_MAX:
                raise Failure(f"the broker did not answer within {READY_SECONDS_MAX} s: {tail(self.log.read_bytes())}")
            time.sleep(0.02)
        return time.monotonic() - began

    def end_with(self, sent):
        """Sends a signal and waits until the process has ended; returns how many seconds that took."""
        began = time.monotonic()
        os.kill(self.pid, sent)
        late = False
        while alive(self.pid):
            if not late and time.monotonic() - began > STOP_SECONDS_MAX:
                os.kill(self.pid, signal.SIGKILL)
                late = True
            time.sleep(0.01)
        self.reap()
        if late:
            raise Failure(f"the broker did not end within {STOP_SECONDS_MAX} s of {sent.name}")
        return time.monotonic() - began

    def stop(self):
        return self.end_with(signal.SIGTERM)

    def kill(self):
        return self.end_with(signal.SIGKILL)

    def memory_kb(self):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        raise Failure("the broker's process is gone")

    def close(self):
        if self.pid and alive(self.pid):
            try:
                self.stop()
            except Failure as late:
                print(f"note: {late}")
        if self.log.exists():
            shutil.copy(self.log, DEST / "last-broker.log")
        shutil.rmtree(self.work, ignore_errors=True)


class Corelog(Owned):
    name = "Corelog"

    def __init__(self, binary, settings=None, per_shard=False):
        super().__init__(settings)
        self.per_shard = per_shard
        if per_shard:
            first = free_ports(SHARDS)
            own = {"corelog.advertise": "per-shard", "corelog.shard.port.first": str(first), "corelog.shards": str(SHARDS)}
            self.settings = {**own, **self.settings}
        self.binary = binary
        self.admin = f"127.0.0.1:{free_port()}"
        self.process = None

    def node_address(self):
        return r"127\.0\.0\.1:\d+" if self.per_shard else super().node_address()

    def command(self, data=None, listen=None, admin=None):
        listen = listen or self.bootstrap
        command = [str(self.binary), "serve", "--data-dir", str(data or self.data), "--listen", listen]
        command += ["--admin", admin or self.admin]
        for name, value in self.settings.items():
            command += ["--set", f"{name}={value}"]
        return command

    def launch(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self.process.pid

    def reap(self):
        self.process.wait()


class Kafka(Owned):
    """Apache Kafka itself, against which these tests are checked."""

    name = "Kafka"

    def __init__(self, settings=None):
        super().__init__(settings)
        self.controller = free_port()

    def launch(self):
        command = [str(KAFKA_SH), "start", "--port", str(self.port), "--controller-port", str(self.controller)]
        command += ["--dir", str(self.data)]
        for name, value in self.settings.items():
            command += ["--set", f"{name}={value}"]
        with open(self.log, "ab") as log:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, timeout=90)
        self.pid = int((self.data / "kafka.pid").read_text())

    def reap(self):
        # It is not our child: its first thread may have ended while others still hold the port.
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                    break
            time.sleep(0.02)
        (self.data / "kafka.pid").unlink(missing_ok=True)


def end_cleanly():
    """Makes SIGTERM and SIGHUP end this process through its `finally` clauses, which stop the broker and remove its data."""
    for sent in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sent, lambda number, _: sys.exit(128 + number))


def find_binary(given, root):
    """The Corelog binary to test: the given one, or a release build, or a debug build."""
    candidates = [Path(given)] if given else [root / "target" / kind / "corelog" for kind in ("release", "debug")]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise Failure(f"there is no Corelog binary at {' or '.join(map(str, candidates))}: build it first")
