//! Offsets are never reused: an offset that was acknowledged for one batch never stands for another.

use super::Written;
use crate::storage::tests::crash::Known;

pub(super) fn check(known: &Known, served: &[Written]) {
    let pinned = known.pinned.borrow();
    for batch in served {
        if let Some(serial) = pinned.get(&batch.base) {
            assert_eq!(*serial, batch.serial, "offset {} was acknowledged for another batch", batch.base);
        }
    }
}
