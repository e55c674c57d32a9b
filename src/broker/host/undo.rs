//! The undo file: what every changed file had before the first change.
//!
//! ```toml
//! format = 1
//! [[change]]
//! setting = "swappiness"
//! path = "/proc/sys/vm/swappiness"
//! old = "60"
//! new = "1"
//! ```
//!
//! Key invariants: it is replaced whole, and durable before a change is made; a file changed twice keeps its first `old`.
//! What it says is checked like a profile: nothing outside of `/sys` and `/proc` is ever written for it.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{TuneError, parse_failure};
use super::plan::Change;
use super::profile::{is_tunable, is_value};

const FORMAT: u32 = 1;
/// Bytes of an undo file.
const UNDO_BYTES_MAX: u64 = 16 << 20;

/// What can be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoFile {
    path: PathBuf,
    changes: Vec<Change>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: u32,
    #[serde(default)]
    change: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    setting: String,
    path: String,
    old: String,
    new: String,
}

impl UndoFile {
    /// Reads one; an absent one has nothing in it.
    pub fn open(path: &Path) -> Result<Self, TuneError> {
        let none = Self { path: path.to_owned(), changes: vec![] };
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(none),
            Err(source) => return Err(TuneError::Io { path: path.to_owned(), source }),
        };
        let damaged = |line, reason| TuneError::Undo { path: path.to_owned(), line, reason };
        let mut text = String::new();
        file.take(UNDO_BYTES_MAX).read_to_string(&mut text).map_err(|error| damaged(1, error.to_string()))?;
        let parsed: Text = toml::from_str(&text).map_err(|error| {
            let (line, reason) = parse_failure(&text, &error);
            damaged(line, reason)
        })?;
        if parsed.format != FORMAT {
            return Err(damaged(1, format!("format {} is not known", parsed.format)));
        }
        let changes: Vec<Change> = parsed.change.into_iter().map(Row::into_change).collect();
        if let Some(change) =
            changes.iter().find(|change| !is_tunable(&change.path) || !is_value(&change.old))
        {
            return Err(damaged(1, format!("{} is not a change of a setting", change.path)));
        }
        Ok(Self { changes, ..none })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What can be undone, in the order in which it was done.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Takes note of changes. What a file had before the first of them is what it goes back to.
    pub(super) fn add(&mut self, changes: &[Change]) {
        for change in changes {
            match self.changes.iter_mut().find(|known| known.path == change.path) {
                Some(known) => known.new.clone_from(&change.new),
                None => self.changes.push(change.clone()),
            }
        }
    }

    /// Forgets files that are as they were.
    pub(super) fn forget(&mut self, path: &str) {
        self.changes.retain(|change| change.path != path);
    }

    /// Says of a file what `before` said.
    pub(super) fn restore(&mut self, before: &Self, path: &str) {
        let known = before.changes.iter().find(|change| change.path == path);
        match known {
            Some(known) => self.correct(path, &known.new),
            None => self.forget(path),
        }
    }

    /// Takes note of what the kernel made of a value.
    pub(super) fn correct(&mut self, path: &str, new: &str) {
        if let Some(change) = self.changes.iter_mut().find(|change| change.path == path) {
            new.clone_into(&mut change.new);
        }
    }

    /// Makes the file say what this says; with nothing to undo there is none.
    pub(super) fn save(&self) -> io::Result<()> {
        if self.changes.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let row = |change: &Change| Row {
            setting: change.setting.clone(),
            path: change.path.clone(),
            old: change.old.clone(),
            new: change.new.clone(),
        };
        let text = Text { format: FORMAT, change: self.changes.iter().map(row).collect() };
        let text = toml::to_string(&text).map_err(io::Error::other)?;
        replace(
            &self.path,
            &format!("# Written by `corelog tune apply`; `corelog tune undo` reads it.\n{text}"),
        )
    }
}

impl Row {
    fn into_change(self) -> Change {
        let Self { setting, path, old, new } = self;
        Change { setting, path, old, new }
    }
}

/// Replaces a file whole and durably, with its directory where absent.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let absolute = std::path::absolute(path)?;
    let directory = absolute.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let mut beside = absolute.as_os_str().to_owned();
    beside.push(".tmp");
    let mut file = fs::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, &absolute)?;
    fs::File::open(directory)?.sync_all()
}
