// Runs the steps of one scenario, at one version, against one broker, and returns its answers in order.
package differential;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ApiKeys;

final class Runner {
    // `label` tells answers of one scenario apart; `setup` answers are not compared but must carry no error.
    record Answer(String label, ApiKeys api, int version, String request, ObjectNode json, boolean setup) {}

    private static final Pattern CALL = Pattern.compile("\\$\\(([^()]*)\\)");
    private static final Pattern NAME = Pattern.compile("\\$([a-zA-Z][a-zA-Z0-9]*)");
    private static final int SILENCE_MS = 700;

    private final Scenario scenario;
    private final int version;
    private final Broker broker;
    private final Map<String, Wire> connections = new HashMap<>();
    private final Map<String, String> saved = new HashMap<>();
    // What each connection sent without awaiting it: "API@VERSION CORRELATION".
    private final Map<String, Deque<String>> sent = new HashMap<>();
    private final List<Answer> answers = new ArrayList<>();
    private String connection = "main";
    private String client = "differential";
    private long tookMs;

    Runner(Scenario scenario, int version, Broker broker) {
        this.scenario = scenario;
        this.version = version;
        this.broker = broker;
        saved.put("v", version < 0 ? "0" : String.valueOf(version));
        saved.put("node", String.valueOf(broker.nodeId));
        saved.put("cluster", broker.clusterId);
        saved.put("noid", Broker.UNKNOWN_TOPIC_ID);
        saved.put("zeroid", Broker.NO_TOPIC_ID);
    }

    Map<String, String> saved() {
        return saved;
    }

    List<Answer> run() {
        try {
            for (Scenario.Step step : scenario.steps) {
                if (!Scenario.within(scenario.limits.get(step), Math.max(version, 0), Integer.MAX_VALUE)) continue;
                try {
                    step(step);
                } catch (IOException | RuntimeException e) {
                    throw new IllegalStateException(scenario.name + "@" + version + ", line " + step.line() + ": " + e.getMessage(), e);
                }
            }
            return answers;
        } finally {
            connections.values().forEach(Wire::close);
        }
    }

    private void step(Scenario.Step step) throws IOException {
        String text = substituted(step.text());
        switch (step.verb()) {
            case "request": case "setup": case "oneway": case "send": case "unseen": request(step, text); break;
            case "receive": receive(text); break;
            case "save": save(text.split("\\s+")); break;
            case "took": took(text.split("\\s+")); break;
            case "connect": connection = text; break;
            case "disconnect": wire().close(); break;
            case "client": client = text.equals("null") ? null : text; break;
            case "sleep": Broker.pause(Long.parseLong(text)); break;
            case "await": broker.awaitTopic(text, 1); break;
            case "frame": case "bytes": raw(step, text); break;
            case "silence": silence(); break;
            default: throw new IllegalArgumentException("no step is named " + step.verb());
        }
    }

    private Wire wire() {
        return connections.computeIfAbsent(connection, name -> new Wire(broker.address));
    }

    private int versionOf(ApiKeys api, int asked) {
        if (asked >= 0) return asked;
        return api == scenario.subject ? version : api.latestVersion(false);
    }

    // oneway: nothing is awaited. unseen: the answer is not compared. send: the answer is fetched by a later `receive`.
    private void request(Scenario.Step step, String text) throws IOException {
        ApiKeys api = step.api();
        int v = versionOf(api, step.version());
        JsonNode given = Schema.JSON.readTree(text);
        Wire wire = wire();
        int id = wire.nextCorrelation();
        byte[] frame = Wire.encode(api, v, given, client, id, broker.startMs);
        ObjectNode answer;
        long from = System.nanoTime();
        try {
            wire.send(frame);
            if (step.verb().equals("send")) outstanding().add(ApiMessageType.fromApiKey(api.id).name + "@" + v + " " + id);
            if (step.verb().equals("oneway") || step.verb().equals("send")) return;
            answer = wire.receive(api, v, id, Wire.ANSWER_MS_MAX);
            if (answer.has("<silent>")) wire.close();
        } catch (IOException e) {
            wire.close();
            answer = Wire.sign("<closed>", "connection closed");
        }
        tookMs = (System.nanoTime() - from) / 1_000_000;
        if (!step.verb().equals("unseen")) add(api, v, text, answer, step.verb().equals("setup"));
        if (!given.path("validateOnly").asBoolean()) broker.settle(api, given, answer);
    }

