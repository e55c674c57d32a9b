//! Files of runs as the commands name them.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::report::files;
use crate::result::RunRecord;

/// The record in a run's file.
pub fn read_run(path: &Path) -> Result<RunRecord, Failure> {
    files::read_run(path).map_err(|error| file_failure(path, error))
}

/// A prefix of files, taken apart into folder and name.
pub fn folder_and_name(prefix: &Path) -> (PathBuf, String) {
    let name =
        prefix.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned());
    let folder = prefix.parent().filter(|folder| !folder.as_os_str().is_empty());
    (folder.map_or_else(|| PathBuf::from("."), PathBuf::from), name)
}

/// What went wrong with a file.
pub fn file_failure(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::File { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_folder_and_a_name() {
        let split = |text: &str| folder_and_name(Path::new(text));
        assert_eq!(split("runs/a"), (PathBuf::from("runs"), "a".to_owned()));
        assert_eq!(split("a"), (PathBuf::from("."), "a".to_owned()));
    }
}
