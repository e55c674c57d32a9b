// Record batches: built from a scenario's description, and described again when they come back in a Fetch answer.
//
// A description is an object, or an array of them that are laid end to end. Well-formed batches come from Kafka's own
// builder; the keys of the second group then overwrite header fields, and the CRC is computed again unless `crc` is given.
//   n, size, keys, records[{k,v,ts,h}], ts, step, codec, level, magic, pid, epoch, seq, txn, control, append, baseOffset
//   length, leaderEpoch, magicByte, crc, attributes, lastOffsetDelta, baseTs, maxTs, pidField, epochField, seqField, count,
//   body (hex in place of the records), cut (bytes taken off the end), tail (hex added at the end), hex (the whole)
package differential;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.ControlRecordType;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MemoryRecordsBuilder;
import org.apache.kafka.common.record.MutableRecordBatch;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.SimpleRecord;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.utils.ByteBufferOutputStream;
import org.apache.kafka.common.utils.Crc32C;

final class Batches {
    private static final int CRC_AT = 17;
    private static final int ATTRIBUTES_AT = 21;
    private static final int RECORDS_AT = 61;
    private static final int VALUE_SHOWN_BYTES_MAX = 64;

    private Batches() {}

    static byte[] build(JsonNode spec, long startMs) {
        ByteBufferOutputStream out = new ByteBufferOutputStream(256);
        if (spec.isArray()) {
            for (JsonNode one : spec) out.write(ByteBuffer.wrap(one(one, startMs)));
        } else {
            out.write(ByteBuffer.wrap(one(spec, startMs)));
        }
        ByteBuffer all = out.buffer();
        all.flip();
        byte[] bytes = new byte[all.remaining()];
        all.get(bytes);
        return bytes;
    }

    private static byte[] one(JsonNode spec, long startMs) {
        if (spec.has("hex")) return HexFormat.of().parseHex(spec.get("hex").asText());
        byte magic = (byte) spec.path("magic").asInt(2);
        byte[] bytes = wellFormed(spec, magic, startMs);
        if (magic < 2) {
            if (spec.has("crc")) ByteBuffer.wrap(bytes).putInt(12, spec.get("crc").asInt());
        } else {
            bytes = overwritten(spec, bytes);
        }
        int cut = spec.path("cut").asInt(0);
        byte[] tail = HexFormat.of().parseHex(spec.path("tail").asText(""));
        ByteBuffer result = ByteBuffer.allocate(bytes.length - cut + tail.length);
        return result.put(bytes, 0, bytes.length - cut).put(tail).array();
    }

    private static byte[] wellFormed(JsonNode spec, byte magic, long startMs) {
        Compression codec = codec(spec);
        TimestampType type = spec.path("append").asBoolean() ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME;
        ByteBufferOutputStream out = new ByteBufferOutputStream(512);
        long pid = spec.path("pid").asLong(-1);
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(out, magic, codec, type, spec.path("baseOffset").asLong(0), startMs,
            pid, (short) spec.path("epoch").asInt(pid < 0 ? -1 : 0), spec.path("seq").asInt(pid < 0 ? -1 : 0),
            spec.path("txn").asBoolean() && pid >= 0, spec.path("control").asBoolean(), -1, Integer.MAX_VALUE);
        if (spec.path("control").asBoolean()) {
            builder.appendControlRecord(startMs, ControlRecordType.COMMIT, ByteBuffer.allocate(6));
        } else {
            for (SimpleRecord record : records(spec, startMs)) builder.append(record);
        }
        ByteBuffer built = builder.build().buffer();
        byte[] bytes = new byte[built.remaining()];
        built.duplicate().get(bytes);
        return bytes;
    }

    private static Compression codec(JsonNode spec) {
        CompressionType type = CompressionType.forName(spec.path("codec").asText("none"));
        int level = spec.path("level").asInt(0);
        if (level != 0 && type == CompressionType.GZIP) return Compression.gzip().level(level).build();
        return Compression.of(type).build();
    }

    private static List<SimpleRecord> records(JsonNode spec, long startMs) {
        List<SimpleRecord> out = new ArrayList<>();
        long ts = spec.path("ts").asLong(startMs);
        long step = spec.path("step").asLong(0);
        if (spec.has("records")) {
            for (JsonNode r : spec.get("records")) {
                out.add(new SimpleRecord(r.path("ts").asLong(ts), bytes(r.get("k")), bytes(r.get("v")), headers(r.path("h"))));
            }
            return out;
        }
        int size = spec.path("size").asInt(10);
        boolean keys = spec.path("keys").asBoolean();
        for (int i = 0; i < spec.path("n").asInt(1); i++) {
            byte[] value = new byte[size];
            for (int j = 0; j < size; j++) value[j] = (byte) ('a' + (i + j) % 26);
            byte[] key = keys ? ("k" + i).getBytes(StandardCharsets.UTF_8) : null;
            out.add(new SimpleRecord(ts + i * step, key, value));
        }
        return out;
    }

    private static byte[] bytes(JsonNode text) {
        return text == null || text.isNull() ? null : text.asText().getBytes(StandardCharsets.UTF_8);
    }

