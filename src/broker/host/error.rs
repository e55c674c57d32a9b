//! Why a host cannot be tuned.
//!
//! Key invariant: each text is one sentence that names the file, and the line where there is one.

use std::io;
use std::path::PathBuf;

/// A profile, an undo file or a host that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    #[error("{file} line {line}: {reason}")]
    Profile { file: String, line: usize, reason: String },
    #[error("{file}: {reason}")]
    File { file: String, reason: String },
    #[error("the undo file {path} is damaged (line {line}: {reason}); nothing was changed")]
    Undo { path: PathBuf, line: usize, reason: String },
    #[error("there is no undo file {path}: nothing was applied, or it was undone already")]
    NoUndo { path: PathBuf },
    #[error("cannot write the undo file {path}, so nothing was changed: {source}")]
    UndoUnwritable { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// The line, counted from 1, that a byte of `text` stands in.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// What toml says of a text that does not parse: the line and the reason, without the excerpt.
pub(super) fn parse_failure(text: &str, error: &toml::de::Error) -> (usize, String) {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    (line, error.message().lines().collect::<Vec<_>>().join("; "))
}
