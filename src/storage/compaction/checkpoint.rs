//! Up to where a log is compacted, kept beside it.
//!
//! Key invariant: what lies below the mark was compacted in the log as it is now; a truncation takes the mark away before it
//! cuts. A lost or damaged mark costs a round over the whole log, nothing else.

use super::super::error::StorageError;
use super::super::log::Log;
use super::super::sidecar;
use crate::model::Offset;

const FILE: &str = "compaction.checkpoint";
/// The kind of the sealed file; its body is the offset, i64, little-endian.
const COMPACTED: u32 = 16;
/// More than the file has.
const BYTES_MAX: u64 = 4096;

impl Log {
    /// What lies below was compacted; -1 if nothing is known to be.
    pub(super) async fn cleaned_to(&self) -> Result<Offset, StorageError> {
        if let Some(known) = self.compaction.cleaned_to.get() {
            return Ok(known);
        }
        let path = self.directory.join(FILE);
        let content = self.store.disk().read_small(&path, BYTES_MAX).await;
        let content = content.map_err(StorageError::io("reading", &path))?;
        let read = content.as_deref().and_then(decode).unwrap_or(Offset::NONE);
        // A truncation may have come in between.
        let known = self.compaction.cleaned_to.get().unwrap_or(read);
        self.compaction.cleaned_to.set(Some(known));
        Ok(known)
    }

    /// Notes, durably, that everything below `offset` is compacted.
    pub(super) async fn save_cleaned_to(&self, offset: Offset) -> Result<(), StorageError> {
        let path = self.directory.join(FILE);
        let content = sidecar::seal(COMPACTED, &offset.0.to_le_bytes());
        self.store.disk().replace_file(&path, content).await.map_err(StorageError::io("writing", &path))?;
        self.compaction.cleaned_to.set(Some(offset));
        Ok(())
    }

    /// Takes the mark away since the log's end is about to be cut. The name's going is durable with the next sync of the
    /// directory, which comes before the cut.
    pub(in crate::storage) async fn forget_cleaned(&self) -> Result<(), StorageError> {
        self.compaction.next_generation();
        self.compaction.cleaned_to.set(Some(Offset::NONE));
        let path = self.directory.join(FILE);
        self.store.disk().remove_file(&path).await.map_err(StorageError::io("removing", &path))
    }
}

fn decode(content: &[u8]) -> Option<Offset> {
    let offset = i64::from_le_bytes(sidecar::open(COMPACTED, content)?.try_into().ok()?);
    (offset >= 0).then_some(Offset(offset))
}
