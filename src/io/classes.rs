//! The classes of a shard's direct I/O and what each may have in flight.
//!
//! Key invariants: the first three classes are urgent: a client's answer waits for them. The other three are patient, and
//! while anything urgent is about they get by on less, but never on nothing. All full caps together leave room in
//! glommio's ring. The figures are choices, to be changed by measurement (`cargo bench --bench storage`).
//!
//! Why this is not left to glommio 0.9: it puts an operation on one of its rings by what kind of operation it is, never
//! by the task queue that asks. All direct reads and writes share one ring (the polled one or the main one), first come,
//! first served. `Latency::Matters` only makes the reactor look at that queue's tasks sooner; its latency ring takes
//! receives, accepts and connects. And it bounds what it hands over in one turn, not what the device then has to do. So
//! neither shares nor latency keep ten megabytes of cold reads from standing in the device before a 4 KiB journal write.

use super::memory::BLOCK_BYTES;

/// Operations that glommio's ring takes in one turn.
const RING_OPERATIONS: u32 = 128;
/// What opening, closing, cutting and reserving files may take of it; nobody schedules those.
const UNSCHEDULED_OPERATIONS: u32 = 8;

/// Places in the queue of a virtual machine's disk as a rule (virtio), for all shards together: a read or write takes one for each
/// page of its memory, unless pages happen to lie side by side, and [`QUEUE_PLACES_MORE`]. What finds no room waits in the kernel
/// until something ends, so a large operation that fills the queue holds up every journal for as long as it takes.
pub const QUEUE_PLACES: u64 = 256;
/// Places that an operation takes besides: what it is, and how it ended.
pub const QUEUE_PLACES_MORE: u64 = 2;
/// Bytes of one write that goes on beside the journal's: a quarter of the queue. With all of it, 1 MiB, groups stood behind each
/// for 0.5 to 1.3 ms.
pub const BACKGROUND_WRITE_BYTES: u64 = QUEUE_PLACES / 4 * BLOCK_BYTES;

/// Bytes in flight of one class that no measurement goes beyond.
const CAP_BYTES_MAX: u64 = 64 << 20;

/// What a direct read or write is for, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IoClass {
    /// A group of the journal: every producer of the shard waits for it.
    Journal,
    /// Appends that go straight to their segment, and the block they begin in: that partition's producers wait. And a further
    /// file of the journal, one write at a time: who waits for room waits for that.
    Bypass,
    /// A consumer near the log's end that the batch cache could not serve.
    TailRead,
    /// A consumer that catches up, read-ahead, recovery, retention and scans.
    ColdRead,
    /// Journaled bytes on their way to their segments. When it falls behind, producers are held back, nothing urgent is
    /// left to do, and it gets its full cap: that is how it catches up.
    Checkpoint,
    /// Compaction's reads and writes.
    Compaction,
}

/// A bound on what is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoCap {
    pub operations: u32,
    /// A single operation that is larger than this goes alone.
    pub bytes: u64,
}

/// One class's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoCaps {
    /// Never exceeded.
    pub full: IoCap,
    /// Holds instead while something urgent is in flight, waits, or was in flight a moment ago. Both at least 1.
    pub contended: IoCap,
}

impl IoCaps {
    /// What a late checkpoint has instead of `contended`: four times the bytes.
    pub(super) fn hastened(&self) -> IoCap {
        const TIMES: u64 = 4;
        let bytes = self.contended.bytes.saturating_mul(TIMES).min(self.full.bytes);
        IoCap { bytes, ..self.contended }
    }
}

/// One group is in flight at a time, large ones in several parts; the bytes are bounded by the group.
const JOURNAL: IoCap = IoCap { operations: 8, bytes: u64::MAX };
/// Half of the ring: with few but busy partitions all writes are of this class. 16 MiB is a depth of 34 at the 480 KiB
/// that one write has at most.
const BYPASS: IoCap = IoCap { operations: 64, bytes: 16 << 20 };
/// Reads that miss the batch cache near the end are few; 16 of them saturate a device.
const TAIL_READ: IoCap = IoCap { operations: 16, bytes: 8 << 20 };
/// Enough for the device's full rate at windows of 128 KiB to 1 MiB.
const COLD_READ: IoCap = IoCap { operations: 16, bytes: 8 << 20 };
/// Two of the windows that a cold reader takes then: what a journal write may find before it, for each shard, all of which
/// use the device. Measured with two shards and eight readers each: with 1 MiB the journal's p50 is 6 to 14 times that
/// without readers, with 256 KiB 1.7 times, and the readers have two thirds of the bandwidth.
const COLD_READ_CONTENDED: IoCap = IoCap { operations: 4, bytes: 256 << 10 };
/// Large aligned writes reach the device's rate at a depth of 8; small ones, of many partitions, need more of them.
const CHECKPOINT: IoCap = IoCap { operations: 12, bytes: 8 << 20 };
/// Four, because with many partitions these writes are small and their number counts; together no more than one large write. With
/// 1 MiB the journal waited: p99 of a request was 1.2 to 1.5 times as long. So it has that only when it is late
/// ([`IoCaps::hastened`]): a checkpoint that starves fills the journal, and then everyone waits for it.
const CHECKPOINT_CONTENDED: IoCap = IoCap { operations: 4, bytes: BACKGROUND_WRITE_BYTES };
/// Compaction has all day.
const COMPACTION: IoCap = IoCap { operations: 4, bytes: 4 << 20 };
/// It still goes on.
const COMPACTION_CONTENDED: IoCap = IoCap { operations: 1, bytes: BACKGROUND_WRITE_BYTES };

