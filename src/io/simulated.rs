//! A disk in memory that crashes on demand.
//!
//! What a crash leaves: every write that completed through a durable file; of each write still in flight, any subset of its
//! 512-byte sectors; of a reserved length, anything between what was written and what was reserved; of directory changes
//! that were not synced, a prefix in the order they were made, as a journaling file system keeps them.
//!
//! Beyond that, tests have it fail on purpose ([`Simulated::fail_writes_to`] and its like).
//!
//! Key invariant: everything is drawn from one seed, and tasks take turns in an order that depends on nothing else, so a
//! seed replays exactly. Nothing that was called durable is ever lost by a crash; a bit flips only if a test flips it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use futures_lite::future::yield_now;

use self::faults::Faults;
use self::names::{Entry, NameChange};
use super::disk::FileFacts;
use super::file::Access;
use crate::model::TimestampMs;

mod faults;
mod file;
mod names;

pub use self::faults::Failure;
pub(super) use self::file::SimulatedFile;

/// The data directory of every simulated disk.
pub(super) const DIRECTORY: &str = "/simulated";
/// What a device writes as a whole or not at all.
const SECTOR_BYTES: usize = 512;
/// Turns that other tasks get, at most, before an operation completes.
const TURNS_MAX: u64 = 6;

/// Something on its way to a file's durable content.
#[derive(Clone, Debug)]
enum Change {
    Write(u64, Bytes),
    Truncate(u64),
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// As readers see it.
    visible: Vec<u8>,
    /// As a crash finds it.
    durable: Vec<u8>,
    /// In flight, by ticket.
    pending: BTreeMap<u64, Change>,
    /// Held by every open file of it.
    handles: Rc<()>,
}

#[derive(Default)]
struct Facts {
    random: u64,
    tickets: u64,
    crashed: bool,
    nodes: BTreeMap<u64, Node>,
    names: BTreeMap<PathBuf, Entry>,
    durable_names: BTreeMap<PathBuf, Entry>,
    pending_names: Vec<NameChange>,
    faults: Faults,
    free_bytes: u64,
}

/// The disk; see the module.
pub struct Simulated {
    facts: RefCell<Facts>,
}

impl Simulated {
    /// An empty disk whose every choice follows from `seed`.
    pub fn new(seed: u64) -> Rc<Self> {
        let facts = Facts { random: seed ^ 0x9e37_79b9_7f4a_7c15, free_bytes: 1 << 40, ..Facts::default() };
        let disk = Self { facts: RefCell::new(facts) };
        disk.facts.borrow_mut().link_durably(Path::new(DIRECTORY), Entry::Directory);
        Rc::new(disk)
    }

    /// A number below `bound`, the next in the seed's sequence.
    pub fn choose(&self, bound: u64) -> u64 {
        self.facts.borrow_mut().choose(bound)
    }

    /// Lets `writes` more direct writes succeed; all after them fail, until [`Self::heal`] or a crash.
    pub fn fail_writes_after(&self, writes: u64) {
        self.facts.borrow_mut().faults.fail_writes_after(writes);
    }

    /// From now on whatever would change a file that `hits` fails: direct writes, reservations, cuts, small files written
    /// whole, and new directories. Until [`Self::heal`], a crash, or the next call. `hits` gets the absolute path under
    /// which the file was opened, and must not use this disk.
    pub fn fail_writes_to(&self, hits: impl Fn(&Path) -> bool + 'static, failure: Failure) {
        self.facts.borrow_mut().faults.fail_writes_to(Box::new(hits), failure, false);
    }

    /// As [`Self::fail_writes_to`], but a direct write takes its time before it fails, as if it had not.
    pub fn fail_writes_late_to(&self, hits: impl Fn(&Path) -> bool + 'static, failure: Failure) {
        self.facts.borrow_mut().faults.fail_writes_to(Box::new(hits), failure, true);
    }

    /// From now on reads of files that `hits` fail, as for [`Self::fail_writes_to`]; lists of directories do too.
    pub fn fail_reads_to(&self, hits: impl Fn(&Path) -> bool + 'static, failure: Failure) {
        self.facts.borrow_mut().faults.fail_reads_to(Box::new(hits), failure);
    }

    /// Nothing fails any more. What failed has left its traces.
    pub fn heal(&self) {
        self.facts.borrow_mut().faults = Faults::default();
    }

