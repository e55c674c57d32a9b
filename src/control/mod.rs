//! The control thread: HTTP admin and metrics.
