//! Frames, headers, the table of APIs and versions, error codes; message codecs over the kafka-protocol crate.
