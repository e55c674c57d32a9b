"""Each producer with acks=0, 1 and all, and idempotent: what it sent is there, once, in order."""

import corpus
import exchange
import wire
from exchange import IDEMPOTENT, PRODUCERS
from tools import ROOT

SIZE = 100_000


def produce_and_read(broker, path, count, client, acks, idempotent):
    reader = exchange.reader_for(0, client)
    topic = f"acks-{client}-{acks}-{'idempotent' if idempotent else 'plain'}"
    wire.create_topic(broker.bootstrap, topic)
    exchange.produce(client, broker.bootstrap, topic, path, acks=acks, idempotent=idempotent, seconds=60)
    exchange.settle(broker.bootstrap, topic, count)
    out = path.with_suffix(".came")
    exchange.read(reader, broker.bootstrap, topic, out, count, seconds=60)
    exchange.same(path, out)
    wire.delete_topic(broker.bootstrap, topic)


def steps(suite, broker, options):
    path = options.work / "acks"
    count = corpus.write(ROOT, path, SIZE, blank_lines=False)
    for client in PRODUCERS:
        for acks in ("0", "1", "all"):
            suite.step(f"producers: {client} acks={acks}", produce_and_read, broker, path, count, client, acks, False)
        if client in IDEMPOTENT:
            suite.step(f"producers: {client} idempotent", produce_and_read, broker, path, count, client, "all", True)
