"""`kill -9` during full-speed produce, in a process of its own (see kill9.py): it needs the Python clients."""

from runner import check
from tools import HERE, execute, python, tail

ROUNDS = {"small": 5, "large": 20}


def kill9(broker, options):
    broker.need_owned()
    command = [python(), "-B", HERE / "suite" / "kill9.py", "--rounds", str(options.rounds or ROUNDS[options.size])]
    command += ["--kafka"] if broker.name == "Kafka" else ["--broker-binary", broker.binary]
    status, out, err = execute(command, seconds=900)
    check(status == 0, tail(out + err))
    return out.decode().strip().splitlines()[-1]


def steps(suite, broker, options):
    suite.step("crash: kill -9 during full-speed produce", kill9, broker, options)
