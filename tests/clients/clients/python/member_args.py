"""What the group members of these tests speak, in every language: words on stdin, lines on stdout.

    PROGRAM member --bootstrap B --topic T --group G [--protocol classic|consumer] [--assignor NAME] [--instance I]
                   [--metadata M] [--session MS] [--commit each|asked]

The member starts at the earliest record where nothing is committed, and with `--commit each` commits what it has printed
before it reads more. It prints

    assigned 0,1            partitions given to it (cooperative clients: those added)
    revoked 0,1             partitions taken from it
    record P OFFSET VALUE   a record, before it is committed
    committed P:OFFSET …    a commit that the broker accepted: the next offset of each partition
    fetched P:OFFSET:META … what the broker says is committed (META is `?` where the client does not show it)
    error TEXT              a commit or a poll that failed; the member goes on
    closed                  it left its group

and obeys `commit`, `fetch`, `seek P OFFSET` and `stop`; the end of stdin stops it as well.
"""

import argparse
import queue
import sys
import threading


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=("member",))
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--protocol", default="classic", choices=("classic", "consumer"))
    parser.add_argument("--assignor", default="")
    parser.add_argument("--instance", default="")
    parser.add_argument("--metadata", default="")
    parser.add_argument("--session", type=int, default=10_000)
    parser.add_argument("--commit", default="each", choices=("each", "asked"))
    return parser.parse_args()


def say(*words):
    # In one write: print() of several words is several of them where stdout is not buffered, and a kill falls between two.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def say_partitions(word, partitions):
    say(word, ",".join(str(number) for number in sorted(partitions)))


def say_committed(offsets):
    say("committed", " ".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items())))


def say_fetched(found):
    """`found` holds (partition, offset, metadata)."""
    say("fetched", " ".join(f"{partition}:{offset}:{metadata}" for partition, offset, metadata in sorted(found)))


def say_error(error):
    say("error", f"{type(error).__name__}: {error}".replace("\n", " "))


class Words:
    """What arrives on stdin, read beside the client's own loop."""

    def __init__(self):
        self.arrived = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in sys.stdin:
            self.arrived.put(line.split())
        self.arrived.put(["stop"])

    def next(self):
        """The next command as a list of words, or None."""
        try:
            return self.arrived.get_nowait()
        except queue.Empty:
            return None
