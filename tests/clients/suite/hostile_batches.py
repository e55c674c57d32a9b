"""Record batches that are wrong in one way each, with what Apache Kafka 4.2 answers to them (Produce 7 to one partition).

Each case is (the bytes, the set of right error codes); None in the set stands for a closed connection.
"""

import gzip
import zlib

from wire import batch, i8, i32, i64, record, varint

UNKNOWN_SERVER_ERROR, NONE, CORRUPT, TOO_LARGE, INVALID_TIMESTAMP = -1, 0, 2, 10, 32
INVALID_REQUEST, INVALID_EPOCH, INVALID_TXN_STATE, INVALID_RECORD = 42, 47, 48, 87
TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
# Where the batch does not even have a batch's shape, either word is right.
BROKEN = {CORRUPT, INVALID_RECORD}
# Kafka has nothing better to say than -1 when decompression fails; the other two tell the client more.
UNREADABLE = {UNKNOWN_SERVER_ERROR, CORRUPT, INVALID_RECORD}
VALUE = b"hostile"
I64_MAX = (1 << 63) - 1


def old_message(magic):
    """A message of the formats before record batches, with a correct CRC-32 of its own."""
    body = i8(magic) + i8(0) + (i64(1_700_000_000_000) if magic else b"") + i32(-1) + i32(len(VALUE)) + VALUE
    message = i32(zlib.crc32(body) - (1 << 32) if zlib.crc32(body) >> 31 else zlib.crc32(body)) + body
    return i64(0) + i32(len(message)) + message


def cases():
    good = batch([VALUE])
    one = record(VALUE)
    long_record = varint(1 << 30) + one[1:]
    return {
        "a good batch": (good, {NONE}),
        "a wrong CRC": (batch([VALUE], crc=1), {CORRUPT}),
        "a flipped bit": (good[:-3] + bytes([good[-3] ^ 1]) + good[-2:], {CORRUPT}),
        "magic 0": (old_message(0), {INVALID_RECORD}),
        "magic 1": (old_message(1), {INVALID_RECORD}),
        "magic 3": (batch([VALUE], magic=3), {CORRUPT}),
        "magic -1": (batch([VALUE], magic=-1), {CORRUPT}),
        "more records claimed than there are": (batch([VALUE], count=5, last_offset_delta=4), {INVALID_RECORD}),
        "2^31-1 records claimed": (batch([VALUE], count=(1 << 31) - 1, last_offset_delta=(1 << 31) - 2), {INVALID_RECORD}),
        "count and last offset delta differ": (batch([VALUE], last_offset_delta=7), {INVALID_RECORD}),
        "no records": (batch([], records=b"", last_offset_delta=-1), {INVALID_RECORD}),
        "a negative count": (batch([VALUE], count=-1), {INVALID_RECORD}),
        "a length beyond the end": (batch([VALUE], length=1 << 20), BROKEN),
        "a length below the header": (batch([VALUE], length=10), BROKEN),
        "a negative length": (batch([VALUE], length=-1), BROKEN),
        "half a batch": (good[: len(good) // 2], BROKEN),
        "five bytes": (good[:5], BROKEN),
        "two batches": (good + good, {INVALID_RECORD}),
        "bytes after the batch": (good + b"\0" * 7, {NONE} | BROKEN),
        "bytes after the records": (batch([VALUE], records=one + b"\0\0\0"), {INVALID_RECORD}),
        "a record of a gigabyte": (batch([VALUE], records=long_record), {INVALID_RECORD}),
        "a record of a negative length": (batch([VALUE], records=varint(-7) + one[1:]), {INVALID_RECORD}),
        "an endless varint": (batch([VALUE], records=b"\xff" * 30), UNREADABLE),
        "offset deltas that repeat": (batch([VALUE, VALUE], records=one + one), {NONE, INVALID_RECORD}),
        "codec 7": (batch([VALUE], attributes=7), UNREADABLE),
        "gzip that is not gzip": (batch([VALUE], attributes=1), UNREADABLE),
        "gzip cut short": (batch([VALUE], attributes=1, records=gzip.compress(one)[:-9]), UNREADABLE),
        "snappy that is not snappy": (batch([VALUE], attributes=2), UNREADABLE),
        "lz4 that is not lz4": (batch([VALUE], attributes=3), UNREADABLE),
        "zstd that is not zstd": (batch([VALUE], attributes=4), UNREADABLE),
        "a control batch": (batch([VALUE], attributes=0x20), {INVALID_RECORD}),
        "a transactional batch without a transaction": (batch([VALUE], attributes=0x10, producer_id=7, producer_epoch=0, sequence=0), {TRANSACTIONAL_ID_AUTHORIZATION_FAILED, INVALID_TXN_STATE, INVALID_REQUEST}),
        "a producer id without a sequence": (batch([VALUE], producer_id=7, producer_epoch=0), {INVALID_RECORD}),
        "a producer's first batch in the middle of its sequence": (batch([VALUE], producer_id=99_999, producer_epoch=0, sequence=5), {NONE}),
        "a negative producer epoch": (batch([VALUE], producer_id=7, producer_epoch=-3, sequence=0), {INVALID_EPOCH, INVALID_RECORD}),
        "the greatest timestamp": (batch([VALUE], timestamp=I64_MAX), {INVALID_TIMESTAMP}),
        "a negative timestamp": (batch([VALUE], timestamp=-5), {NONE}),
        "timestamp -1": (batch([VALUE], timestamp=-1), {NONE}),
        "a maximum timestamp that is not the maximum": (batch([VALUE], max_timestamp=1), {NONE, INVALID_RECORD}),
        "a base offset of its own": (batch([VALUE], base_offset=1 << 40), {INVALID_RECORD}),
        "garbage": (bytes(range(256)) * 4, BROKEN),
        "two megabytes": (batch([b"x" * (2 << 20)]), {TOO_LARGE}),
        "no bytes": (b"", {INVALID_RECORD}),
        "null": (None, {INVALID_RECORD, INVALID_REQUEST, CORRUPT, None}),
    }


def gzip_bomb():
    """300 MB of zeros as one record, well below the size limit of a batch."""
    size = 300 << 20
    body = i8(0) + varint(0) + varint(0) + varint(-1) + varint(size)
    whole = varint(len(body) + size + 1) + body
    return batch([VALUE], attributes=1, records=_squeeze(whole, size, varint(0)))


def _squeeze(head, zeros, tail):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    out = packer.compress(head)
    for _ in range(zeros >> 20):
        out += packer.compress(b"\0" * (1 << 20))
    return out + packer.compress(tail) + packer.flush()
