// The Java consumer as a member of a group; ../python/member_args.py says what it prints and obeys.
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

public final class Member implements ConsumerRebalanceListener {
    private static final Map<String, String> ASSIGNORS = Map.of("range", "RangeAssignor", "roundrobin", "RoundRobinAssignor",
        "sticky", "StickyAssignor", "cooperative-sticky", "CooperativeStickyAssignor");
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private final Map<String, String> options;
    private final KafkaConsumer<String, String> consumer;
    private final LinkedBlockingQueue<String[]> words = new LinkedBlockingQueue<>();
    // The next offset of each partition that was printed and not committed yet.
    private final TreeMap<Integer, Long> printed = new TreeMap<>();

    private Member(Map<String, String> options) {
        this.options = options;
        this.consumer = new KafkaConsumer<>(settings(), new StringDeserializer(), new StringDeserializer());
        // "re:PATTERN" subscribes to the topics whose names match, found by the client.
        String topic = options.get("topic");
        if (topic.startsWith("re:")) consumer.subscribe(Pattern.compile(topic.substring(3)), this);
        else consumer.subscribe(List.of(topic), this);
    }

    private Properties settings() {
        Properties out = new Properties();
        out.put("bootstrap.servers", options.get("bootstrap"));
        out.put("group.id", options.get("group"));
        out.put("auto.offset.reset", "earliest");
        out.put("enable.auto.commit", "false");
        out.put("fetch.max.wait.ms", "100");
        out.put("max.poll.records", "100");
        out.put("metadata.max.age.ms", "2000");
        String protocol = options.getOrDefault("protocol", "classic");
        String assignor = options.getOrDefault("assignor", "");
        out.put("group.protocol", protocol);
        if (!options.getOrDefault("instance", "").isEmpty()) out.put("group.instance.id", options.get("instance"));
        if (protocol.equals("consumer")) {
            if (!assignor.isEmpty()) out.put("group.remote.assignor", assignor);
            return out;
        }
        int session = Integer.parseInt(options.getOrDefault("session", "10000"));
        out.put("session.timeout.ms", String.valueOf(session));
        out.put("heartbeat.interval.ms", String.valueOf(session / 10));
        if (!assignor.isEmpty()) {
            out.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer." + ASSIGNORS.get(assignor));
        }
        return out;
    }

    private static void sayPartitions(String word, Collection<TopicPartition> partitions) {
        OUT.println(word + " " + partitions.stream().map(p -> p.partition()).sorted().map(String::valueOf).collect(Collectors.joining(",")));
    }

    private static void sayError(RuntimeException error) {
        OUT.println("error " + (error.getClass().getSimpleName() + ": " + error.getMessage()).replace('\n', ' '));
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        sayPartitions("assigned", partitions);
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        if (commitsEach()) commit();
        partitions.forEach(partition -> printed.remove(partition.partition()));
        sayPartitions("revoked", partitions);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        printed.clear();
        sayPartitions("revoked", partitions);
    }

    private void commit() {
        if (printed.isEmpty()) return;
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        String metadata = options.getOrDefault("metadata", "");
        printed.forEach((p, offset) -> offsets.put(new TopicPartition(options.get("topic"), p), new OffsetAndMetadata(offset, metadata)));
        String text = printed.entrySet().stream().map(e -> e.getKey() + ":" + e.getValue()).collect(Collectors.joining(" "));
        try {
            consumer.commitSync(offsets);
            OUT.println("committed " + text);
            printed.clear();
        } catch (KafkaException error) {
            // During a rebalance, say: it is tried again while the partitions are its own.
            sayError(error);
        }
    }

    private void fetch() {
        TreeMap<Integer, String> found = new TreeMap<>();
        consumer.committed(consumer.assignment()).forEach((partition, committed) -> {
            String text = committed == null ? "-1:" : committed.offset() + ":" + committed.metadata();
            found.put(partition.partition(), partition.partition() + ":" + text);
        });
        OUT.println("fetched " + String.join(" ", found.values()));
    }

    private void obey(String[] command) {
        switch (command[0]) {
            case "commit": commit(); break;
            case "fetch": fetch(); break;
            case "seek":
                printed.remove(Integer.parseInt(command[1]));
                consumer.seek(new TopicPartition(options.get("topic"), Integer.parseInt(command[1])), Long.parseLong(command[2]));
                break;
            default:
        }
    }

    private void poll() {
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
            OUT.println("record " + record.partition() + " " + record.offset() + " " + record.value());
            printed.put(record.partition(), record.offset() + 1);
        }
        if (commitsEach()) commit();
    }

    private boolean commitsEach() {
        return options.getOrDefault("commit", "each").equals("each");
    }

    private void run() {
        Thread reader = new Thread(this::read);
        reader.setDaemon(true);
        reader.start();
        while (true) {
            String[] command = words.poll();
            if (command != null && command[0].equals("stop")) break;
            try {
                if (command != null) obey(command);
                else poll();
            } catch (KafkaException error) {
                sayError(error);
            }
        }
        consumer.close();
        OUT.println("closed");
    }

    private void read() {
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) words.add(line.strip().split("\\s+"));
        } catch (IOException e) {
            // The end of stdin, however it comes, stops the member.
        }
        words.add(new String[] {"stop"});
    }

    public static void main(String[] arguments) {
        Map<String, String> options = new HashMap<>();
        for (int i = 1; i + 1 < arguments.length; i += 2) options.put(arguments[i].substring(2), arguments[i + 1]);
        new Member(options).run();
    }
}
