//! Sorts the files of earlier starts into journals, one for each shard of each start.
//!
//! Key invariants: what a file says of itself counts, its name only where it says nothing. A file of another format is an
//! error before anything is decided. Every file is in exactly one list of those that may be deleted.

use std::collections::BTreeMap;

use super::damage::{Damage, Fault};
use super::header::{FileHeader, FileHeaderError};
use super::layout::FILE_HEADER_BLOCK_BYTES;
use super::load::{FileName, JournalFiles, NamedFile, is_zero};
use super::manifest::{Manifest, ManifestError};
use super::replay::ReplayError;

/// One shard of one start; orders journals by age.
pub(super) type Home = (u64, u16);

/// A journal with all that was found of it.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub home: Home,
    pub id: u64,
    pub files: Vec<NamedFile>,
    pub manifest: Option<Manifest>,
    /// Of the manifest, whether it reads or not.
    pub manifest_names: Vec<String>,
    /// There is a manifest that does not read, and none that does.
    pub is_manifest_lost: bool,
}

impl Journal {
    /// The names of the files that hold its groups.
    pub(super) fn file_names(&self) -> Vec<String> {
        self.files.iter().map(|file| file.name.clone()).collect()
    }
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Oldest first.
    pub journals: Vec<Journal>,
    pub damages: Vec<Damage>,
    /// Names of files that belong to none of the journals.
    pub others: Vec<String>,
    /// 0 if there is nothing.
    pub incarnation_max: u64,
}

/// Files that do not say what they are.
#[derive(Default)]
struct Nameless {
    files: Vec<(Home, NamedFile)>,
    manifests: Vec<(Home, String)>,
}

/// Tells which file belongs to which journal.
pub(super) fn sort(files: JournalFiles) -> Result<Sources, ReplayError> {
    let mut sources = Sources::default();
    let mut nameless = Nameless::default();
    let mut journals: BTreeMap<(Home, u64), Journal> = BTreeMap::new();
    for NamedFile { name, content } in files.manifests {
        let Some(home) = home_of(&name, &mut sources) else { continue };
        let manifest = match Manifest::decode(&content) {
            Ok(manifest) => manifest,
            Err(ManifestError::UnknownFormat { found }) => {
                return Err(ReplayError::UnknownFormat { file: name, found });
            }
            Err(ManifestError::NotAManifest | ManifestError::Damaged(_)) => {
                nameless.manifests.push((home, name));
                continue;
            }
        };
        let journal = journal_at(&mut journals, (manifest.incarnation, manifest.shard), manifest.journal);
        journal.manifest_names.push(name);
        let known = journal.manifest.as_ref().map(|known| known.from_sequence);
        if known.is_none_or(|known| known < manifest.from_sequence) {
            journal.manifest = Some(manifest);
        }
    }
    for file in files.journals {
        let Some(home) = home_of(&file.name, &mut sources) else { continue };
        match FileHeader::decode(&file.content) {
            Ok(header) => {
                let home = (header.incarnation, header.shard);
                journal_at(&mut journals, home, header.journal).files.push(file);
            }
            Err(FileHeaderError::UnknownFormat { found }) => {
                return Err(ReplayError::UnknownFormat { file: file.name, found });
            }
            Err(FileHeaderError::Unreadable) => nameless.files.push((home, file)),
        }
    }
    sources.journals = journals.into_values().collect();
    nameless.assign(&mut sources);
    let newest = sources.journals.last().map_or(0, |journal| journal.home.0);
    sources.incarnation_max = sources.incarnation_max.max(newest);
    Ok(sources)
}

/// Whose file this is, going by its name.
fn home_of(name: &str, sources: &mut Sources) -> Option<Home> {
    let name = FileName::parse(name)?;
    sources.incarnation_max = sources.incarnation_max.max(name.incarnation());
    Some((name.incarnation(), name.shard()))
}

fn journal_at(journals: &mut BTreeMap<(Home, u64), Journal>, home: Home, id: u64) -> &mut Journal {
    journals.entry((home, id)).or_insert_with(|| Journal { home, id, ..Journal::default() })
}

impl Nameless {
    /// Gives every file to the journals that its name speaks of; where there is none, nothing of it can be used.
    fn assign(self, sources: &mut Sources) {
        for (home, file) in self.files {
            // The header is durable before the first group.
            let holds_groups = file.content.get(FILE_HEADER_BLOCK_BYTES..).is_some_and(|rest| !is_zero(rest));
            let name = file.name.clone();
            let mut is_known = false;
            for journal in sources.journals.iter_mut().filter(|journal| journal.home == home) {
                if holds_groups {
                    journal.files.push(file.clone());
                }
                is_known = true;
            }
            if holds_groups {
                let fault = if is_known { Fault::Header } else { Fault::Unidentified };
                sources.damages.push(damage(home, fault, vec![name.clone()]));
            }
            if !(holds_groups && is_known) {
                sources.others.push(name);
            }
        }
        for (home, name) in self.manifests {
            let mut files = vec![name.clone()];
            let mut is_known = false;
            for journal in sources.journals.iter_mut().filter(|journal| journal.home == home) {
                journal.is_manifest_lost |= journal.manifest.is_none();
                journal.manifest_names.push(name.clone());
                files.extend(journal.file_names());
                is_known = true;
            }
            sources.damages.push(damage(home, Fault::Manifest, files));
            if !is_known {
                sources.others.push(name);
            }
        }
    }
}

pub(super) fn damage((incarnation, shard): Home, fault: Fault, files: Vec<String>) -> Damage {
    Damage { incarnation, shard, fault, files }
}
