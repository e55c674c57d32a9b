//! The log start never falls back once it was confirmed, and never passes what anyone asked for.

use super::Opened;
use crate::storage::tests::crash::Known;

pub(super) fn check(known: &Known, opened: &Opened) {
    let start = opened.log.log_start_offset().0;
    let (confirmed, asked) = (known.start_confirmed.get(), known.start_asked.get());
    assert!(start >= confirmed, "the log starts at {start} after {confirmed} was confirmed");
    assert!(start <= asked, "the log starts at {start}, nobody asked beyond {asked}");
}
