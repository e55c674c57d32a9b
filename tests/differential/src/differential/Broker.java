// One of the two brokers: where it listens, what it calls things, and when a change that it answered has taken effect.
//
// Kafka answers CreateTopics when its controller has committed, which is before its broker part knows of the topic.
// `settle` waits for that on either side, so that no scenario compares a moment in between.
package differential;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.protocol.ApiKeys;

final class Broker {
    static final String NO_TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA";
    static final String UNKNOWN_TOPIC_ID = "ZGlmZmVyZW50aWFsLXRlcw";
    private static final int SETTLE_MS_MAX = 10_000;
    private static final int APPLY_MS = 60;

    final String name;
    final InetSocketAddress address;
    final long startMs;
    int nodeId;
    String clusterId = "?";
    String dataDirectory = "?";
    final Map<String, String> topicNames = new HashMap<>();
    private final Map<String, String> topicIds = new HashMap<>();
    private Wire control;

    Broker(String name, InetSocketAddress address, long startMs) {
        this.name = name;
        this.address = address;
        this.startMs = startMs;
        this.control = new Wire(address);
    }

    // Waits until the broker answers, and learns its names.
    void greet(int limitMs) {
        long end = System.currentTimeMillis() + limitMs;
        while (true) {
            ObjectNode answer = ask(ApiKeys.METADATA, 12, "{topics:[]}");
            JsonNode nodes = answer.path("brokers");
            if (nodes.size() > 0) {
                nodeId = nodes.get(0).get("nodeId").asInt();
                clusterId = answer.path("clusterId").asText("?");
                // Kafka refuses the first of these until its broker has a block of ids (error 14).
                JsonNode first = ask(ApiKeys.INIT_PRODUCER_ID, 4, "{transactionalId:null,transactionTimeoutMs:60000}");
                JsonNode directory = ask(ApiKeys.DESCRIBE_LOG_DIRS, 4, "{topics:[]}").path("results").path(0).path("logDir");
                dataDirectory = directory.asText("").isEmpty() ? "?" : directory.asText();
                if (first.path("errorCode").asInt() != 14) return;
            }
            if (System.currentTimeMillis() > end) throw new IllegalStateException(name + " does not answer at " + address + ": " + answer);
            pause(100);
        }
    }

    ObjectNode ask(ApiKeys api, int version, String text) {
        JsonNode given;
        try {
            given = Schema.JSON.readTree(text);
        } catch (IOException e) {
            throw new IllegalArgumentException(text, e);
        }
        int id = control.nextCorrelation();
        byte[] frame = Wire.encode(api, version, given, "settle", id, startMs);
        try {
            control.send(frame);
            return control.receive(api, version, id, Wire.ANSWER_MS_MAX);
        } catch (IOException e) {
            control.close();
            return Wire.sign("<refused>", "no connection");
        }
    }

    boolean alive() {
        return !ask(ApiKeys.API_VERSIONS, 0, "{}").has("<refused>");
    }

    String topicId(String topic) {
        if (!topicIds.containsKey(topic)) learn(named(topic));
        return topicIds.getOrDefault(topic, UNKNOWN_TOPIC_ID);
    }

    String topicName(String id) {
        if (!topicNames.containsKey(id)) learn("null");
        return topicNames.get(id);
    }

    private static String named(String topic) {
        return "[{name:'" + topic + "',topicId:'" + NO_TOPIC_ID + "'}]";
    }

    private ObjectNode learn(String topics) {
        ObjectNode answer = ask(ApiKeys.METADATA, 12, "{topics:" + topics + ", allowAutoTopicCreation:false}");
        for (JsonNode topic : answer.path("topics")) {
            if (topic.path("errorCode").asInt() != 0) continue;
            topicNames.put(topic.path("topicId").asText(), topic.path("name").asText());
            topicIds.put(topic.path("name").asText(), topic.path("topicId").asText());
        }
        return answer;
    }

    // After a request that changes metadata: waits until the broker serves what it has just answered.
    void settle(ApiKeys api, JsonNode request, JsonNode answer) {
        switch (api) {
            case CREATE_TOPICS:
                for (String topic : done(answer.path("topics"))) awaitTopic(topic, 1);
                break;
            case CREATE_PARTITIONS:
                for (String topic : done(answer.path("results"))) awaitTopic(topic, count(request, topic));
                break;
            case DELETE_TOPICS:
                for (String topic : done(answer.path("responses"))) awaitGone(topic);
                pause(APPLY_MS);
                break;
            case ALTER_CONFIGS: case INCREMENTAL_ALTER_CONFIGS: case ELECT_LEADERS: case UPDATE_FEATURES:
            case ALTER_PARTITION_REASSIGNMENTS: case CREATE_ACLS: case DELETE_ACLS:
                pause(APPLY_MS);
                break;
            default:
        }
    }

    private static Set<String> done(JsonNode results) {
        Set<String> out = new HashSet<>();
        for (JsonNode result : results) {
            if (result.path("errorCode").asInt(-1) == 0) out.add(result.path("name").asText());
        }
        return out;
    }

    private static int count(JsonNode request, String topic) {
        for (JsonNode t : request.path("topics")) {
            if (t.path("name").asText().equals(topic)) return t.path("count").asInt(1);
        }
        return 1;
    }

    // Returns once the topic has so many partitions and all of them answer, or after SETTLE_MS_MAX.
    void awaitTopic(String topic, int partitions) {
        long end = System.currentTimeMillis() + SETTLE_MS_MAX;
        topicIds.remove(topic);
        while (System.currentTimeMillis() < end) {
            JsonNode found = learn(named(topic)).path("topics").path(0);
            if (found.path("partitions").size() >= partitions && led(found) && served(topic, found.path("partitions"))) return;
            pause(5);
        }
    }

    private static boolean led(JsonNode topic) {
        for (JsonNode partition : topic.path("partitions")) {
            if (partition.path("leaderId").asInt() < 0) return false;
        }
        return true;
    }

    private boolean served(String topic, JsonNode partitions) {
        StringBuilder list = new StringBuilder();
        for (JsonNode p : partitions) {
            list.append(list.isEmpty() ? "" : ",").append("{partitionIndex:").append(p.path("partitionIndex")).append(",timestamp:-1}");
        }
        JsonNode answer = ask(ApiKeys.LIST_OFFSETS, 7, "{replicaId:-1,topics:[{name:'" + topic + "',partitions:[" + list + "]}]}");
        for (JsonNode p : answer.path("topics").path(0).path("partitions")) {
            if (p.path("errorCode").asInt() != 0) return false;
        }
        return answer.has("topics");
    }

    private void awaitGone(String topic) {
        for (int i = 0; i < 10; i++) {
            if (learn(named(topic)).path("topics").path(0).path("errorCode").asInt() != 0) break;
            pause(20);
        }
        topicIds.remove(topic);
    }

    static void pause(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
