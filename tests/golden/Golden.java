// Has Kafka's own generated classes write messages and coordinator records, as golden bytes for tests.
//
//     KAFKA=target/peers/kafka-4.2.0      # see benches/peers/kafka.sh install
//     java -cp "$KAFKA/libs/*" tests/golden/Golden.java FILE
//
// FILE is rewritten in place. Its lines are `NAME VERSION JSON`, with names and fields as in Kafka's schemas; after each, this
// puts a line `> HEX`. Other lines stay. A name that ends in `Key` gets its record type in front, one that ends in `Value` its
// version, as in the coordinators' topics; other names are bodies of requests and responses.
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;

public final class Golden {
    private static final List<String> PACKAGES = List.of(
        "org.apache.kafka.coordinator.group.generated.",
        "org.apache.kafka.coordinator.share.generated.",
        "org.apache.kafka.common.message.");

    public static void main(String[] arguments) throws Exception {
        Path file = Path.of(arguments[0]);
        List<String> written = new ArrayList<>();
        for (String line : Files.readAllLines(file)) {
            if (line.startsWith(">")) {
                continue;
            }
            written.add(line);
            if (!line.isBlank() && !line.startsWith("#")) {
                String[] parts = line.split(" ", 3);
                written.add("> " + hex(parts[0], Short.parseShort(parts[1]), parts[2]));
            }
        }
        Files.write(file, written);
    }

    private static String hex(String name, short version, String json) throws Exception {
        boolean key = name.endsWith("Key");
        boolean value = name.endsWith("Value");
        Class<?> converter = converter(key || value ? name : name + "Data");
        JsonNode node = new ObjectMapper().readTree(json);
        Object message = converter.getMethod("read", JsonNode.class, short.class).invoke(null, node, version);
        ByteBuffer bytes;
        if (key) {
            bytes = ByteBuffer.wrap(MessageUtil.toCoordinatorTypePrefixedBytes((ApiMessage) message));
        } else if (value) {
            bytes = ByteBuffer.wrap(MessageUtil.toVersionPrefixedBytes(version, (Message) message));
        } else {
            bytes = MessageUtil.toByteBufferAccessor((Message) message, version).buffer();
        }
        byte[] all = new byte[bytes.remaining()];
        bytes.get(all);
        return HexFormat.of().formatHex(all);
    }

    private static Class<?> converter(String name) throws ClassNotFoundException {
        for (String each : PACKAGES) {
            try {
                return Class.forName(each + name + "JsonConverter");
            } catch (ClassNotFoundException missing) {
                // The next package may have it.
            }
        }
        throw new ClassNotFoundException(name);
    }
}
