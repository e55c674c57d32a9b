// The one place that says what may differ between two brokers without being a difference.
//
//  topic ids          -> "<id of NAME>"; an id that no topic has stays, unless it is neither zero nor the scenarios' own
//  cluster id         -> "<cluster>", also inside texts; host:port inside texts -> "<address>"
//  port, host         -> "<port>", "<host>" where they are the broker's own; the next port is the peer's controller
//  node id            -> "<node>" in fields and lists that hold node ids, also inside texts where the field is a resource name
//  throttleTimeMs     -> left out
//  timestamps         -> "start+N ms" when a scenario gave them (both runs share their start), "<now>" when from the broker's clock
//  times inside error messages -> the same, or "<time>" for limits counted from the broker's clock
//  CRC of batches with an append time or a producer id -> "<crc>"
//  producer ids       -> "<pid>"; fetch session ids -> "<session>" unless 0
//  member ids that a broker made -> "<member N>", in the order in which the scenario's answers show them
//  telemetry's client and subscription ids -> "<id>", "<n>"
//  log directories    -> "<dir>"; bytes of the volume -> "<bytes>"
//  offsets, epochs and times of the metadata log (DescribeQuorum) -> "<n>"; the finalized features' epoch -> "<epoch>"
//  documentation of settings -> "<text>": each broker has its own words
//  order of lists whose elements have a key: by that key (Compare); of the topics that a group's member subscribes to: by name
package differential;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.protocol.ApiKeys;

final class Normal {
    private static final long CLOCK_SLACK_MS = 120_000;
    private static final Set<String> NODE_FIELDS = Set.of("nodeId", "leaderId", "leader", "controllerId", "brokerId", "replicaId");
    private static final Set<String> NODE_LISTS = Set.of("replicaNodes", "isrNodes", "replicas", "eligibleLeaderReplicas", "lastKnownElr");
    private static final Set<String> QUORUM_NUMBERS = Set.of("highWatermark", "leaderEpoch", "logEndOffset", "lastFetchTimestamp", "lastCaughtUpTimestamp");
    private static final Set<String> TIMES = Set.of("timestamp", "maxTimestamp", "logAppendTimeMs", "lastTimestamp", "issueTimestamp");

