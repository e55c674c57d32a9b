"""The command line that every client program of these tests has, in every language.

    produce --bootstrap B --topic T --file F [--codec C] [--acks 0|1|all] [--idempotent yes|no]
    consume --bootstrap B --topic T --out F        partition 0, from the beginning to its end
    admin   --bootstrap B --topic T                topics, configs, records, offsets by the client's admin side

A record is a line without its newline; partition 0 keeps the lines in order.
"""

import argparse

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def parse(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=("produce", "consume", "admin"))
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--file")
    parser.add_argument("--out")
    parser.add_argument("--codec", default="none", choices=CODECS)
    parser.add_argument("--acks", default="all", choices=("0", "1", "all"))
    parser.add_argument("--idempotent", default="no", choices=("yes", "no"))
    return parser.parse_args(argv)


def lines(path):
    with open(path, "rb") as source:
        for line in source:
            yield line.rstrip(b"\n")


def check(condition, text):
    """An assertion that survives `python -O` and says what was seen."""
    if not condition:
        raise SystemExit(f"check failed: {text}")
