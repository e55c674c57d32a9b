//! What of the journal cannot be read, as the log and an operator are told.
//!
//! Key invariant: a damage names every file that an operator has to move away to accept the loss.

use std::fmt;

/// A fault of one journal, or of one file of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The start of the broker that wrote the journal.
    pub incarnation: u64,
    pub shard: u16,
    pub fault: Fault,
    /// Within the journal's directory.
    pub files: Vec<String>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A group is damaged or absent though a later one reads.
    Gap { missing: u64, later: u64 },
    /// The manifest does not read.
    Manifest,
    /// A file holds something, but neither its header nor another file says what journal it belongs to.
    Unidentified,
    /// The header of a file does not read. Its groups do: another file names the journal.
    Header,
    /// The files of the journal were taken away; its manifest is there.
    NoFiles,
}

impl Damage {
    /// Whether acknowledged records may be missing that nobody chose to give up.
    pub fn is_suspect(&self) -> bool {
        matches!(self.fault, Fault::Gap { .. } | Fault::Manifest | Fault::Unidentified)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { incarnation, shard, .. } = self;
        write!(f, "the journal of shard {shard} of start {incarnation} is damaged: ")?;
        match self.fault {
            Fault::Gap { missing, later } => {
                write!(f, "its group {missing} cannot be read, though group {later} can")?;
            }
            Fault::Manifest => f.write_str("its manifest cannot be read")?,
            Fault::Unidentified => f.write_str("a file has no readable header, and nothing else names it")?,
            Fault::Header => f.write_str("a file has no readable header; its groups were read")?,
            Fault::NoFiles => f.write_str("it has a manifest and no files")?,
        }
        write!(f, " ({})", self.files.join(", "))
    }
}
