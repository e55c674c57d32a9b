// One connection to a broker: frames out, frames in, and Kafka's own generated classes between JSON and bytes.
//
// Every answer is a JSON object. What is not a decoded answer has a key in angle brackets: "<closed>", "<silent>"
// (nothing within the time limit), "<refused>", "<undecodable>", "<trailing>" (bytes left over after the message).
package differential;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ShareFetchResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.record.BaseRecords;
import org.apache.kafka.common.record.MemoryRecords;

final class Wire implements AutoCloseable {
    static final int ANSWER_MS_MAX = 6_000;
    private static final int FRAME_BYTES_MAX = 200 << 20;

    private final InetSocketAddress address;
    private Socket socket;
    private DataInputStream in;
    private int correlation;

    Wire(InetSocketAddress address) {
        this.address = address;
    }

    // A request of one version, with the fields that the scenario gave.
    static byte[] encode(ApiKeys api, int version, JsonNode given, String client, int correlation, long startMs) {
        short v = (short) version;
        ApiMessageType type = ApiMessageType.fromApiKey(api.id);
        ObjectNode full = Schema.of(type.name + "Request").complete(given, version);
        ApiMessage body = (ApiMessage) call(type.name + "RequestDataJsonConverter", "read",
            new Class<?>[] {JsonNode.class, short.class}, withoutRecords(api, full), v);
        if (body instanceof ProduceRequestData) putRecords((ProduceRequestData) body, full, startMs);
        RequestHeaderData header = new RequestHeaderData().setRequestApiKey(api.id).setRequestApiVersion(v)
            .setCorrelationId(correlation).setClientId(client);
        ByteBuffer head = MessageUtil.toByteBufferAccessor(header, api.requestHeaderVersion(v)).buffer();
        ByteBuffer rest = MessageUtil.toByteBufferAccessor(body, v).buffer();
        return ByteBuffer.allocate(head.remaining() + rest.remaining()).put(head).put(rest).array();
    }

    private static JsonNode withoutRecords(ApiKeys api, ObjectNode full) {
        if (api != ApiKeys.PRODUCE) return full;
        ObjectNode copy = full.deepCopy();
        for (JsonNode topic : copy.path("topicData")) {
            for (JsonNode partition : topic.path("partitionData")) ((ObjectNode) partition).putNull("records");
        }
        return copy;
    }

    private static void putRecords(ProduceRequestData body, ObjectNode full, long startMs) {
        int t = 0;
        for (ProduceRequestData.TopicProduceData topic : body.topicData()) {
            int p = 0;
            for (ProduceRequestData.PartitionProduceData partition : topic.partitionData()) {
                JsonNode spec = full.get("topicData").get(t).get("partitionData").get(p++).get("records");
                BaseRecords records = spec == null || spec.isNull() ? null
                    : MemoryRecords.readableRecords(ByteBuffer.wrap(spec.isBinary() ? new byte[0] : Batches.build(spec, startMs)));
                partition.setRecords(records);
            }
            t++;
        }
    }

    // `frame` begins with the request header and has no length in front.
    void send(byte[] frame) throws IOException {
        sendBytes(ByteBuffer.allocate(4 + frame.length).putInt(frame.length).put(frame).array());
    }

    void sendBytes(byte[] bytes) throws IOException {
        if (socket == null) {
            socket = new Socket();
            socket.connect(address, ANSWER_MS_MAX);
            socket.setTcpNoDelay(true);
            in = new DataInputStream(socket.getInputStream());
        }
        socket.getOutputStream().write(bytes);
        socket.getOutputStream().flush();
    }

    int nextCorrelation() {
        return ++correlation;
    }

