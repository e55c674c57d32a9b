//! Holds the house rules and checks every file of the repository against them; each violation is listed at once.
//!
//! Key invariant: the lists below are the rules. A change of the room order needs a note in `docs/decisions/`.
//! Formatting is left to rustfmt, everything that needs types to clippy.

#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/text.rs"]
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// A crate with rooms.
#[derive(Debug)]
pub struct House {
    /// Its sources, from the repository's root.
    pub sources: &'static str,
    /// Lowest first: a room imports only rooms that stand above it in this list.
    pub rooms: &'static [&'static str],
    /// Rooms without a runtime, files, sockets, a clock or randomness: time and chance are arguments there.
    pub pure: &'static [&'static str],
}

/// The crates with rooms: the broker and its load generator.
pub const HOUSES: [House; 2] = [
    House {
        sources: "src",
        rooms: &[
            "model",
            "config",
            "metrics",
            "record",
            "protocol",
            "metadata",
            "coordinator",
            "io",
            "storage",
            "partition",
            "shard",
            "cluster",
            "handlers",
            "network",
            "control",
            "broker",
            "cli",
        ],
        pure: &["model", "config", "metrics", "record", "protocol", "metadata", "coordinator"],
    },
    House {
        sources: "tools/corelog-bench/src",
        rooms: &[
            "workload", "payload", "verify", "schedule", "measure", "result", "report", "host", "client",
            "ceiling", "drive", "cli",
        ],
        pure: &["workload", "payload", "verify", "schedule", "measure", "result"],
    },
];

/// Folders and files that hold nothing of the repository's own, wherever they lie.
const SKIPPED: [&str; 4] = ["target", ".git", "node_modules", "__pycache__"];
/// Other people's sources, patched (`vendor/README.md`): their style is theirs, but what no file may name they may not either.
const VENDORED: &str = "vendor";
/// Where `make run` keeps its records.
const DATA_FOLDER: &str = "data";

/// One broken rule. Lines count from 1.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    pub file: PathBuf,
    pub line: usize,
    pub rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.rule)
    }
}

#[test]
fn every_file_keeps_the_house_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut violations = Vec::new();
    let mut sources = 0;
    for file in files_below(root) {
        let Ok(bytes) = std::fs::read(root.join(&file)) else { continue };
        let Ok(content) = String::from_utf8(bytes) else { continue };
        text::check(&file, &content, &mut violations);
        if file.starts_with(VENDORED) {
            continue;
        }
        if file.extension().is_some_and(|extension| extension == "rs") {
            sources += 1;
            source::check(&file, &content, &mut violations);
        }
    }
    assert!(sources > 20, "only {sources} source files were found below {}", root.display());
    violations.sort();
    let listed: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(listed.is_empty(), "{} broken house rules:\n{}\n", listed.len(), listed.join("\n"));
}

#[test]
fn the_libraries_list_their_rooms_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for house in &HOUSES {
        let sources = root.join(house.sources);
        let library = std::fs::read_to_string(sources.join("lib.rs")).expect("lib.rs is readable");
        let listed: Vec<&str> = library
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
            .collect();
        assert_eq!(listed, house.rooms);
        let folders: BTreeSet<String> = std::fs::read_dir(&sources)
            .expect("the sources are readable")
            .filter_map(|entry| {
                let entry = entry.ok()?;
                entry.path().is_dir().then(|| entry.file_name().to_string_lossy().into_owned())
            })
            .collect();
        let rooms: BTreeSet<String> = house.rooms.iter().map(ToString::to_string).collect();
        assert_eq!(folders, rooms, "each folder of {} is a room and each room has its folder", house.sources);
    }
}

#[test]
fn the_profile_of_release_builds_was_recorded_with_these_dependencies() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pgo");
    let said =
        std::process::Command::new(folder.join("built-for.sh")).output().expect("a shell runs it").stdout;
    let now = String::from_utf8(said).expect("one line");
    let recorded = std::fs::read_to_string(folder.join("recorded-for")).expect("it lies beside the profile");
    let dependencies = |line: &str| line.split_whitespace().last().map(ToOwned::to_owned);
    assert!(dependencies(&now).is_some_and(|last| last.starts_with("Cargo.lock:")), "{now}");
    assert_eq!(dependencies(&recorded), dependencies(&now), "all symbols have other names now: make profile");
}

/// Every file below `root`, relative to it.
fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name();
            if SKIPPED.iter().any(|skipped| name == *skipped) || (folder == root && name == DATA_FOLDER) {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file()
                && let Ok(relative) = entry.path().strip_prefix(root)
            {
                files.push(relative.to_path_buf());
            }
        }
    }
    files.sort();
    files
}
