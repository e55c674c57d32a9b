//! Parses a frame's header and decodes the request that it announces.
#![no_main]

use bytes::Bytes;
use corelog::protocol::{HeaderError, api_versions, decode_any, parse_header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut frame = Bytes::copy_from_slice(data);
    match parse_header(&mut frame) {
        Ok(header) => {
            let before = frame.len();
            let decoded = decode_any(header.api, &mut frame, header.version);
            assert!(decoded.is_err() || frame.len() <= before);
        }
        Err(HeaderError::UnsupportedVersion(header)) => {
            assert!(!api_versions::encode_unsupported_version(&header).is_empty());
        }
        Err(_) => {}
    }
});
