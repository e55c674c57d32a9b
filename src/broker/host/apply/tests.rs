//! Tests of applying and undoing, on a copy of a host.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

const SCHEDULER: &str = "/sys/block/sda/queue/scheduler";
const SWAPPINESS: &str = "/proc/sys/vm/swappiness";
const BACKLOG: &str = "/proc/sys/net/core/somaxconn";

fn host() -> (tempfile::TempDir, Tree) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (path, text) in [(SCHEDULER, "none [mq-deadline] kyber\n"), (SWAPPINESS, "60\n"), (BACKLOG, "128\n")]
    {
        let place = directory.path().join(&path[1..]);
        fs::create_dir_all(place.parent().expect("it has one")).expect("writable");
        fs::write(place, text).expect("writable");
    }
    let tree = Tree::copy(directory.path()).expect("it is there");
    (directory, tree)
}

fn text(directory: &tempfile::TempDir, path: &str) -> String {
    fs::read_to_string(directory.path().join(&path[1..])).expect("it is there")
}

fn change(path: &str, old: &str, new: &str) -> Change {
    Change { setting: "s".to_owned(), path: path.to_owned(), old: old.to_owned(), new: new.to_owned() }
}

fn all() -> [Change; 3] {
    [change(SCHEDULER, "mq-deadline", "none"), change(SWAPPINESS, "60", "1"), change(BACKLOG, "128", "4096")]
}

fn opened(directory: &Path) -> UndoFile {
    UndoFile::open(&directory.join("var/undo.toml")).expect("it is sound")
}

#[test]
fn what_was_applied_is_undone_to_the_byte() {
    let (directory, tree) = host();
    let steps = apply(&tree, &all(), &mut opened(directory.path())).expect("writable");
    assert!(steps.iter().all(|step| step.outcome == Outcome::Done), "{steps:?}");
    assert_eq!(text(&directory, SCHEDULER), "[none] mq-deadline kyber\n");
    assert_eq!(text(&directory, SWAPPINESS), "1\n");
    let mut undo = opened(directory.path());
    assert_eq!(undo.changes(), all());
    let steps = revert(&tree, &mut undo, false).expect("there is something");
    assert!(steps.iter().all(|step| step.outcome == Outcome::Done), "{steps:?}");
    assert_eq!(text(&directory, SCHEDULER), "none [mq-deadline] kyber\n");
    assert_eq!(text(&directory, SWAPPINESS), "60\n");
    assert_eq!(text(&directory, BACKLOG), "128\n");
    assert!(!undo.path().exists(), "nothing is left to undo");
    assert!(matches!(revert(&tree, &mut undo, false), Err(TuneError::NoUndo { .. })));
}

#[test]
fn a_change_that_fails_is_told_and_the_others_are_made_and_covered() {
    let (directory, tree) = host();
    let refused = directory.path().join(&SWAPPINESS[1..]);
    fs::set_permissions(&refused, fs::Permissions::from_mode(0o444)).expect("it is ours");
    let mut undo = opened(directory.path());
    let steps = apply(&tree, &all(), &mut undo).expect("the undo file is writable");
    let failed: Vec<bool> = steps.iter().map(Step::is_failure).collect();
    assert_eq!(failed, [false, true, false]);
    assert_eq!(text(&directory, SWAPPINESS), "60\n");
    let covered: Vec<&str> = undo.changes().iter().map(|change| change.path.as_str()).collect();
    assert_eq!(covered, [SCHEDULER, BACKLOG]);
    assert_eq!(opened(directory.path()), undo, "the file says the same");
}

#[test]
fn applied_twice_it_goes_back_to_what_was_before_the_first_time() {
    let (directory, tree) = host();
    apply(&tree, &[change(SWAPPINESS, "60", "10")], &mut opened(directory.path())).expect("writable");
    apply(&tree, &[change(SWAPPINESS, "10", "1")], &mut opened(directory.path())).expect("writable");
    let mut undo = opened(directory.path());
    assert_eq!(undo.changes(), [change(SWAPPINESS, "60", "1")]);
    revert(&tree, &mut undo, false).expect("there is something");
    assert_eq!(text(&directory, SWAPPINESS), "60\n");
}

#[test]
fn what_somebody_changed_since_is_left_alone_unless_forced() {
    let (directory, tree) = host();
    apply(&tree, &all(), &mut opened(directory.path())).expect("writable");
    tree.write(SWAPPINESS, "30").expect("writable");
    tree.write(BACKLOG, "128").expect("writable");
    let mut undo = opened(directory.path());
    let steps = revert(&tree, &mut undo, false).expect("there is something");
    let outcomes: Vec<&Outcome> = steps.iter().map(|step| &step.outcome).collect();
    let changed = Outcome::ChangedSince("30".to_owned());
    assert_eq!(outcomes, [&Outcome::AlreadyThere, &changed, &Outcome::Done], "the last first");
    assert_eq!(text(&directory, SWAPPINESS), "30\n");
    let mut undo = opened(directory.path());
    assert_eq!(undo.changes(), [change(SWAPPINESS, "60", "1")], "it can still be undone");
    revert(&tree, &mut undo, true).expect("there is something");
    assert_eq!(text(&directory, SWAPPINESS), "60\n");
}

#[test]
fn without_an_undo_file_nothing_is_changed() {
    let (directory, tree) = host();
    let mut undo = UndoFile::open(&directory.path().join("dir")).expect("absent is empty");
    fs::create_dir(directory.path().join("dir")).expect("writable");
    let error = apply(&tree, &all(), &mut undo).expect_err("a directory stands there");
    assert!(matches!(error, TuneError::UndoUnwritable { .. }), "{error}");
    assert_eq!(text(&directory, SWAPPINESS), "60\n");
}

#[test]
fn a_damaged_undo_file_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("undo.toml");
    let row = "[[change]]\nsetting = \"s\"\npath = \"/proc/sys/vm/swappiness\"\nold = \"60\"\nnew = \"1\"\n";
    let sound = format!("format = 1\n{row}");
    for (text, line) in [
        ("format = 1\n[[change]]\nsetting = 1\n".to_owned(), "line 3"),
        (sound.replace("/proc/sys/vm/swappiness", "/etc/passwd"), "/etc/passwd"),
        (sound.replace("/proc/sys/vm/swappiness", "/proc/../etc/passwd"), "/etc/passwd"),
        (sound.replace("\"60\"", "\"\""), "swappiness"),
        (sound.replace("format = 1", "format = 3"), "format 3"),
        ("nonsense".to_owned(), "line 1"),
    ] {
        fs::write(&path, text).expect("writable");
        let error = UndoFile::open(&path).expect_err("it is damaged").to_string();
        assert!(error.contains(line) && error.contains("nothing was changed"), "{error}");
    }
    fs::write(&path, sound).expect("writable");
    assert_eq!(UndoFile::open(&path).expect("it is sound").changes().len(), 1);
}
