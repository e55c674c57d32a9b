"""Drives real clients of several languages against a broker: see ../run.sh for the options."""

import argparse
import sys
import tempfile
from pathlib import Path

import broker as brokers
import steps_admin
import steps_command
import steps_compaction
import steps_crash
import steps_groups
import steps_groups_admin
import steps_groups_mixed
import steps_groups_restart
import steps_groups_tools
import steps_hostile
import steps_offsets
import steps_producers
import steps_restart
import steps_text
import steps_tutorial
import steps_waiting
import tools
from runner import Failure, Suite

SECTIONS = {
    "tutorial": steps_tutorial,
    "command": steps_command,
    "text": steps_text,
    "producers": steps_producers,
    "admin": steps_admin,
    "waiting": steps_waiting,
    "hostile": steps_hostile,
    "offsets": steps_offsets,
    "compaction": steps_compaction,
    "groups": steps_groups,
    "groups-admin": steps_groups_admin,
    "mixed": steps_groups_mixed,
    "groups-restart": steps_groups_restart,
    "groups-tutorial": steps_groups_tools,
    "restart": steps_restart,
    "crash": steps_crash,
}


def options():
    parser = argparse.ArgumentParser(prog="tests/clients/run.sh")
    parser.add_argument("--broker-binary", metavar="PATH", help="the Corelog to test (default: the release build, else the debug build)")
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="a broker that runs already; nothing that stops it is tried")
    parser.add_argument("--kafka", action="store_true", help="start Apache Kafka instead: the tests must pass against it too")
    parser.add_argument("--per-shard", action="store_true", help="each of two shards of Corelog is a node to the clients")
    parser.add_argument("--size", choices=("small", "large"), default="small")
    parser.add_argument("--only", metavar="PATTERN", help="only steps whose name matches this regular expression")
    parser.add_argument("--rounds", type=int, help="how often to kill -9 under load (default 5, and 20 at the large size)")
    parser.add_argument("--seed", type=int, help="repeats what compaction and offsets draw: a failure tells its seed")
    parser.add_argument("--verbose", action="store_true", help="show where an unexpected error came from")
    return parser.parse_args()


def find_command_line(chosen):
    """The `corelog` whose commands are tested, whatever broker they speak to."""
    try:
        tools.BINARY.append(brokers.find_binary(chosen.broker_binary, tools.ROOT))
    except Failure:
        pass


def make_broker(chosen):
    find_command_line(chosen)
    if chosen.bootstrap:
        return brokers.Running(chosen.bootstrap)
    if chosen.kafka:
        chosen.fresh = brokers.Kafka
    else:
        binary = brokers.find_binary(chosen.broker_binary, tools.ROOT)
        chosen.fresh = lambda settings=None: brokers.Corelog(binary, settings, chosen.per_shard)
    made = chosen.fresh()
    try:
        made.start()
    except BaseException:
        made.close()
        raise
    return made


def run_section(suite, name, section, broker, chosen):
    """A section that fails outside its steps fails as one, and a broker that died is started again for the next."""
    try:
        section.steps(suite, broker, chosen)
    except Exception as error:
        suite.fail(f"{name}: the section broke off", error)
    if broker.owned and not brokers.alive(broker.pid):
        suite.fail(f"{name}: the broker is still running", Failure(f"it ended: {tools.tail(broker.log.read_bytes())}"))
        broker.start()


def main():
    chosen = options()
    brokers.end_cleanly()
    suite = Suite(chosen.only, chosen.verbose)
    try:
        broker = make_broker(chosen)
    except Failure as failure:
        print(f"FAILED   start the broker: {failure}")
        suite.failed += 1
        return suite.summary()
    tools.DEST.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="work-", dir=tools.DEST) as work:
        chosen.work = Path(work)
        try:
            for name, section in SECTIONS.items():
                run_section(suite, name, section, broker, chosen)
        finally:
            broker.close()
    return suite.summary()


if __name__ == "__main__":
    sys.exit(main())
