//! One open file of a simulated disk.
//!
//! Key invariant: a write is visible and durable when it completes, not before; until then a crash finds any subset of its
//! sectors. What fails on demand is left to `faults`.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;

use super::{Change, Simulated};

/// An open file of a simulated disk.
pub(in crate::io) struct SimulatedFile {
    disk: Rc<Simulated>,
    node: u64,
    _handle: Rc<()>,
    /// As it was opened: a later rename changes nothing about which faults it meets.
    path: PathBuf,
}

impl SimulatedFile {
    pub(super) fn new(disk: Rc<Simulated>, (node, handle): (u64, Rc<()>), path: &Path) -> Self {
        Self { disk, node, _handle: handle, path: path.to_path_buf() }
    }

    async fn change(&self, change: Change) -> io::Result<()> {
        let ticket = {
            self.disk.check_power()?;
            let mut facts = self.disk.facts.borrow_mut();
            let ticket = facts.ticket();
            let node = facts.nodes.get_mut(&self.node).ok_or(io::ErrorKind::NotFound)?;
            node.pending.insert(ticket, change);
            ticket
        };
        self.disk.pass_time().await;
        self.disk.check_power()?;
        self.disk.facts.borrow_mut().complete(self.node, ticket);
        Ok(())
    }

    pub(in crate::io) async fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let (fault, late) = {
            let faults = &mut self.disk.facts.borrow_mut().faults;
            (faults.on_write(&self.path), faults.are_late())
        };
        let bytes = Bytes::copy_from_slice(bytes);
        let length = bytes.len();
        if let Some(failure) = fault {
            if late {
                self.disk.pass_time().await;
            }
            // What a failed write left behind is anyone's guess.
            let mut facts = self.disk.facts.borrow_mut();
            let mut node = facts.nodes.remove(&self.node).ok_or(io::ErrorKind::NotFound)?;
            facts.tear(&Change::Write(position, bytes), &mut node.durable);
            let longer = node.durable.len().max(node.visible.len());
            node.visible = node.durable.clone();
            node.visible.resize(longer, 0);
            facts.nodes.insert(self.node, node);
            return Err(failure.error());
        }
        self.change(Change::Write(position, bytes)).await?;
        Ok(length)
    }

    pub(in crate::io) async fn read_at(&self, position: u64, length: usize) -> io::Result<Bytes> {
        self.disk.pass_time().await;
        self.disk.check_power()?;
        self.disk.facts.borrow().faults.on_read(&self.path)?;
        let facts = self.disk.facts.borrow();
        let node = facts.nodes.get(&self.node).ok_or(io::ErrorKind::NotFound)?;
        let from = (position as usize).min(node.visible.len());
        let to = (from + length).min(node.visible.len());
        Ok(Bytes::copy_from_slice(&node.visible[from..to]))
    }

    pub(in crate::io) fn preallocate(&self, size: u64) -> io::Result<()> {
        self.disk.check_power()?;
        self.disk.facts.borrow().faults.on_change(&self.path)?;
        let mut facts = self.disk.facts.borrow_mut();
        let node = facts.nodes.get_mut(&self.node).ok_or(io::ErrorKind::NotFound)?;
        if node.visible.len() < size as usize {
            node.visible.resize(size as usize, 0);
        }
        Ok(())
    }

    pub(in crate::io) async fn truncate(&self, size: u64) -> io::Result<()> {
        self.disk.facts.borrow().faults.on_change(&self.path)?;
        self.change(Change::Truncate(size)).await
    }

    pub(in crate::io) fn size(&self) -> io::Result<u64> {
        let facts = self.disk.facts.borrow();
        let node = facts.nodes.get(&self.node).ok_or(io::ErrorKind::NotFound)?;
        Ok(node.visible.len() as u64)
    }
}
