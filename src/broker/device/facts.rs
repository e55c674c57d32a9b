//! Which device a data directory is on.
//!
//! Key invariant: what the system does not tell is empty or 0, on every start alike; containers often see no devices.

use std::path::Path;

use super::profile::{DeviceFacts, FACT_CHARS_MAX};
use crate::broker::host::{Tree, disks_below};

/// The unit of sizes in `/sys/block`, whatever the device's blocks are.
const SECTOR_BYTES: u64 = 512;

/// What the system tells of the disks below a directory; of several, the first one's name and the sum of their sizes.
pub fn facts(data_dir: &Path) -> DeviceFacts {
    let tree = Tree::kernel();
    let (filesystem, disks) = disks_below(&tree, data_dir);
    let told = |disk: &str, what: &str| {
        let text = tree.read(&format!("/sys/block/{disk}/{what}")).unwrap_or_default();
        text.chars().filter(|c| !c.is_control()).take(FACT_CHARS_MAX).collect::<String>()
    };
    let first = |what: &str| disks.first().map(|disk| told(disk, what)).unwrap_or_default();
    let sectors = disks.iter().filter_map(|disk| told(disk, "size").parse::<u64>().ok());
    DeviceFacts {
        name: disks.join("+").chars().take(FACT_CHARS_MAX).collect(),
        model: first("device/model"),
        size_bytes: sectors.fold(0, u64::saturating_add).saturating_mul(SECTOR_BYTES).min(i64::MAX as u64),
        filesystem,
        scheduler: Tree::choice(&first("queue/scheduler")),
        write_cache: first("queue/write_cache"),
        rotational: first("queue/rotational") == "1",
    }
}
