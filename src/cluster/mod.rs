//! The metadata quorum's driver and store.
