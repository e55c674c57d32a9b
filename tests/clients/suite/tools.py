"""Where the clients are, and one bounded way to run any of them. Bytes in, bytes out: a line must come back as it was."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from runner import Failure, Skip

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
DEST = Path(os.environ.get("CLIENT_TESTS_DIR", ROOT / "target" / "clients"))
KAFKA_SH = Path(os.environ.get("KAFKA_PEER_SH", ROOT / "benches" / "peers" / "kafka.sh"))
UNSUPPORTED_STATUS = 77
OUTPUT_TAIL_MAX = 400

# A UTF-8 locale, or Java's tools print question marks for what is not ASCII.
ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "NODE_PATH": str(DEST / "node" / "node_modules"), "PYTHONUNBUFFERED": "1"}


def tail(data):
    text = data.decode("utf-8", "replace").strip()
    return text if len(text) <= OUTPUT_TAIL_MAX else "…" + text[-OUTPUT_TAIL_MAX:]


def execute(command, stdin=b"", seconds=120):
    """(exit status, stdout, stderr). `stdin` is bytes or a path to read from."""
    source = open(stdin, "rb") if isinstance(stdin, Path) else None
    # A session of its own: a script that is too late is ended together with what it started.
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=source or subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(None if source else stdin, timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise Failure(f"{process.args[0]} did not end within {seconds} s: {tail(out + err)}") from None
    finally:
        if source:
            source.close()
    return process.returncode, out, err


def run(command, stdin=b"", seconds=120):
    """stdout of a command that must succeed."""
    status, out, err = execute(command, stdin, seconds)
    if status == UNSUPPORTED_STATUS:
        raise Skip(tail(out))
    if status != 0:
        raise Failure(f"{Path(str(command[0])).name} ended with {status}: {tail(out + err)}")
    return out


def need(part, what):
    if not (DEST / f"{part}.done").exists():
        raise Skip(f"not installed: {what} (see tests/clients/setup.sh)")


def python():
    need("python", "the Python environment")
    return DEST / "python" / "bin" / "python"


def kcat():
    found = shutil.which("kcat")
    if not found:
        raise Skip("kcat is not installed")
    return found


def kafka_tool(name, *arguments):
    need("java", "Apache Kafka")
    if not KAFKA_SH.exists():
        raise Skip(f"{KAFKA_SH} is not there")
    return [KAFKA_SH, "tool", name, *arguments]


# The Corelog binary whose command line is tested; set by the options, absent where there is none.
BINARY = []


def corelog():
    if not BINARY:
        raise Skip("there is no Corelog binary (build it, or give --broker-binary)")
    return BINARY[0]


def program(client):
    """The command that runs one of our client programs (see client_args.py for its arguments)."""
    if client in ("kafka-python", "confluent-kafka", "aiokafka"):
        name = {"kafka-python": "kafka_python", "confluent-kafka": "confluent", "aiokafka": "aiokafka"}[client]
        return [python(), HERE / "clients" / "python" / f"{name}_client.py"]
    if client in ("kafkajs", "platformatic"):
        need("node", "kafkajs")
        if client == "platformatic" and not (DEST / "node" / "node_modules" / "@platformatic" / "kafka").exists():
            raise Skip("@platformatic/kafka is not installed")
        return ["node", HERE / "clients" / "node" / f"{client}_client.js"]
    need("go", "the Go programs")
    return [DEST / "go-clients", {"franz-go": "franz", "sarama": "sarama", "kafka-go": "kafkago"}[client]]
