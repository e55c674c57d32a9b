// The message schemas that Kafka ships inside its client jar, used to complete a scenario's request for one version.
//
// A scenario names only the fields it is about. `complete` adds the defaults of the others and leaves out the fields
// that the version does not have, so that one text serves every version. A field that no version has is an error of
// the scenario. Encoding and decoding are Kafka's own generated classes: see Wire.
package differential;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

final class Schema {
    static final ObjectMapper JSON = new ObjectMapper()
        .configure(JsonParser.Feature.ALLOW_COMMENTS, true)
        .configure(JsonParser.Feature.ALLOW_UNQUOTED_FIELD_NAMES, true)
        .configure(JsonParser.Feature.ALLOW_SINGLE_QUOTES, true);
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
    private static final Map<String, Schema> CACHE = new HashMap<>();

    private final JsonNode root;
    private final Map<String, JsonNode> structs = new HashMap<>();

    private Schema(JsonNode root) {
        this.root = root;
        for (JsonNode struct : root.path("commonStructs")) {
            structs.put(struct.get("name").asText(), struct.get("fields"));
        }
    }

    // `message` is a schema's file name, such as "MetadataRequest".
    static synchronized Schema of(String message) {
        return CACHE.computeIfAbsent(message, name -> {
            try (InputStream in = Schema.class.getResourceAsStream("/common/message/" + name + ".json")) {
                if (in == null) throw new IllegalArgumentException("no schema for " + name);
                return new Schema(JSON.readTree(in));
            } catch (IOException e) {
                throw new IllegalStateException(name, e);
            }
        });
    }

    ObjectNode complete(JsonNode given, int version) {
        return struct(given, root.get("fields"), version, root.get("name").asText());
    }

    private ObjectNode struct(JsonNode given, JsonNode fields, int version, String where) {
        if (!given.isObject()) throw new IllegalArgumentException(where + ": an object is expected, not " + given);
        ObjectNode out = NODES.objectNode();
        Set<String> known = new HashSet<>();
        for (JsonNode field : fields) {
            String name = camel(field.get("name").asText());
            known.add(name);
            if (!contains(field.get("versions").asText(), version)) continue;
            JsonNode value = given.get(name);
            if (value != null) {
                out.set(name, value(value, field, version, where + "." + name));
            } else if (!field.has("tag")) {
                out.set(name, byDefault(field, version, where + "." + name));
            }
        }
        given.fieldNames().forEachRemaining(name -> {
            if (!known.contains(name)) throw new IllegalArgumentException(where + " has no field " + name);
        });
        return out;
    }

    private JsonNode value(JsonNode given, JsonNode field, int version, String where) {
        String type = field.get("type").asText();
        JsonNode fields = fieldsOf(field, type);
        if (given.isNull() || fields == null) return given;
        if (!type.startsWith("[]")) return struct(given, fields, version, where);
        ArrayNode out = NODES.arrayNode();
        for (JsonNode element : given) out.add(struct(element, fields, version, where + "[]"));
        return out;
    }

    private JsonNode fieldsOf(JsonNode field, String type) {
        if (field.has("fields")) return field.get("fields");
        return structs.get(type.startsWith("[]") ? type.substring(2) : type);
    }

    private JsonNode byDefault(JsonNode field, int version, String where) {
        String type = field.get("type").asText();
        JsonNode given = field.get("default");
        if (given != null && given.asText().equals("null")) return NODES.nullNode();
        if (type.startsWith("[]")) return NODES.arrayNode();
        String text = given == null ? "" : given.asText();
        switch (type) {
            case "string": return NODES.textNode(text);
            case "bool": return NODES.booleanNode(Boolean.parseBoolean(text));
            case "uuid": return NODES.textNode("AAAAAAAAAAAAAAAAAAAAAA");
            case "bytes": case "records": return NODES.binaryNode(new byte[0]);
            case "int8": case "int16": case "int32": case "uint16": case "uint32":
                return NODES.numberNode(text.isEmpty() ? 0 : Integer.decode(text));
            case "int64": return NODES.numberNode(text.isEmpty() ? 0L : Long.decode(text));
            case "float64": return NODES.numberNode(text.isEmpty() ? 0.0 : Double.parseDouble(text));
            default: return struct(NODES.objectNode(), fieldsOf(field, type), version, where);
        }
    }

    static boolean contains(String range, int version) {
        if (range.equals("none")) return false;
        if (range.endsWith("+")) return version >= Integer.parseInt(range.substring(0, range.length() - 1));
        int dash = range.indexOf('-');
        if (dash < 0) return version == Integer.parseInt(range);
        return version >= Integer.parseInt(range.substring(0, dash)) && version <= Integer.parseInt(range.substring(dash + 1));
    }

    private static String camel(String name) {
        return Character.toLowerCase(name.charAt(0)) + name.substring(1);
    }
}
