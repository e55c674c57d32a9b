//! The files of a run: JSON, and for each kind of latency `.hgrm` and `.hlog`.
//!
//! Key invariant: a file appears under its name only when it is whole; until then it has a temporary name beside it. Every
//! error names the path.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{ReportError, hgrm, hlog};
use crate::result::RunRecord;

/// Run files larger than this are refused when read: 1 GiB.
pub const RUN_FILE_BYTES_MAX: u64 = 1 << 30;

/// Writes `NAME.json`, and `NAME.LATENCY.hgrm` and `.hlog` for each kind of latency, into `folder`, which is made if it
/// does not exist. Returns their paths, that of the JSON first.
pub fn write_run(record: &RunRecord, folder: &Path, name: &str) -> Result<Vec<PathBuf>, ReportError> {
    prepare(folder)?;
    let mut written = vec![folder.join(format!("{name}.json"))];
    write(&written[0], &record.to_json()?)?;
    for (timing, latency) in &record.measured.latencies {
        let distribution = folder.join(format!("{name}.{}.hgrm", timing.name()));
        write(&distribution, &hgrm::text(&latency.latencies()?))?;
        let log = folder.join(format!("{name}.{}.hlog", timing.name()));
        write(&log, &hlog::text(record, *timing)?)?;
        written.extend([distribution, log]);
    }
    Ok(written)
}

/// Makes the folder and proves that files can be written there, so that a run does not end with results that have no place.
pub fn prepare(folder: &Path) -> Result<(), ReportError> {
    let failed = |source| ReportError::Write { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let probe = temporary(&folder.join("probe"));
    let result = File::create(&probe).and_then(|mut file| file.write_all(b"probe")).map_err(failed);
    // A probe that was not made cannot be removed.
    let _ = fs::remove_file(&probe);
    result
}

/// Writes a text under a temporary name, then renames it. What exists and is no regular file (a pipe, a device) is
/// written to directly.
pub fn write(path: &Path, text: &str) -> Result<(), ReportError> {
    let special = fs::metadata(path).is_ok_and(|facts| !facts.is_file() && !facts.is_dir());
    let result = if special {
        File::options().write(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()))
    } else {
        replace(path, text)
    };
    result.map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

/// Reads a run's file.
pub fn read_run(path: &Path) -> Result<RunRecord, ReportError> {
    let failed = |source| ReportError::Read { path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > RUN_FILE_BYTES_MAX {
        let why = format!("it has {size} bytes; a run's file has at most {RUN_FILE_BYTES_MAX}");
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, why)));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    RunRecord::from_json(&text).map_err(|source| ReportError::NotARun { path: path.to_owned(), source })
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = temporary(path);
    let result = File::create(&unfinished)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            // Some filesystems tell of a full disk only here.
            file.sync_all()
        })
        .and_then(|()| fs::rename(&unfinished, path));
    if result.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&unfinished);
    }
    result
}

fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.unfinished", std::process::id()))
}
