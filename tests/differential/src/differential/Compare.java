// Field by field: where two answers differ, under a path such as "Metadata.topics[a].partitions[0].errorCode".
//
// Lists whose elements carry a key are matched by it, since Kafka leaves their order open (much of it is the order of a
// hash table); lists without one, such as record batches, synonyms and replica lists, are matched by position.
package differential;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

final class Compare {
    record Difference(String path, String kafka, String other) {
        // Scenarios put their version into the names they use; shown as $v, the same difference reads the same at every version.
        Difference ofAnyVersion(int version) {
            String v = "(?<=[A-Za-z0-9])-" + version + "(?![0-9])";
            return new Difference(path.replaceAll(v, "-\\$v"), kafka.replaceAll(v, "-\\$v"), other.replaceAll(v, "-\\$v"));
        }
    }

    private static final int SHOWN_MAX = 300;
    private static final List<String> KEYS = List.of("apiKey", "resourceType", "resourceName", "topicId", "name", "topicName", "topic",
        "index", "partitionIndex", "partitionId", "partition", "nodeId", "brokerId", "replicaId", "logDir", "groupId", "memberId");

    private final List<Difference> found = new ArrayList<>();

    static List<Difference> of(String path, JsonNode kafka, JsonNode other) {
        Compare compare = new Compare();
        compare.node(path, kafka, other);
        return compare.found;
    }

    private void node(String path, JsonNode a, JsonNode b) {
        if (a.isObject() && b.isObject()) {
            Set<String> names = new LinkedHashSet<>();
            a.fieldNames().forEachRemaining(names::add);
            b.fieldNames().forEachRemaining(names::add);
            for (String name : names) node(path + "." + name, a.path(name), b.path(name));
        } else if (a.isArray() && b.isArray()) {
            Map<String, JsonNode> left = keyed(a);
            Map<String, JsonNode> right = keyed(b);
            Set<String> keys = new LinkedHashSet<>(left.keySet());
            keys.addAll(right.keySet());
            for (String key : keys) {
                JsonNode missing = MissingNode.getInstance();
                node(path + "[" + key + "]", left.getOrDefault(key, missing), right.getOrDefault(key, missing));
            }
        } else if (!a.equals(b)) {
            found.add(new Difference(path, shown(a), shown(b)));
        }
    }

    private static Map<String, JsonNode> keyed(JsonNode list) {
        Map<String, JsonNode> out = new LinkedHashMap<>();
        int position = 0;
        for (JsonNode element : list) {
            String key = key(element);
            if (key.isEmpty()) key = String.valueOf(position);
            String unique = key;
            for (int i = 2; out.containsKey(unique); i++) unique = key + " #" + i;
            out.put(unique, element);
            position++;
        }
        return out;
    }

    private static String key(JsonNode element) {
        StringBuilder key = new StringBuilder();
        boolean keyed = false;
        for (Iterator<String> it = KEYS.iterator(); it.hasNext(); ) {
            JsonNode part = element.path(it.next());
            keyed |= part.isTextual() && part.asText().isEmpty();
            if (!part.isValueNode() || part.isNull() || part.asText().isEmpty() || part.asText().equals(Broker.NO_TOPIC_ID)) continue;
            if (key.length() > 0) key.append('/');
            key.append(part.asText());
        }
        return key.length() == 0 && keyed ? "<no name>" : key.toString();
    }

    private static String shown(JsonNode node) {
        String text = node.isMissingNode() ? "<absent>" : node.isTextual() ? node.asText() : node.toString();
        text = text.replace("\n", "\\n");
        return text.length() <= SHOWN_MAX ? text : text.substring(0, SHOWN_MAX) + "…";
    }
}
