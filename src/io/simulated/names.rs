//! The names of a simulated disk: what they stand for, and how they change.
//!
//! Key invariant: applying the same changes to the same names gives the same names. Which changes a crash keeps is left to
//! the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Directory,
    File(u64),
}

/// A change of names, in the order of the file system's journal.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Link(PathBuf, Entry),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl NameChange {
    /// Whether it changes what `directory` lists.
    pub(super) fn touches(&self, directory: &Path) -> bool {
        let within = |path: &Path| path.parent() == Some(directory);
        match self {
            Self::Link(path, _) | Self::Unlink(path) => within(path),
            Self::Rename(from, to) => within(from) || within(to),
        }
    }

    /// Makes the change.
    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, Entry>) {
        match self {
            Self::Link(path, entry) => {
                names.insert(path.clone(), *entry);
            }
            Self::Unlink(path) => names.retain(|name, _| !name.starts_with(path)),
            Self::Rename(from, to) => {
                let moved: Vec<PathBuf> =
                    names.keys().filter(|name| name.starts_with(from)).cloned().collect();
                for name in moved {
                    let tail = name.strip_prefix(from).expect("filtered by this prefix");
                    let target = if tail.as_os_str().is_empty() { to.clone() } else { to.join(tail) };
                    if let Some(entry) = names.remove(&name) {
                        names.insert(target, entry);
                    }
                }
            }
        }
    }
}