    private static final Pattern CLOCK = Pattern.compile("\\d{13,19}");
    private static final Pattern UUID = Pattern.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}");
    private static final Pattern SHORT_UUID = Pattern.compile("[A-Za-z0-9_-]{22}");

    private final Broker broker;
    private final ApiKeys api;
    private final long baseMs;
    private final Members members;

    // The member ids of one run of one scenario.
    static final class Members {
        private final Map<String, String> names = new HashMap<>();

        private String name(String id) {
            return names.computeIfAbsent(id, i -> "<member " + (names.size() + 1) + ">");
        }

        private String inside(String text) {
            String out = UUID.matcher(text).replaceAll(m -> Matcher.quoteReplacement(name(m.group())));
            for (Map.Entry<String, String> e : names.entrySet()) out = out.replace(e.getKey(), e.getValue());
            return out;
        }
    }

    Normal(Broker broker, ApiKeys api, Members members) {
        this.broker = broker;
        this.api = api;
        this.members = members;
        this.baseMs = broker.startMs;
    }

    JsonNode of(JsonNode answer) {
        return node(answer, "");
    }

    private JsonNode node(JsonNode given, String field) {
        if (given.isObject()) {
            ObjectNode out = JsonNodeFactory.instance.objectNode();
            for (Iterator<Map.Entry<String, JsonNode>> it = given.properties().iterator(); it.hasNext(); ) {
                Map.Entry<String, JsonNode> e = it.next();
                if (e.getKey().equals("throttleTimeMs")) continue;
                out.set(e.getKey(), node(e.getValue(), e.getKey()));
            }
            if (out.has("crc") && crcVaries(out)) out.put("crc", "<crc>");
            return out;
        }
        if (given.isArray()) {
            ArrayNode out = JsonNodeFactory.instance.arrayNode();
            if (field.equals("subscribedTopicNames")) {
                List<String> names = new ArrayList<>();
                for (JsonNode element : given) names.add(element.asText());
                names.stream().sorted().forEach(out::add);
                return out;
            }
            for (JsonNode element : given) {
                out.add(NODE_LISTS.contains(field) && element.isInt() ? nodeId(element) : node(element, field));
            }
            return out;
        }
        return given.isNumber() ? number(given, field) : given.isTextual() ? text(given, field) : given;
    }

    // The CRC covers the append time and the producer id, which are the broker's own.
    private static boolean crcVaries(JsonNode batch) {
        return batch.path("timestampType").asText().equals("LogAppendTime") || batch.path("producerId").asText().equals("<pid>");
    }

    private JsonNode number(JsonNode given, String field) {
        long n = given.asLong();
        if (api == ApiKeys.DESCRIBE_QUORUM && QUORUM_NUMBERS.contains(field) && n >= 0) return name("<n>");
        if (NODE_FIELDS.contains(field)) return nodeId(given);
        if (TIMES.contains(field)) return time(given);
        if (field.equals("port") && n == broker.address.getPort()) return name("<port>");
        if (field.equals("port") && n == broker.address.getPort() + 1) return name("<controller port>");
        if (field.equals("subscriptionId")) return name("<n>");
        if (field.equals("sessionId") && n != 0) return name("<session>");
        if (field.equals("producerId") && n >= 0) return name("<pid>");
        if (field.equals("finalizedFeaturesEpoch") && n >= 0) return name("<epoch>");
        if ((field.equals("totalBytes") || field.equals("usableBytes")) && n > 0) return name("<bytes>");
        return given;
    }

    private JsonNode nodeId(JsonNode given) {
        return given.asInt() == broker.nodeId ? name("<node>") : given;
    }

    private JsonNode time(JsonNode given) {
        long n = given.asLong();
        long now = System.currentTimeMillis();
        if (Math.abs(n - baseMs) < Main.START_BEFORE_MS / 2) return name("start+" + (n - baseMs) + " ms");
        if (n > now - CLOCK_SLACK_MS && n < now + CLOCK_SLACK_MS) return name("<now>");
        return given;
    }

    private JsonNode text(JsonNode given, String field) {
        String text = given.asText();
        switch (field) {
            case "topicId": case "voterDirectoryId": case "replicaDirectoryId": return id(text);
            case "logDir": return text.isEmpty() ? given : name("<dir>");
            case "clusterId": return text.equals(broker.clusterId) ? name("<cluster>") : given;
            case "clientInstanceId": return name("<id>");
            case "memberId": return name(SHORT_UUID.matcher(text).matches() ? members.name(text) : members.inside(text));
            case "documentation": return text.isEmpty() ? given : name("<text>");
            case "host": return text.equals(broker.address.getHostString()) ? name("<host>") : given;
            case "resourceName": return text.equals(String.valueOf(broker.nodeId)) ? name("<node>") : given;
            default: return name(field.endsWith("Message") ? times(insideText(text)) : insideText(text));
        }
    }

    private String insideText(String text) {
        String host = broker.address.getHostString();
        String out = text.equals(broker.dataDirectory) ? "<dir>" : text;
        out = out.replace(broker.clusterId, "<cluster>").replace(host + ":" + (broker.address.getPort() + 1), "<controller>")
            .replace(host + ":" + broker.address.getPort(), "<address>");
        for (Map.Entry<String, String> e : broker.topicNames.entrySet()) {
            if (out.contains(e.getKey())) out = out.replace(e.getKey(), "<id of " + e.getValue() + ">");
        }
        return members.inside(out);
    }

    private String times(String text) {
        Matcher m = CLOCK.matcher(text);
        return m.replaceAll(r -> {
            if (r.group().length() > 18) return r.group().equals(String.valueOf(Long.MAX_VALUE)) ? r.group() : "<time>";
            JsonNode t = time(JsonNodeFactory.instance.numberNode(Long.parseLong(r.group())));
            return t.isNumber() ? "<time>" : t.asText();
        });
    }

    private JsonNode id(String text) {
        if (text.equals(Broker.NO_TOPIC_ID) || text.equals(Broker.UNKNOWN_TOPIC_ID)) return name(text);
        if (api == ApiKeys.DESCRIBE_QUORUM) return name("<id>");
        String topic = broker.topicName(text);
        return name(topic == null ? "<id>" : "<id of " + topic + ">");
    }

    private static TextNode name(String text) {
        return TextNode.valueOf(text);
    }
}
