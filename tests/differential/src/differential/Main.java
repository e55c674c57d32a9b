// The differential test: every scenario goes to Apache Kafka and to Corelog, and the answers are compared.
//
// Prints one line per scenario, what differs beneath it, and a summary; exits with 1 on a difference that is not in the
// list or an entry of the list that matches nothing. run.sh starts the brokers and names them here.
package differential;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.regex.Pattern;
import org.apache.kafka.common.message.ApiMessageType;

public final class Main {
    // Timestamps of scenarios count from an hour before the run, so that they can be told from the brokers' clock.
    static final long START_BEFORE_MS = 3_600_000;
    private static final int GREET_MS = 60_000;

    private final Path home;
    private final Pattern only;
    private final Broker kafka;
    private final Broker other;
    private final PrintStream record;
    private final Known known;
    private int passed;
    private int failed;
    private int unknownSetups;

    private Main(Map<String, String> options) throws IOException {
        home = Path.of(options.get("home"));
        only = options.containsKey("only") ? Pattern.compile(options.get("only")) : null;
        long startMs = (System.currentTimeMillis() - START_BEFORE_MS) / 1000 * 1000;
        kafka = new Broker("Kafka", address(options.get("kafka")), startMs);
        other = options.containsKey("other") ? new Broker("Corelog", address(options.get("other")), startMs) : null;
        record = other == null ? System.out : null;
        // Kafka against Kafka has no difference to excuse.
        known = "kafka".equals(options.get("peer")) ? Known.none() : Known.read(home.resolve("differences.txt"));
    }

    public static void main(String[] arguments) throws IOException {
        Map<String, String> options = new LinkedHashMap<>();
        for (int i = 0; i + 1 < arguments.length; i += 2) options.put(arguments[i].substring(2), arguments[i + 1]);
        System.setOut(new PrintStream(System.out, true, StandardCharsets.UTF_8));
        System.exit(new Main(options).run());
    }

    private static InetSocketAddress address(String text) {
        int colon = text.lastIndexOf(':');
        return new InetSocketAddress(text.substring(0, colon), Integer.parseInt(text.substring(colon + 1)));
    }

    private int run() throws IOException {
        List<Scenario> all = Scenario.readAll(home.resolve("scenarios"));
        kafka.greet(GREET_MS);
        if (other != null) other.greet(GREET_MS);
        for (Scenario scenario : all) {
            if (only != null && !only.matcher(scenario.name).find()) continue;
            if (other == null) recordOne(scenario);
            else compareOne(scenario);
        }
        if (other == null) return 0;
        List<String> stale = only == null ? known.stale() : List.of();
        for (String line : stale) System.out.println("stale difference, matches nothing: " + line);
        System.out.println(passed + " passed, " + failed + " failed" + (stale.isEmpty() ? "" : ", " + stale.size() + " stale"));
        return failed == 0 && stale.isEmpty() ? 0 : 1;
    }

    private void recordOne(Scenario scenario) {
        for (int version : scenario.versions) {
            Runner runner = new Runner(scenario, version, kafka);
            List<Runner.Answer> answers = List.of();
            try {
                answers = runner.run();
            } catch (RuntimeException e) {
                System.err.println(message(e));
            }
            for (Runner.Answer a : answers) {
                complainOfSetup(scenario, version, a, "Kafka");
                ObjectNode line = Schema.JSON.createObjectNode();
                line.put("scenario", scenario.name).put("version", version).put("answer", a.label());
                line.put("api", ApiMessageType.fromApiKey(a.api().id).name).put("apiVersion", a.version()).put("setup", a.setup());
                line.put("request", a.request());
                line.set("response", a.json());
                record.println(line);
            }
        }
    }

    private void compareOne(Scenario scenario) {
        Map<String, List<Integer>> different = new LinkedHashMap<>();
        long from = System.nanoTime();
        for (int version : scenario.versions) {
            for (Compare.Difference found : differences(scenario, version)) {
                Compare.Difference d = found.ofAnyVersion(version);
                if (known.covers(scenario.name, version, d)) continue;
                String line = d.path() + "\n        Kafka   " + d.kafka() + "\n        Corelog " + d.other();
                different.computeIfAbsent(line, l -> new ArrayList<>()).add(version);
            }
        }
        long ms = (System.nanoTime() - from) / 1_000_000;
        String about = scenario.subject == null ? "" : " (" + ApiMessageType.fromApiKey(scenario.subject.id).name + " " + range(scenario.versions) + ")";
        System.out.println((different.isEmpty() ? "pass " : "FAIL ") + scenario.name + about + " " + ms + " ms");
        different.forEach((line, versions) -> System.out.println("    version " + range(versions) + ": " + line));
        if (different.isEmpty()) passed++;
        else failed++;
    }

    private List<Compare.Difference> differences(Scenario scenario, int version) {
        CompletableFuture<List<Runner.Answer>> beside = CompletableFuture.supplyAsync(() -> new Runner(scenario, version, other).run());
        List<Compare.Difference> out = new ArrayList<>();
        List<Runner.Answer> left;
        List<Runner.Answer> right;
        try {
            left = new Runner(scenario, version, kafka).run();
            right = beside.join();
        } catch (RuntimeException e) {
            beside.handle((answers, error) -> null).join();
            out.add(new Compare.Difference("<scenario>", "", message(e)));
            return out;
        }
        Normal.Members kafkas = new Normal.Members();
        Normal.Members others = new Normal.Members();
        for (int i = 0; i < left.size(); i++) {
            Runner.Answer a = left.get(i);
            Runner.Answer b = right.get(i);
            // Also where they are not compared: answers name members in the order in which they were made.
            JsonNode x = new Normal(kafka, a.api(), kafkas).of(a.json());
            JsonNode y = new Normal(other, b.api(), others).of(b.json());
            if (a.setup()) {
                complainOfSetup(scenario, version, a, "Kafka");
                String error = firstError(b.json());
                if (error != null) out.add(new Compare.Difference(b.label() + ".<setup>", "none", error));
                continue;
            }
            out.addAll(Compare.of(a.label(), x, y));
        }
        return out;
    }

    // A scenario whose preparations Kafka refuses tests something else than it says.
    private void complainOfSetup(Scenario scenario, int version, Runner.Answer answer, String who) {
        String error = answer.setup() ? firstError(answer.json()) : null;
        if (error == null) return;
        unknownSetups++;
        System.err.println("setup refused by " + who + ": " + scenario.name + "@" + version + " " + answer.label() + ": " + error);
    }

    private static String message(Throwable e) {
        return e.getMessage() + (e.getCause() == null ? "" : "; " + e.getCause());
    }

    private static String firstError(JsonNode node) {
        if (node.isObject()) {
            for (String name : new String[] {"<closed>", "<silent>", "<undecodable>", "<refused>"}) {
                if (node.has(name)) return node.toString();
            }
            if (node.path("errorCode").asInt(0) != 0) return node.toString();
        }
        for (JsonNode child : node) {
            String error = firstError(child);
            if (error != null) return error;
        }
        return null;
    }

    private static String range(List<Integer> versions) {
        int first = versions.get(0);
        int last = versions.get(versions.size() - 1);
        if (first < 0) return "-";
        if (versions.size() == 1) return String.valueOf(first);
        return last - first + 1 == versions.size() ? first + "-" + last : versions.toString();
    }
}
