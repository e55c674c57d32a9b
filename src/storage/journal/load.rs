//! The files of the journal's directory: their names, and their content as a start finds it.
//!
//! Key invariant: only names that [`FileName`] makes are read back; other files are left alone. Reading happens before the
//! shards start, on threads of its own, and changes nothing.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// The directory within the data directory.
pub const JOURNAL_DIRECTORY: &str = "journal";
const JOURNAL_SUFFIX: &str = ".journal";
const MANIFEST_SUFFIX: &str = ".manifest";
/// Threads that read at once; a few keep any device busy.
const READERS_MAX: usize = 4;
/// Bytes of one read.
const READ_BYTES: usize = 1 << 20;
const PAGE_BYTES: usize = 4096;
const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// The name of one of our files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// `<incarnation, 16 hex digits>-<shard, 4 digits>-<number, 4 digits>.journal`
    Journal { incarnation: u64, shard: u16, number: u16 },
    /// `<incarnation, 16 hex digits>-<shard, 4 digits>.manifest`
    Manifest { incarnation: u64, shard: u16 },
}

impl FileName {
    /// Reads a name back; `None` if it is not exactly as [`fmt::Display`] writes it.
    pub fn parse(name: &str) -> Option<Self> {
        let read = if let Some(stem) = name.strip_suffix(JOURNAL_SUFFIX) {
            let mut parts = stem.split('-');
            let (incarnation, shard, number) = (parts.next()?, parts.next()?, parts.next()?);
            let incarnation = u64::from_str_radix(incarnation, 16).ok()?;
            Self::Journal { incarnation, shard: shard.parse().ok()?, number: number.parse().ok()? }
        } else {
            let (incarnation, shard) = name.strip_suffix(MANIFEST_SUFFIX)?.split_once('-')?;
            let incarnation = u64::from_str_radix(incarnation, 16).ok()?;
            Self::Manifest { incarnation, shard: shard.parse().ok()? }
        };
        (read.to_string() == name).then_some(read)
    }

    /// Which start of the broker made the file.
    pub fn incarnation(self) -> u64 {
        match self {
            Self::Journal { incarnation, .. } | Self::Manifest { incarnation, .. } => incarnation,
        }
    }

    /// Whose file it is.
    pub fn shard(self) -> u16 {
        match self {
            Self::Journal { shard, .. } | Self::Manifest { shard, .. } => shard,
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal { incarnation, shard, number } => {
                write!(f, "{incarnation:016x}-{shard:04}-{number:04}{JOURNAL_SUFFIX}")
            }
            Self::Manifest { incarnation, shard } => {
                write!(f, "{incarnation:016x}-{shard:04}{MANIFEST_SUFFIX}")
            }
        }
    }
}

/// A file and all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    pub name: String,
    pub content: Bytes,
}

/// What the journal's directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalFiles {
    pub journals: Vec<NamedFile>,
    pub manifests: Vec<NamedFile>,
}

impl JournalFiles {
    /// Sorts files by their names; those that are not ours are dropped.
    pub fn of(files: impl Iterator<Item = (String, Bytes)>) -> Self {
        let mut sorted = Self::default();
        for (name, content) in files {
            let list = match FileName::parse(&name) {
                Some(FileName::Journal { .. }) => &mut sorted.journals,
                Some(FileName::Manifest { .. }) => &mut sorted.manifests,
                None => continue,
            };
            list.push(NamedFile { name, content });
        }
        sorted.journals.sort_by(|a, b| a.name.cmp(&b.name));
        sorted.manifests.sort_by(|a, b| a.name.cmp(&b.name));
        sorted
    }
}

/// Reads every file of the journal of the data directory `data`; without the directory there are none. Blocks. An error names
/// the file.
pub fn load(data: &Path) -> io::Result<JournalFiles> {
    let directory = data.join(JOURNAL_DIRECTORY);
    let names = names_in(&directory).map_err(|error| named(&directory, error))?;
    let next = AtomicUsize::new(0);
    let read: Mutex<Vec<(String, io::Result<Bytes>)>> = Mutex::new(Vec::with_capacity(names.len()));
    std::thread::scope(|scope| {
        for _ in 0..READERS_MAX.min(names.len()) {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let path = directory.join(name);
                    let content = read_whole(&path).map_err(|error| named(&path, error));
                    read.lock().expect("no reader panics with it").push((name.clone(), content));
                }
            });
        }
    });
    let read = read.into_inner().expect("no reader panicked with it");
    let read: io::Result<Vec<(String, Bytes)>> =
        read.into_iter().map(|(name, content)| Ok((name, content?))).collect();
    Ok(JournalFiles::of(read?.into_iter()))
}

fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    let listing = match fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let mut names = vec![];
    for entry in listing {
        let name = entry?.file_name();
        names.extend(name.to_str().filter(|name| FileName::parse(name).is_some()).map(str::to_owned));
    }
    Ok(names)
}

/// The content of a file. Most of a journal may be zeros: pages of zeros are not copied, so that they take no memory.
fn read_whole(path: &Path) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    // An advice only: without it the file is read all the same.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
    let length = usize::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut content = vec![0; length];
    let mut part = vec![0; READ_BYTES.min(length.next_multiple_of(PAGE_BYTES))];
    for target in content.chunks_mut(READ_BYTES) {
        let part = &mut part[..target.len()];
        file.read_exact(part)?;
        for (page, target) in part.chunks(PAGE_BYTES).zip(target.chunks_mut(PAGE_BYTES)) {
            if !is_zero(page) {
                target.copy_from_slice(page);
            }
        }
    }
    Ok(Bytes::from(content))
}

/// Whether there are only zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(PAGE_BYTES).all(|page| *page == ZEROS[..page.len()])
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
