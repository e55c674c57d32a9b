//! Reports of runs: the live line, the summary, run files, HdrHistogram's text formats, merging, comparing, the page.
//!
//! Key invariant: everything is made from [`RunRecord`](crate::result::RunRecord)s, so that a report of a file equals the
//! report of the run. Texts are returned; printing is left to `cli`. Only `files` touches the disk, only `live` a terminal.

pub mod compare;
pub mod files;
mod format;
pub mod hgrm;
pub mod hlog;
pub mod html;
pub mod live;
pub mod merge;
pub mod side_by_side;
pub mod summary;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use crate::measure::PackedError;
use crate::result::ResultError;

/// Why a report could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    NotARun { path: PathBuf, source: ResultError },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("the results cannot be written: {0}")]
    Result(#[from] ResultError),
    #[error("the results hold a histogram that cannot be used: {0}")]
    Histogram(#[from] PackedError),
    #[error("{0}")]
    Merge(#[from] merge::MergeError),
}
