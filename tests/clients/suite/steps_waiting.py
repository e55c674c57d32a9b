"""A consumer at the end of its partition: it hears of new records at once, and of none after the time it gave."""

import threading
import time

import wire
from runner import check
from tools import kcat, run
from wire import Connection

TOPIC = "waiting"
SOON_SECONDS_MAX = 1.0


def hears_at_once(broker):
    with Connection(broker.bootstrap) as consumer, Connection(broker.bootstrap) as producer:
        end = consumer.offset(TOPIC, 0)[1]
        sent = []

        def later():
            time.sleep(0.3)
            sent.append(time.monotonic())
            producer.produce(TOPIC, 0, wire.batch([b"news"]))

        thread = threading.Thread(target=later)
        thread.start()
        error, _, data = consumer.fetch(TOPIC, 0, end, wait_ms=8000)
        heard = time.monotonic()
        thread.join()
        check(error == 0 and b"news" in data, f"error {error}, {len(data)} bytes")
        check(0 <= heard - sent[0] < SOON_SECONDS_MAX, f"it heard {heard - sent[0]:.2f} s after the record was sent")
    return f"{(heard - sent[0]) * 1000:.0f} ms after the record was sent"


def waits_its_time(broker):
    with Connection(broker.bootstrap) as consumer:
        end = consumer.offset(TOPIC, 0)[1]
        began = time.monotonic()
        error, mark, data = consumer.fetch(TOPIC, 0, end, wait_ms=700)
        took = time.monotonic() - began
    check((error, mark, data) == (0, end, b""), f"error {error}, mark {mark}, {len(data)} bytes")
    check(0.6 < took < 0.7 + SOON_SECONDS_MAX, f"it was answered after {took:.2f} s, not 0.7 s")


def many_wait(broker):
    """A hundred consumers of one partition, all woken by one record."""
    with Connection(broker.bootstrap) as first:
        end = first.offset(TOPIC, 0)[1]
    heard = []

    def consume():
        with Connection(broker.bootstrap) as consumer:
            error, _, data = consumer.fetch(TOPIC, 0, end, wait_ms=8000)
            heard.append((time.monotonic(), error == 0 and b"for all" in data))

    threads = [threading.Thread(target=consume) for _ in range(100)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    sent = time.monotonic()
    with Connection(broker.bootstrap) as producer:
        producer.produce(TOPIC, 0, wire.batch([b"for all"]))
    for thread in threads:
        thread.join(20)
    check(len(heard) == 100 and all(good for _, good in heard), f"{sum(good for _, good in heard)} of 100 heard it")
    slowest = max(when for when, _ in heard) - sent
    check(slowest < SOON_SECONDS_MAX, f"the last of them heard after {slowest:.2f} s")
    return f"the last after {slowest * 1000:.0f} ms"


def out_of_range(broker):
    with Connection(broker.bootstrap) as consumer:
        end = consumer.offset(TOPIC, 0)[1]
        for offset in (end + 1, 1 << 40, -1):
            error, _, data = consumer.fetch(TOPIC, 0, offset, wait_ms=100)
            check(error == 1 and not data, f"fetching from {offset}: error {error}, {len(data)} bytes")


def kcat_metadata(broker):
    out = run([kcat(), "-L", "-b", broker.bootstrap, "-t", TOPIC], seconds=30).decode()
    check(f'topic "{TOPIC}" with 1 partitions' in out and "leader" in out, out)


def steps(suite, broker, options):
    actions = (
        ("hears of a record at once", hears_at_once),
        ("is answered after the time it gave", waits_its_time),
        ("a hundred consumers hear of one record", many_wait),
        ("offsets out of range are refused", out_of_range),
        ("kcat -L", kcat_metadata),
    )
    names = [f"waiting: {name}" for name, _ in actions]
    if not any(suite.wants(name) for name in names):
        return
    wire.create_topic(broker.bootstrap, TOPIC)
    for name, (_, action) in zip(names, actions):
        suite.step(name, action, broker)
    wire.delete_topic(broker.bootstrap, TOPIC)
