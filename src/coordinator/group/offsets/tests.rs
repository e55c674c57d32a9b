//! Committed offsets, driven as requests drive them.
