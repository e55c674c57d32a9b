// The list of differences that remain, each with its reason: tests/differential/differences.txt.
//
// A line has six parts between " | ": scenario, versions, path, Kafka's value, Corelog's value, reason. The first and the
// third to fifth may hold * for any text; versions are a range such as 0-3, 4+ or all. The reason is not optional.
package differential;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

final class Known {
    private static final int PARTS = 6;

    private static final class Entry {
        String line;
        int number;
        String versions;
        Pattern scenario;
        Pattern path;
        Pattern kafka;
        Pattern other;
        boolean used;
    }

    private final List<Entry> entries = new ArrayList<>();

    static Known none() {
        return new Known();
    }

    static Known read(Path file) throws IOException {
        Known known = new Known();
        int number = 0;
        for (String line : Files.readAllLines(file)) {
            number++;
            if (line.isBlank() || line.startsWith("#")) continue;
            String[] parts = line.split(" \\| ", PARTS);
            if (parts.length != PARTS || parts[PARTS - 1].isBlank()) {
                throw new IllegalArgumentException(file + ":" + number + ": six parts are expected, the last of them a reason");
            }
            Entry entry = new Entry();
            entry.line = line;
            entry.number = number;
            entry.scenario = glob(parts[0]);
            entry.versions = parts[1].strip();
            entry.path = glob(parts[2]);
            entry.kafka = glob(parts[3]);
            entry.other = glob(parts[4]);
            known.entries.add(entry);
        }
        return known;
    }

    private static Pattern glob(String text) {
        StringBuilder out = new StringBuilder();
        for (String literal : text.strip().split("\\*", -1)) {
            if (out.length() > 0) out.append(".*");
            out.append(literal.isEmpty() ? "(?:)" : Pattern.quote(literal));
        }
        return Pattern.compile(out.toString(), Pattern.DOTALL);
    }

    boolean covers(String scenario, int version, Compare.Difference d) {
        for (Entry e : entries) {
            if (e.scenario.matcher(scenario).matches() && Scenario.within(e.versions, Math.max(version, 0), Integer.MAX_VALUE)
                && e.path.matcher(d.path()).matches() && e.kafka.matcher(d.kafka()).matches() && e.other.matcher(d.other()).matches()) {
                e.used = true;
                return true;
            }
        }
        return false;
    }

    List<String> stale() {
        List<String> out = new ArrayList<>();
        for (Entry e : entries) {
            if (!e.used) out.add("line " + e.number + ": " + e.line);
        }
        return out;
    }
}
