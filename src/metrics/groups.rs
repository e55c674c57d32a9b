//! Groups as a monitor sees them: how many there are, and how far behind each is.
//!
//! Key invariant: a table is replaced as a whole, so a reader never sees half of one; it has at most [`LAG_ROWS_MAX`] rows.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// Rows of one shard. What does not fit is counted, so that nobody takes the table for complete.
pub const LAG_ROWS_MAX: usize = 10_000;

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagRow {
    pub group: Arc<str>,
    pub topic: Arc<str>,
    pub partition: i32,
    pub committed: i64,
    /// Records between the committed offset and the high watermark; 0 or more.
    pub lag: i64,
}

/// The groups that one shard coordinates, as of its last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupTable {
    /// Groups by state, such as `Stable`.
    pub states: Vec<(&'static str, u64)>,
    pub lags: Vec<LagRow>,
    /// Committed offsets beyond [`LAG_ROWS_MAX`].
    pub left_out: u64,
}

/// Where a shard puts its table for whoever reads it.
#[derive(Debug, Default)]
pub struct GroupMetrics {
    table: ArcSwap<GroupTable>,
}

impl GroupMetrics {
    /// The last table.
    pub fn table(&self) -> Arc<GroupTable> {
        self.table.load_full()
    }

    /// Replaces the table.
    pub fn publish(&self, table: GroupTable) {
        self.table.store(Arc::new(table));
    }
}
