"""The command line that every client program of these tests has, in every language.

    produce --bootstrap B --topic T --file F [--codec C] [--acks 0|1|all] [--idempotent yes|no]
    consume --bootstrap B --topic T --out F        partition 0, from the beginning to its end
    admin   --bootstrap B --topic T                topics, configs, records, offsets by the client's admin side
    offsets --bootstrap B --topic T --times A,B    offsets by timestamp of partition 0, as "timestamp offset" (two in Python)
    active  --bootstrap B --topic T --group G      the group by the client's admin side, while it has a member
    empty   --bootstrap B --topic T --group G      the same when it has none; it is deleted in the end

A record is a line without its newline; partition 0 keeps the lines in order. With --keyed yes a line holds a key, a tab and
a value, and none after the tab is null, a tombstone; what is read is written as offset, key and value with tabs between.
"""

import argparse

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def parse(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=("produce", "consume", "admin", "offsets", "active", "empty"))
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--group")
    parser.add_argument("--file")
    parser.add_argument("--out")
    parser.add_argument("--codec", default="none", choices=CODECS)
    parser.add_argument("--acks", default="all", choices=("0", "1", "all"))
    parser.add_argument("--idempotent", default="no", choices=("yes", "no"))
    parser.add_argument("--keyed", default="no", choices=("yes", "no"))
    parser.add_argument("--times", default="", type=lambda text: [int(time) for time in text.split(",") if time])
    return parser.parse_args(argv)


def lines(path):
    with open(path, "rb") as source:
        for line in source:
            yield line.rstrip(b"\n")


def records(args):
    """(key, value) of every line of the file."""
    for line in lines(args.file):
        if args.keyed == "yes":
            key, _, value = line.partition(b"\t")
            yield key, value or None
        else:
            yield None, line


def line_of(args, offset, key, value):
    """How a record that was read is written."""
    if args.keyed == "yes":
        return b"%d\t%s\t%s\n" % (offset, key or b"", value or b"")
    return (value or b"") + b"\n"


def check(condition, text):
    """An assertion that survives `python -O` and says what was seen."""
    if not condition:
        raise SystemExit(f"check failed: {text}")
