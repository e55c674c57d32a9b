//! Group and transaction coordinators as state machines without I/O.