    private static Header[] headers(JsonNode given) {
        List<Header> out = new ArrayList<>();
        for (Iterator<Map.Entry<String, JsonNode>> it = given.properties().iterator(); it.hasNext(); ) {
            Map.Entry<String, JsonNode> e = it.next();
            out.add(new RecordHeader(e.getKey(), bytes(e.getValue())));
        }
        return out.toArray(new Header[0]);
    }

    private static byte[] overwritten(JsonNode spec, byte[] built) {
        byte[] bytes = built;
        if (spec.has("body")) {
            byte[] body = HexFormat.of().parseHex(spec.get("body").asText());
            bytes = ByteBuffer.allocate(RECORDS_AT + body.length).put(built, 0, RECORDS_AT).put(body).array();
            ByteBuffer.wrap(bytes).putInt(8, bytes.length - 12);
        }
        ByteBuffer b = ByteBuffer.wrap(bytes);
        if (spec.path("txn").asBoolean()) b.putShort(ATTRIBUTES_AT, (short) (b.getShort(ATTRIBUTES_AT) | 0x10));
        if (spec.has("baseOffset")) b.putLong(0, spec.get("baseOffset").asLong());
        if (spec.has("length")) b.putInt(8, spec.get("length").asInt());
        if (spec.has("leaderEpoch")) b.putInt(12, spec.get("leaderEpoch").asInt());
        if (spec.has("magicByte")) b.put(16, (byte) spec.get("magicByte").asInt());
        if (spec.has("attributes")) b.putShort(ATTRIBUTES_AT, (short) spec.get("attributes").asInt());
        if (spec.has("lastOffsetDelta")) b.putInt(23, spec.get("lastOffsetDelta").asInt());
        if (spec.has("baseTs")) b.putLong(27, spec.get("baseTs").asLong());
        if (spec.has("maxTs")) b.putLong(35, spec.get("maxTs").asLong());
        if (spec.has("pidField")) b.putLong(43, spec.get("pidField").asLong());
        if (spec.has("epochField")) b.putShort(51, (short) spec.get("epochField").asInt());
        if (spec.has("seqField")) b.putInt(53, spec.get("seqField").asInt());
        if (spec.has("count")) b.putInt(57, spec.get("count").asInt());
        long crc = Crc32C.compute(bytes, ATTRIBUTES_AT, bytes.length - ATTRIBUTES_AT);
        b.putInt(CRC_AT, spec.has("crc") ? spec.get("crc").asInt() : (int) crc);
        return bytes;
    }

    // What a Fetch answer carries, batch by batch; a batch that was cut short is reported by its length.
    static JsonNode describe(ByteBuffer buffer) {
        ArrayNode out = JsonNodeFactory.instance.arrayNode();
        MemoryRecords records = MemoryRecords.readableRecords(buffer);
        int seen = 0;
        try {
            for (MutableRecordBatch batch : records.batches()) {
                out.add(describe(batch));
                seen += batch.sizeInBytes();
            }
        } catch (RuntimeException e) {
            out.addObject().put("unreadable", String.valueOf(e));
        }
        if (seen < records.sizeInBytes()) out.addObject().put("partialBytes", records.sizeInBytes() - seen);
        return out;
    }

    private static ObjectNode describe(MutableRecordBatch batch) {
        ObjectNode o = JsonNodeFactory.instance.objectNode();
        o.put("baseOffset", batch.baseOffset()).put("lastOffset", batch.lastOffset()).put("sizeInBytes", batch.sizeInBytes());
        o.put("magic", batch.magic()).put("crcValid", batch.isValid()).put("crc", batch.checksum());
        o.put("codec", batch.compressionType().name).put("timestampType", batch.timestampType().name);
        o.put("maxTimestamp", batch.maxTimestamp()).put("partitionLeaderEpoch", batch.partitionLeaderEpoch());
        o.put("producerId", batch.producerId()).put("producerEpoch", batch.producerEpoch());
        o.put("baseSequence", batch.baseSequence()).put("isTransactional", batch.isTransactional());
        o.put("isControl", batch.isControlBatch());
        ArrayNode list = o.putArray("records");
        for (Record record : batch) {
            ObjectNode r = list.addObject();
            r.put("offset", record.offset()).put("timestamp", record.timestamp());
            r.put("key", text(record.key())).put("value", text(record.value()));
            if (record.headers().length > 0) {
                ObjectNode headers = r.putObject("headers");
                for (Header h : record.headers()) headers.put(h.key(), h.value() == null ? null : new String(h.value(), StandardCharsets.UTF_8));
            }
        }
        return o;
    }

    private static String text(ByteBuffer bytes) {
        if (bytes == null) return null;
        String all = StandardCharsets.ISO_8859_1.decode(bytes.duplicate()).toString();
        if (all.length() <= VALUE_SHOWN_BYTES_MAX) return all;
        return all.substring(0, VALUE_SHOWN_BYTES_MAX) + "… " + all.length() + " bytes, hash " + all.hashCode();
    }
}
