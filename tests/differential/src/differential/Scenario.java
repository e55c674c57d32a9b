// The catalogue: scenario files read into steps. The format is described in tests/differential/README.md.
package differential;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ApiKeys;

final class Scenario {
    // `verb` is "request" or one of the words of Runner; `version` is -1 where the scenario's own or the latest is meant.
    record Step(String verb, ApiKeys api, int version, String text, int line) {}

    final String name;
    final ApiKeys subject;
    final List<Integer> versions;
    final List<Step> steps = new ArrayList<>();
    // Lowest version of the subject for which a step runs, and highest: "<4+>" before a step.
    final Map<Step, String> limits = new HashMap<>();

    private Scenario(String name, ApiKeys subject, List<Integer> versions) {
        this.name = name;
        this.subject = subject;
        this.versions = versions;
    }

    static List<Scenario> readAll(Path directory) throws IOException {
        List<Path> files;
        try (Stream<Path> all = Files.list(directory)) {
            files = all.filter(p -> p.toString().endsWith(".txt")).sorted().collect(Collectors.toList());
        }
        List<Scenario> out = new ArrayList<>();
        Map<String, String> macros = new HashMap<>();
        for (Path file : files) {
            try {
                new Reader(file, macros, out).read();
            } catch (RuntimeException e) {
                throw new IllegalArgumentException(file + ": " + e.getMessage(), e);
            }
        }
        return out;
    }

    static ApiKeys api(String name) {
        for (ApiKeys key : ApiKeys.values()) {
            if (ApiMessageType.fromApiKey(key.id).name.equals(name)) return key;
        }
        throw new IllegalArgumentException("no API is named " + name);
    }

    private static final class Reader {
        private final String family;
        private final List<String> lines;
        private final Map<String, String> macros;
        private final List<Scenario> out;
        private Scenario current;

        Reader(Path file, Map<String, String> macros, List<Scenario> out) throws IOException {
            this.family = file.getFileName().toString().replaceFirst("^\\d+-", "").replaceFirst("\\.txt$", "");
            this.lines = Files.readAllLines(file);
            this.macros = macros;
            this.out = out;
        }

        void read() {
            for (int i = 0; i < lines.size(); i++) {
                String line = lines.get(i);
                if (line.isBlank() || line.strip().startsWith("#")) continue;
                StringBuilder whole = new StringBuilder(line.strip());
                int first = i + 1;
                while (open(whole) > 0 && i + 1 < lines.size()) whole.append(' ').append(lines.get(++i).strip());
                try {
                    if (line.startsWith("macro ")) macro(whole.toString());
                    else if (line.startsWith("scenario ")) scenario(whole.toString());
                    else step(expand(whole.toString()), first);
                } catch (RuntimeException e) {
                    throw new IllegalArgumentException("line " + first + ": " + e.getMessage(), e);
                }
            }
        }

        private static int open(CharSequence text) {
            int depth = 0;
            for (int i = 0; i < text.length(); i++) {
                char c = text.charAt(i);
                if (c == '{' || c == '[') depth++;
                if (c == '}' || c == ']') depth--;
            }
            return depth;
        }

        private void macro(String line) {
            String[] parts = line.split("\\s+", 3);
            macros.put(parts[1], parts[2]);
        }

        // A macro is called as !name a b c; the last argument takes the rest of the line.
        private String expand(String line) {
            int at = line.indexOf('!');
            if (at < 0 || (at > 0 && line.charAt(at - 1) != ' ')) return line;
            String call = line.substring(at + 1);
            String name = call.split("\\s+", 2)[0];
            String body = macros.get(name);
            if (body == null) throw new IllegalArgumentException("no macro named " + name);
            int count = 0;
            while (body.contains("%" + (count + 1))) count++;
            String rest = call.substring(name.length()).strip();
            String[] arguments = count == 0 ? new String[0] : rest.split("\\s+", count);
            if (arguments.length != count) throw new IllegalArgumentException("!" + name + " takes " + count + " arguments");
            for (int i = count; i >= 1; i--) body = body.replace("%" + i, arguments[i - 1]);
            return line.substring(0, at) + expand(body);
        }

        private void scenario(String line) {
            String[] parts = line.substring("scenario ".length()).split(":");
            String name = family + "/" + parts[0].strip();
            ApiKeys subject = null;
            List<Integer> versions = new ArrayList<>();
            if (parts.length == 1) {
                versions.add(-1);
            } else {
                String[] about = parts[1].strip().split("\\s+", 2);
                subject = api(about[0]);
                String range = about.length > 1 ? about[1] : "all";
                for (int v = subject.oldestVersion(); v <= subject.latestVersion(false); v++) {
                    if (within(range, v, subject.latestVersion(false))) versions.add(v);
                }
            }
            if (out.stream().anyMatch(s -> s.name.equals(name))) throw new IllegalArgumentException(name + " stands twice");
            current = new Scenario(name, subject, versions);
            out.add(current);
        }

        private void step(String line, int number) {
            if (current == null) throw new IllegalArgumentException("a step before any scenario");
            String limit = "0+";
            if (line.startsWith("<")) {
                limit = line.substring(1, line.indexOf('>'));
                line = line.substring(line.indexOf('>') + 1).strip();
            }
            String[] words = line.split("\\s+", 2);
            String verb = words[0];
            Step step;
            if (verb.equals("setup") || verb.equals("oneway") || verb.equals("send") || verb.equals("unseen")) {
                step = request(verb, words[1], number);
            } else if (Character.isUpperCase(verb.charAt(0))) {
                step = request("request", line, number);
            } else {
                step = new Step(verb, null, -1, words.length > 1 ? words[1] : "", number);
            }
            current.steps.add(step);
            current.limits.put(step, limit);
        }

        private Step request(String verb, String line, int number) {
            String[] words = line.split("\\s+", 2);
            String[] target = words[0].split("@");
            int version = target.length > 1 ? Integer.parseInt(target[1]) : -1;
            return new Step(verb, api(target[0]), version, words.length > 1 ? words[1] : "{}", number);
        }
    }

    static boolean within(String range, int version, int latest) {
        if (range.equals("all")) return true;
        if (range.equals("last")) return version == latest;
        for (String part : range.split(",")) {
            if (Schema.contains(part.strip(), version)) return true;
        }
        return false;
    }
}
