//! The executor: makes planned changes, and takes them back.
//!
//! Key invariants: what is about to be changed is in the undo file before anything is; a change that fails is told and does
//! not keep the others from being made; undoing leaves alone what somebody else changed since, unless that is forced.

use std::io;

use super::error::TuneError;
use super::plan::Change;
use super::tree::{Tree, selection};
use super::undo::UndoFile;

/// What became of one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It was as it should be already.
    AlreadyThere,
    /// The kernel has interrupts of some devices to itself, and refuses (managed interrupts).
    KernelManaged,
    /// Somebody made it this since; it was left alone.
    ChangedSince(String),
    Failed(String),
}

/// One change and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub change: Change,
    pub outcome: Outcome,
}

impl Step {
    /// Whether the host is not as it was asked to be.
    pub fn is_failure(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_) | Outcome::ChangedSince(_))
    }
}

/// Makes the changes, in their order. `undo` covers them, and what it covered before.
pub fn apply(tree: &Tree, changes: &[Change], undo: &mut UndoFile) -> Result<Vec<Step>, TuneError> {
    if changes.is_empty() {
        return Ok(vec![]);
    }
    let before = undo.clone();
    undo.add(changes);
    let path = undo.path().to_owned();
    undo.save().map_err(|source| TuneError::UndoUnwritable { path: path.clone(), source })?;
    let mut steps = vec![];
    for change in changes {
        let outcome = write(tree, &change.path, &change.new);
        match current(tree, &change.path) {
            // Nothing happened, so only what an earlier run noted can be undone.
            Ok(found) if same(&found, &change.old) => undo.restore(&before, &change.path),
            // Also after a failure: what the kernel made of it is what can be undone.
            Ok(found) => undo.correct(&change.path, &found),
            Err(_) => {}
        }
        steps.push(Step { change: change.clone(), outcome });
    }
    undo.save().map_err(|source| TuneError::Io { path, source })?;
    Ok(steps)
}

/// Takes the changes back, the last first. With `force` also what was changed by others since.
pub fn revert(tree: &Tree, undo: &mut UndoFile, force: bool) -> Result<Vec<Step>, TuneError> {
    if undo.changes().is_empty() {
        return Err(TuneError::NoUndo { path: undo.path().to_owned() });
    }
    let mut steps = vec![];
    for change in undo.changes().to_vec().into_iter().rev() {
        let outcome = match current(tree, &change.path) {
            Err(error) => Outcome::Failed(error.to_string()),
            Ok(found) if same(&found, &change.old) => Outcome::AlreadyThere,
            Ok(found) if !same(&found, &change.new) && !force => Outcome::ChangedSince(found),
            Ok(_) => write(tree, &change.path, &change.old),
        };
        if matches!(outcome, Outcome::Done | Outcome::AlreadyThere) {
            undo.forget(&change.path);
        }
        let Change { setting, path, old, new } = change;
        steps.push(Step { change: Change { setting, path, old: new, new: old }, outcome });
    }
    let path = undo.path().to_owned();
    undo.save().map_err(|source| TuneError::Io { path, source })?;
    Ok(steps)
}

/// Writes a value, and looks what the kernel made of it.
fn write(tree: &Tree, path: &str, value: &str) -> Outcome {
    match tree.write(path, value) {
        Ok(()) => {}
        Err(error) if path.starts_with("/proc/irq/") && is_io_error(&error) => return Outcome::KernelManaged,
        Err(error) => return Outcome::Failed(error.to_string()),
    }
    match current(tree, path) {
        Ok(found) if same(&found, value) => Outcome::Done,
        Ok(found) => Outcome::Failed(format!("the kernel made {found} of it")),
        Err(error) => Outcome::Failed(format!("written, but not readable now: {error}")),
    }
}

fn current(tree: &Tree, path: &str) -> io::Result<String> {
    Ok(selection(&tree.read(path)?).0)
}

/// EIO is what the kernel answers for interrupts that it manages.
fn is_io_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

/// Values are the same whatever space is between their parts.
fn same(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}

#[cfg(test)]
#[path = "apply/tests.rs"]
mod tests;
