//! `corelog group` and `corelog consume --group`.
//!
//! Key invariant: every member is a process of its own, ended by its id when its test ends; what it printed is in a file.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::broker::{self, Broker, corelog};

/// How long a group may take to become what a test waits for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A consumer in a group.
struct Member {
    process: Child,
    printed: PathBuf,
}

impl Member {
    fn start(broker: &Broker, topic: &str, group: &str, name: &str) -> Self {
        let printed = broker.directory().join(name);
        let out = File::create(&printed).expect("the test's directory is writable");
        let mut command = Command::new(corelog());
        command.args([
            "consume",
            topic,
            "--group",
            group,
            "--from-beginning",
            "--quiet",
            "-b",
            broker.address(),
        ]);
        let process = command.stdout(out).spawn().expect("the binary was built for this test");
        Self { process, printed }
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.printed).expect("the member's output is readable");
        text.lines().map(str::to_owned).collect()
    }

    /// Ends it as Ctrl-C does, and answers its exit code.
    fn end(&mut self) -> Option<i32> {
        broker::signal(&self.process, Signal::INT);
        self.process.wait().expect("it was started here").code()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn produce(broker: &Broker, topic: &str, lines: std::ops::Range<u32>) {
    let text: String = lines.map(|n| format!("key {n}={n}\n")).collect();
    let sent = broker.run_with(&["produce", topic, "--key-separator", "="], text.as_bytes());
    assert_eq!(sent.code, 0, "{sent:?}");
}

fn described(broker: &Broker, group: &str) -> Value {
    broker.json(&["group", "describe", group, "--json"])[0].clone()
}

/// Waits until the group is as `wanted` says.
fn wait_for(broker: &Broker, group: &str, wanted: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let ran = broker.run(&["group", "describe", group, "--json"]);
        let now: Value = serde_json::from_str(&ran.out).unwrap_or_default();
        if wanted(&now[0]) {
            return;
        }
        assert!(Instant::now() < deadline, "group {group} stays {now} {}", ran.err);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Whether so many members have so many partitions between them.
fn has_shared(group: &Value, members: usize, partitions: usize) -> bool {
    let sizes = group["members"].as_array().into_iter().flatten().map(|member| {
        let topics = member["assigned"].as_object().into_iter().flatten();
        topics.map(|(_, indexes)| indexes.as_array().map_or(0, Vec::len)).sum::<usize>()
    });
    let sizes: Vec<usize> = sizes.collect();
    group["state"] == "Stable" && sizes.len() == members && sizes.iter().sum::<usize>() == partitions
}

fn wait_for_lines(members: &[&Member], count: usize) {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let printed: usize = members.iter().map(|member| member.lines().len()).sum();
        if printed >= count {
            return;
        }
        assert!(Instant::now() < deadline, "{printed} of {count} records came");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn offsets(group: &Value) -> Vec<i64> {
    let partitions = group["partitions"].as_array().into_iter().flatten();
    partitions.filter_map(|partition| partition["committed_offset"].as_i64()).collect()
}

#[test]
fn a_group_goes_on_where_it_stood() {
    let broker = Broker::start();
    broker.must(&["topic", "create", "resumed", "--partitions", "3"]);
    produce(&broker, "resumed", 0..300);
    let read = |more: &[&str]| {
        let base = ["consume", "resumed", "--group", "resuming", "--from-beginning", "--until-end"];
        let out = broker.must(&[&base[..], more].concat());
        out.lines().map(|line| line.parse::<u32>().expect("values are numbers")).collect::<Vec<_>>()
    };
    let mut first = read(&[]);
    first.sort_unstable();
    assert_eq!(first, (0..300).collect::<Vec<_>>());
    assert_eq!(read(&[]), Vec::<u32>::new());

    produce(&broker, "resumed", 300..350);
    let group = described(&broker, "resuming");
    assert_eq!(
        (&group["lag"], &group["state"], &group["type"]),
        (&json!(50), &json!("Empty"), &json!("classic"))
    );
    assert_eq!(read(&["--count", "20"]).len(), 20);
    assert_eq!(described(&broker, "resuming")["lag"], json!(30), "exactly what was printed is committed");
    assert_eq!(read(&[]).len(), 30);

    let listed = broker.json(&["group", "list", "--state", "empty", "--type", "classic", "--json"]);
    let listed = listed.as_array().into_iter().flatten().find(|group| group["group"] == "resuming");
    assert_eq!(listed.map(|group| &group["protocol"]), Some(&json!("consumer")));
    let other = broker.json(&["group", "list", "--type", "share", "--json"]);
    assert!(other.as_array().into_iter().flatten().all(|group| group["group"] != "resuming"), "{other}");
}

#[test]
fn members_share_the_partitions_as_they_come_and_go() {
    let broker = Broker::start();
    broker.must(&["topic", "create", "shared", "--partitions", "3"]);
    let mut first = Member::start(&broker, "shared", "sharing", "first");
    wait_for(&broker, "sharing", |group| has_shared(group, 1, 3));
    produce(&broker, "shared", 0..100);
    wait_for_lines(&[&first], 100);

    let mut second = Member::start(&broker, "shared", "sharing", "second");
    wait_for(&broker, "sharing", |group| has_shared(group, 2, 3));
    produce(&broker, "shared", 100..200);
    wait_for_lines(&[&first, &second], 200);

    assert_eq!(first.end(), Some(0));
    wait_for(&broker, "sharing", |group| has_shared(group, 1, 3));
    produce(&broker, "shared", 200..300);
    wait_for_lines(&[&first, &second], 300);
    assert_eq!(second.end(), Some(0));

    let mut all: Vec<u32> = Vec::new();
    for line in [first.lines(), second.lines()].concat() {
        all.push(line.parse().expect("values are numbers"));
    }
    all.sort_unstable();
    assert_eq!(all, (0..300).collect::<Vec<_>>(), "every record came, none twice");
    let group = described(&broker, "sharing");
    assert_eq!((&group["lag"], &group["state"]), (&json!(0), &json!("Empty")));
}

#[test]
fn a_member_that_dies_is_replaced() {
    let broker = Broker::start();
    broker.must(&["topic", "create", "orphaned", "--partitions", "2"]);
    let mut dying = Member::start(&broker, "orphaned", "surviving", "dying");
    let survivor = Member::start(&broker, "orphaned", "surviving", "survivor");
    wait_for(&broker, "surviving", |group| has_shared(group, 2, 2));
    dying.process.kill().expect("it is running");
    wait_for(&broker, "surviving", |group| has_shared(group, 1, 2));
    produce(&broker, "orphaned", 0..100);
    wait_for_lines(&[&survivor], 100);
}

#[test]
fn offsets_move_only_with_execute_and_without_members() {
    let broker = Broker::start();
    broker.must(&["topic", "create", "moved", "--partitions", "2"]);
    produce(&broker, "moved", 0..200);
    let mut member = Member::start(&broker, "moved", "moving", "member");
    wait_for_lines(&[&member], 200);
    let reset = |arguments: &[&str]| broker.run(&[&["group", "reset-offsets", "moving"], arguments].concat());
    for action in [&["--topic", "moved", "--to-earliest", "--execute"][..], &["--all-topics", "--to-latest"]]
    {
        let refused = reset(action);
        assert_eq!(refused.code, 5, "{refused:?}");
        assert!(refused.err.contains("is inactive, but the current state is"), "{refused:?}");
    }
    let refused = broker.run(&["group", "delete", "moving"]);
    assert!(refused.code == 5 && refused.err.contains("NON_EMPTY_GROUP"), "{refused:?}");
    let refused = broker.run(&["group", "delete-offsets", "moving", "--topic", "moved"]);
    assert!(refused.code == 5 && refused.err.contains("GROUP_SUBSCRIBED_TO_TOPIC"), "{refused:?}");
    assert_eq!(member.end(), Some(0));

    let ends = offsets(&described(&broker, "moving"));
    assert_eq!(ends.iter().sum::<i64>(), 200);
    let stands = |reset: &broker::Ran, wanted: &[i64]| {
        assert_eq!(reset.code, 0, "{reset:?}");
        assert_eq!(offsets(&described(&broker, "moving")), wanted, "{reset:?}");
    };
    let dry = reset(&["--all-topics", "--to-earliest"]);
    assert!(dry.err.contains("--execute"), "{dry:?}");
    stands(&dry, &ends);
    stands(&reset(&["--topic", "moved:1", "--to-earliest", "--execute"]), &[ends[0], 0]);
    stands(&reset(&["--all-topics", "--to-offset", "5", "--execute"]), &[5, 5]);
    stands(&reset(&["--all-topics", "--shift-by", "-2", "--execute"]), &[3, 3]);
    let clamped = reset(&["--all-topics", "--shift-by=-9", "--execute"]);
    assert!(clamped.err.contains("before the start of partition 1 of moved; 0 is taken"), "{clamped:?}");
    stands(&clamped, &[0, 0]);
    stands(&reset(&["--topic", "moved", "--to-datetime", "2100-01-01T00:00:00", "--execute"]), &ends);
    stands(&reset(&["--topic", "moved", "--by-duration", "P1D", "--execute"]), &[0, 0]);
    assert_eq!(reset(&["--topic", "moved:9", "--to-latest"]).code, 4);
    assert_eq!(reset(&["--topic", "moved", "--to-latest", "--to-earliest"]).code, 2);
    let unknown = broker.run(&["group", "reset-offsets", "fresh", "--topic", "moved", "--shift-by", "1"]);
    assert!(unknown.code == 1 && unknown.err.contains("no offset"), "{unknown:?}");
}

#[test]
fn groups_come_into_being_and_are_deleted() {
    let broker = Broker::start();
    broker.must(&["topic", "create", "made", "--partitions", "2"]);
    produce(&broker, "made", 0..10);
    for group in ["made-one", "made-two"] {
        broker.must(&["group", "reset-offsets", group, "--topic", "made", "--to-earliest", "--execute"]);
        assert_eq!(described(&broker, group)["lag"], json!(10));
    }
    let table = broker.must(&["group", "describe", "made-one"]);
    let row = table.lines().nth(2).expect("two partitions have rows").split_whitespace().collect::<Vec<_>>();
    assert_eq!((row[0], row[1], row[2], row[3], row[6]), ("made-one", "made", "0", "0", "-"), "{table}");

    broker.must(&["group", "delete-offsets", "made-one", "--topic", "made:1"]);
    assert_eq!(offsets(&described(&broker, "made-one")), [0]);
    let deleted = broker.run(&["group", "delete", "made-two", "made-three"]);
    assert_eq!((deleted.code, deleted.out.as_str()), (4, "Deleted group made-two.\n"), "{deleted:?}");
    assert!(
        deleted.err.contains("GROUP_ID_NOT_FOUND") && deleted.err.contains("corelog group list"),
        "{deleted:?}"
    );
    assert_eq!(broker.run(&["group", "delete", "made-two", "--if-exists"]).code, 0);
    assert_eq!(broker.run(&["group", "describe", "made-two"]).code, 4);
}