    /// Sets what the file system says is free.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.facts.borrow_mut().free_bytes = bytes;
    }

    /// Free bytes, as set.
    pub(super) fn free_bytes(&self) -> u64 {
        self.facts.borrow().free_bytes
    }

    /// Changes the content of a file in place, as decay or another program would.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut facts = self.facts.borrow_mut();
        let node = facts.node_of(path).expect("a file that is there");
        let node = facts.nodes.get_mut(&node).expect("a named node");
        change(&mut node.visible);
        node.durable = node.visible.clone();
    }

    /// The content of a file.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let facts = self.facts.borrow();
        let node = facts.node_of(path)?;
        facts.nodes.get(&node).map(|node| node.visible.clone())
    }

    /// All files and their lengths.
    pub fn files(&self) -> Vec<(PathBuf, usize)> {
        let facts = self.facts.borrow();
        let length = |node| facts.nodes.get(node).map_or(0, |node| node.visible.len());
        let files = facts.names.iter().filter_map(|(name, entry)| match entry {
            Entry::File(node) => Some((name.clone(), length(node))),
            Entry::Directory => None,
        });
        files.collect()
    }

    /// Cuts the power: whoever still uses this disk gets errors. Returns the disk as it is when power is back.
    pub fn crash(&self) -> Rc<Self> {
        let mut facts = self.facts.borrow_mut();
        facts.crashed = true;
        let mut names = facts.durable_names.clone();
        let pending = facts.pending_names.len() as u64;
        let kept = facts.choose(pending + 1) as usize;
        for change in &facts.pending_names[..kept] {
            change.apply(&mut names);
        }
        let mut nodes = BTreeMap::new();
        let kept: Vec<u64> = names
            .values()
            .filter_map(|entry| match entry {
                Entry::File(node) => Some(*node),
                Entry::Directory => None,
            })
            .collect();
        for number in kept {
            let Some(mut node) = facts.nodes.get(&number).cloned() else { continue };
            for change in std::mem::take(&mut node.pending).into_values() {
                facts.tear(&change, &mut node.durable);
            }
            let reserved = node.visible.len();
            if reserved > node.durable.len() && facts.choose(2) == 0 {
                node.durable.resize(reserved, 0);
            }
            let content = node.durable;
            nodes.insert(number, Node { visible: content.clone(), durable: content, ..Node::default() });
        }
        let after = Facts {
            random: facts.random,
            tickets: facts.tickets,
            nodes,
            durable_names: names.clone(),
            names,
            free_bytes: facts.free_bytes,
            ..Facts::default()
        };
        Rc::new(Self { facts: RefCell::new(after) })
    }

    /// Lets other tasks have a few turns.
    pub(super) async fn pass_time(&self) {
        for _ in 0..self.choose(TURNS_MAX) {
            yield_now().await;
        }
    }

    fn check_power(&self) -> io::Result<()> {
        if self.facts.borrow().crashed {
            Err(io::Error::other("the simulated disk lost power"))
        } else {
            Ok(())
        }
    }

    pub(super) async fn open(self: &Rc<Self>, path: &Path, access: Access) -> io::Result<SimulatedFile> {
        self.pass_time().await;
        self.check_power()?;
        let mut facts = self.facts.borrow_mut();
        let node = match (facts.node_of(path), access) {
            (Some(node), _) => node,
            (None, Access::Read) => return Err(io::ErrorKind::NotFound.into()),
            (None, Access::Durable) => {
                facts.check_parent(path)?;
                let node = facts.ticket();
                facts.nodes.insert(node, Node::default());
                facts.change_names(NameChange::Link(path.to_path_buf(), Entry::File(node)));
                node
            }
        };
        let handle = facts.nodes.get(&node).map(|node| node.handles.clone()).unwrap_or_default();
        Ok(SimulatedFile::new(self.clone(), (node, handle), path))
    }

    pub(super) async fn is_unshared(&self, path: &Path) -> io::Result<bool> {
        self.pass_time().await;
        self.check_power()?;
        let facts = self.facts.borrow();
        let node = facts.node_of(path).and_then(|node| facts.nodes.get(&node));
        Ok(Rc::strong_count(&node.ok_or(io::ErrorKind::NotFound)?.handles) == 1)
    }

    pub(super) async fn list(&self, path: &Path) -> io::Result<Option<Vec<FileFacts>>> {
        self.pass_time().await;
        self.check_power()?;
        let facts = self.facts.borrow();
        facts.faults.on_read(path)?;
        if facts.names.get(path) != Some(&Entry::Directory) {
            return Ok(None);
        }
        let within = facts.names.iter().filter(|(name, _)| name.parent() == Some(path));
        let listed = within.filter_map(|(name, entry)| {
            let size_bytes = match entry {
                Entry::File(node) => facts.nodes.get(node)?.visible.len() as u64,
                Entry::Directory => 0,
            };
            Some(FileFacts {
                name: name.file_name()?.to_str()?.to_owned(),
                size_bytes,
                modified: TimestampMs(i64::MAX),
                is_directory: *entry == Entry::Directory,
            })
        });
        Ok(Some(listed.collect()))
    }

    pub(super) async fn create_directory(&self, path: &Path) -> io::Result<()> {
        {
            self.check_power()?;
            let mut facts = self.facts.borrow_mut();
            facts.faults.on_change(path)?;
            facts.check_parent(path)?;
            if !facts.names.contains_key(path) {
                facts.change_names(NameChange::Link(path.to_path_buf(), Entry::Directory));
            }
        }
        self.sync_parent(path).await
    }

    pub(super) async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.pass_time().await;
        self.check_power()?;
        self.facts.borrow_mut().sync_names(path);
        Ok(())
    }

    async fn sync_parent(&self, path: &Path) -> io::Result<()> {
        self.sync_directory(path.parent().expect("a path below the data directory")).await
    }

    pub(super) async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        {
            self.check_power()?;
            let mut facts = self.facts.borrow_mut();
            if !facts.names.contains_key(from) {
                return Err(io::ErrorKind::NotFound.into());
            }
            facts.change_names(NameChange::Rename(from.to_path_buf(), to.to_path_buf()));
        }
        self.sync_parent(to).await
    }

    pub(super) async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.pass_time().await;
        self.check_power()?;
        self.discard(path);
        Ok(())
    }

    /// Removes a file at once; without power that changes nothing.
    pub(super) fn discard(&self, path: &Path) {
        let mut facts = self.facts.borrow_mut();
        if facts.names.contains_key(path) && !facts.crashed {
            facts.change_names(NameChange::Unlink(path.to_path_buf()));
        }
    }

    pub(super) async fn replace_file(
        &self,
        path: &Path,
        temporary: &Path,
        content: Vec<u8>,
    ) -> io::Result<()> {
        let ticket = {
            self.check_power()?;
            let mut facts = self.facts.borrow_mut();
            facts.faults.on_change(path)?;
            facts.check_parent(path)?;
            let node = facts.ticket();
            let change = Change::Write(0, content.clone().into());
            let pending = BTreeMap::from([(node, change)]);
            facts.nodes.insert(node, Node { visible: content, pending, ..Node::default() });
            facts.change_names(NameChange::Link(temporary.to_path_buf(), Entry::File(node)));
            node
        };
        self.pass_time().await;
        self.check_power()?;
        self.facts.borrow_mut().complete(ticket, ticket);
        self.rename(temporary, path).await
    }

    /// The name and the content stay in flight: a crash finds both, one, or none of them.
    pub(super) async fn put_file(&self, path: &Path, content: Vec<u8>) -> io::Result<()> {
        self.pass_time().await;
        self.check_power()?;
        let mut facts = self.facts.borrow_mut();
        facts.faults.on_change(path)?;
        facts.check_parent(path)?;
        let node = facts.ticket();
        let change = Change::Write(0, content.clone().into());
        let pending = BTreeMap::from([(node, change)]);
        facts.nodes.insert(node, Node { visible: content, pending, ..Node::default() });
        facts.change_names(NameChange::Link(path.to_path_buf(), Entry::File(node)));
        Ok(())
    }

    pub(super) async fn read_small(&self, path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        self.pass_time().await;
        self.check_power()?;
        self.facts.borrow().faults.on_read(path)?;
        let content = self.content(path);
        Ok(content.map(|mut content| {
            content.truncate(usize::try_from(bytes_max).unwrap_or(usize::MAX));
            content
        }))
    }
}