    private void add(ApiKeys api, int v, String text, ObjectNode answer, boolean setup) {
        String label = (answers.size() + 1) + ":" + ApiMessageType.fromApiKey(api.id).name;
        answers.add(new Answer(label, api, v, text, answer, setup));
    }

    private Deque<String> outstanding() {
        return sent.computeIfAbsent(connection, name -> new ArrayDeque<>());
    }

    // receive [API@VERSION CORRELATION]: the next answer, by default of the oldest request that this connection sent.
    private void receive(String text) {
        String oldest = outstanding().poll();
        String[] words = (text.isEmpty() ? String.valueOf(oldest) : text).split("\\s+");
        String[] target = words[0].split("@");
        ApiKeys api = Scenario.api(target[0]);
        int v = Integer.parseInt(target[1]);
        int id = words.length > 1 ? Integer.parseInt(words[1]) : -1;
        add(api, v, "receive", wire().receive(api, v, id, Wire.ANSWER_MS_MAX), false);
    }

    // Nothing may arrive for a while: `<silent>` where the connection stays open, `<closed>` where it does not.
    private void silence() {
        add(ApiKeys.API_VERSIONS, 0, "silence", wire().receive(ApiKeys.API_VERSIONS, 0, -1, SILENCE_MS), false);
    }

    // frame API@VERSION tokens: bytes under a length of their own; bytes API@VERSION tokens: exactly these bytes.
    private void raw(Scenario.Step step, String text) throws IOException {
        String[] words = text.split("\\s+", 2);
        String[] target = words[0].split("@");
        ApiKeys api = Scenario.api(target[0]);
        byte[] bytes = Bytes.parse(words.length > 1 ? words[1] : "");
        ObjectNode answer;
        try {
            if (step.verb().equals("frame")) wire().send(bytes);
            else wire().sendBytes(bytes);
            answer = wire().receive(api, Integer.parseInt(target[1]), -1, SILENCE_MS);
        } catch (IOException e) {
            answer = Wire.sign("<closed>", "connection closed");
        }
        wire().close();
        add(api, Integer.parseInt(target[1]), text, answer, false);
    }

    private void save(String[] words) {
        JsonNode found = answers.get(answers.size() - 1).json().at(words[1]);
        saved.put(words[0], found.isMissingNode() ? "0" : found.asText());
    }

    private void took(String[] words) {
        boolean within = tookMs >= Long.parseLong(words[0]) && tookMs <= Long.parseLong(words[1]);
        String text = within ? "in time" : "not within " + words[0] + " to " + words[1] + " ms";
        Answer last = answers.get(answers.size() - 1);
        answers.add(new Answer(last.label() + ".took", last.api(), last.version(), "took", Wire.sign("<took>", text), false));
    }

    private String substituted(String text) {
        Matcher names = NAME.matcher(text);
        StringBuilder first = new StringBuilder();
        while (names.find()) {
            String value = saved.get(names.group(1));
            names.appendReplacement(first, Matcher.quoteReplacement(value == null ? names.group() : value));
        }
        names.appendTail(first);
        Matcher calls = CALL.matcher(first);
        StringBuilder out = new StringBuilder();
        while (calls.find()) calls.appendReplacement(out, Matcher.quoteReplacement(function(calls.group(1).split("\\s+"))));
        return calls.appendTail(out).toString();
    }

    private String function(String[] words) {
        switch (words[0]) {
            case "id": return broker.topicId(words[1]);
            case "t": return String.valueOf(broker.startMs + Long.parseLong(words[1]));
            case "rep": return words[2].repeat(Integer.parseInt(words[1]));
            case "add": return String.valueOf(Long.parseLong(words[1]) + Long.parseLong(words[2]));
            case "seq": return sequence(Integer.parseInt(words[1]), words[2]);
            default: throw new IllegalArgumentException("no function is named " + words[0]);
        }
    }

    // $(seq 3 {name:'x#'}) gives the text three times, # counting from 0.
    private static String sequence(int count, String text) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < count; i++) out.append(i > 0 ? "," : "").append(text.replace("#", String.valueOf(i)));
        return out.toString();
    }
}
