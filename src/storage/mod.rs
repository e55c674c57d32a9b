//! The log: segments, writer, reader, index, batch cache, recovery, retention.