impl Facts {
    /// SplitMix64: small, and the same everywhere.
    fn choose(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    fn node_of(&self, path: &Path) -> Option<u64> {
        match self.names.get(path)? {
            Entry::File(node) => Some(*node),
            Entry::Directory => None,
        }
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().and_then(|parent| self.names.get(parent));
        if parent == Some(&Entry::Directory) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn link_durably(&mut self, path: &Path, entry: Entry) {
        self.names.insert(path.to_path_buf(), entry);
        self.durable_names.insert(path.to_path_buf(), entry);
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    /// Makes all changes up to the last one in `directory` durable.
    fn sync_names(&mut self, directory: &Path) {
        let Some(last) = self.pending_names.iter().rposition(|change| change.touches(directory)) else {
            return;
        };
        for change in self.pending_names.drain(..=last) {
            change.apply(&mut self.durable_names);
        }
    }

    /// A change in flight has reached the device.
    fn complete(&mut self, node: u64, ticket: u64) {
        let Some(node) = self.nodes.get_mut(&node) else { return };
        let Some(change) = node.pending.remove(&ticket) else { return };
        apply(&change, &mut node.durable);
        apply(&change, &mut node.visible);
    }

    /// What a crash leaves of a change in flight.
    fn tear(&mut self, change: &Change, durable: &mut Vec<u8>) {
        let mode = self.choose(3);
        match (change, mode) {
            (_, 0) => {}
            (_, 1) | (Change::Truncate(_), _) => apply(change, durable),
            (Change::Write(position, bytes), _) => {
                for (at, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                    if self.choose(2) == 0 {
                        let sector = bytes.slice_ref(sector);
                        apply(&Change::Write(position + (at * SECTOR_BYTES) as u64, sector), durable);
                    }
                }
            }
        }
    }
}

fn apply(change: &Change, content: &mut Vec<u8>) {
    match change {
        Change::Truncate(size) => content.resize(*size as usize, 0),
        Change::Write(position, bytes) => {
            let (from, to) = (*position as usize, *position as usize + bytes.len());
            if content.len() < to {
                content.resize(to, 0);
            }
            content[from..to].copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
#[path = "simulated/tests.rs"]
mod tests;
