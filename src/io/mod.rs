//! Aligned buffers, direct files and the clock, with their simulated twins.