impl IoClass {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 6] =
        [Self::Journal, Self::Bypass, Self::TailRead, Self::ColdRead, Self::Checkpoint, Self::Compaction];

    /// Its bounds.
    pub const fn caps(self) -> IoCaps {
        match self {
            Self::Journal => IoCaps { full: JOURNAL, contended: JOURNAL },
            Self::Bypass => IoCaps { full: BYPASS, contended: BYPASS },
            Self::TailRead => IoCaps { full: TAIL_READ, contended: TAIL_READ },
            Self::ColdRead => IoCaps { full: COLD_READ, contended: COLD_READ_CONTENDED },
            Self::Checkpoint => IoCaps { full: CHECKPOINT, contended: CHECKPOINT_CONTENDED },
            Self::Compaction => IoCaps { full: COMPACTION, contended: COMPACTION_CONTENDED },
        }
    }

    /// Whether a client's answer waits for it.
    pub const fn is_urgent(self) -> bool {
        matches!(self, Self::Journal | Self::Bypass | Self::TailRead)
    }

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Bypass => "bypass",
            Self::TailRead => "tail-read",
            Self::ColdRead => "cold-read",
            Self::Checkpoint => "checkpoint",
            Self::Compaction => "compaction",
        }
    }

    /// Its place in [`Self::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

const _: () = {
    let (mut operations, mut at) = (0, 0);
    while at < IoClass::ALL.len() {
        let class = IoClass::ALL[at];
        let IoCaps { full, contended } = class.caps();
        assert!(class.index() == at, "the list and the declaration have one order");
        assert!(contended.operations >= 1 && contended.bytes >= 1, "no class ever stands still");
        assert!(contended.operations <= full.operations && contended.bytes <= full.bytes);
        operations += full.operations;
        at += 1;
    }
    assert!(operations + UNSCHEDULED_OPERATIONS <= RING_OPERATIONS, "all classes at once fit into the ring");
};

/// The bounds of every class: as above, or as the measured device has them (`broker::device`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoLimits([IoCaps; IoClass::ALL.len()]);

impl Default for IoLimits {
    fn default() -> Self {
        Self(IoClass::ALL.map(IoClass::caps))
    }
}

impl IoLimits {
    /// The bounds of a class.
    pub const fn of(&self, class: IoClass) -> IoCaps {
        self.0[class.index()]
    }

    /// With other bounds for one class, as far as they are safe: at most the operations that the ring has room for, at
    /// least one block and one operation, and contended never more than full.
    #[must_use]
    pub fn with(mut self, class: IoClass, caps: IoCaps) -> Self {
        let bounded = |cap: IoCap, most: IoCap| IoCap {
            operations: cap.operations.clamp(1, most.operations),
            bytes: cap.bytes.clamp(BLOCK_BYTES, most.bytes),
        };
        let most = IoCap { operations: class.caps().full.operations, bytes: CAP_BYTES_MAX };
        let full = bounded(caps.full, most);
        self.0[class.index()] = IoCaps { full, contended: bounded(caps.contended, full) };
        self
    }
}

/// What a class did and does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoCounts {
    /// Operations that have a place now.
    pub in_flight: u32,
    /// Their bytes.
    pub in_flight_bytes: u64,
    /// Operations that wait for a place.
    pub waiting: usize,
    /// Operations that were given a place since the start.
    pub operations: u64,
    /// Their bytes.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bounds_are_taken_that_the_ring_has_no_room_for_or_that_stand_still() {
        for class in IoClass::ALL {
            let all = IoCap { operations: u32::MAX, bytes: u64::MAX };
            let most = IoLimits::default().with(class, IoCaps { full: all, contended: all }).of(class);
            assert_eq!(most.full.operations, class.caps().full.operations);
            assert_eq!(most.full.bytes, CAP_BYTES_MAX);
            let nothing = IoCap { operations: 0, bytes: 0 };
            let least = IoLimits::default().with(class, IoCaps { full: nothing, contended: all }).of(class);
            assert_eq!(least.full, IoCap { operations: 1, bytes: BLOCK_BYTES });
            assert_eq!(least.contended, least.full, "contended is never more than full");
        }
        assert_eq!(IoLimits::default().of(IoClass::Checkpoint), IoClass::Checkpoint.caps());
    }
}