    // The next answer, decoded as `api` `version`; `expected` is the correlation id that it must carry, or -1.
    ObjectNode receive(ApiKeys api, int version, int expected, int limitMs) {
        byte[] frame;
        try {
            socket.setSoTimeout(limitMs);
            int length = in.readInt();
            if (length < 4 || length > FRAME_BYTES_MAX) return sign("<undecodable>", "frame length " + length);
            frame = in.readNBytes(length);
            if (frame.length < length) throw new EOFException();
        } catch (SocketTimeoutException e) {
            return sign("<silent>", "no answer");
        } catch (IOException e) {
            close();
            return sign("<closed>", "connection closed");
        }
        return decode(api, version, expected, ByteBuffer.wrap(frame));
    }

    private static ObjectNode decode(ApiKeys api, int version, int expected, ByteBuffer frame) {
        String hex = HexFormat.of().formatHex(frame.array(), 0, Math.min(64, frame.limit()));
        int got = frame.getInt();
        if (expected >= 0 && got != expected) return sign("<undecodable>", "correlation id is not the request's");
        try {
            short v = (short) version;
            if (api.responseHeaderVersion(v) > 0) skipTags(frame);
            ApiMessageType type = ApiMessageType.fromApiKey(api.id);
            ApiMessage body = type.newResponse();
            body.read(new ByteBufferAccessor(frame), v);
            ObjectNode json = (ObjectNode) call(type.name + "ResponseDataJsonConverter", "write",
                new Class<?>[] {body.getClass(), short.class, boolean.class}, body, v, false);
            if (body instanceof FetchResponseData) showRecords((FetchResponseData) body, json);
            if (body instanceof ShareFetchResponseData) showShared((ShareFetchResponseData) body, json);
            if (frame.hasRemaining()) json.put("<trailing>", frame.remaining());
            return json;
        } catch (RuntimeException e) {
            return sign("<undecodable>", e + " in " + hex);
        }
    }

    private static void skipTags(ByteBuffer frame) {
        int count = org.apache.kafka.common.utils.ByteUtils.readUnsignedVarint(frame);
        for (int i = 0; i < count; i++) {
            org.apache.kafka.common.utils.ByteUtils.readUnsignedVarint(frame);
            int size = org.apache.kafka.common.utils.ByteUtils.readUnsignedVarint(frame);
            frame.position(frame.position() + size);
        }
    }

    private static void showRecords(FetchResponseData body, ObjectNode json) {
        int t = 0;
        for (FetchResponseData.FetchableTopicResponse topic : body.responses()) {
            int p = 0;
            for (FetchResponseData.PartitionData partition : topic.partitions()) {
                ObjectNode node = (ObjectNode) json.get("responses").get(t).get("partitions").get(p++);
                MemoryRecords records = (MemoryRecords) partition.records();
                node.set("records", records == null ? JsonNodeFactory.instance.nullNode() : Batches.describe(records.buffer()));
            }
            t++;
        }
    }

    // Its topics are a collection of their own, in the order of the JSON.
    private static void showShared(ShareFetchResponseData body, ObjectNode json) {
        int t = 0;
        for (ShareFetchResponseData.ShareFetchableTopicResponse topic : body.responses()) {
            int p = 0;
            for (ShareFetchResponseData.PartitionData partition : topic.partitions()) {
                ObjectNode node = (ObjectNode) json.get("responses").get(t).get("partitions").get(p++);
                MemoryRecords records = (MemoryRecords) partition.records();
                node.set("records", records == null ? JsonNodeFactory.instance.nullNode() : Batches.describe(records.buffer()));
            }
            t++;
        }
    }

    static ObjectNode sign(String key, String text) {
        return JsonNodeFactory.instance.objectNode().put(key, text);
    }

    private static Object call(String converter, String method, Class<?>[] types, Object... arguments) {
        try {
            Method m = Class.forName("org.apache.kafka.common.message." + converter).getMethod(method, types);
            return m.invoke(null, arguments);
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof RuntimeException) throw (RuntimeException) e.getCause();
            throw new IllegalStateException(e.getCause());
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(converter + "." + method, e);
        }
    }

    @Override
    public void close() {
        try {
            if (socket != null) socket.close();
        } catch (IOException e) {
            // A connection that is given up may fail to close; nothing depends on it.
        }
        socket = null;
        in = null;
    }
}
