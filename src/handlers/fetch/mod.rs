//! Fetch (KIP-227, KIP-516).

mod session;
