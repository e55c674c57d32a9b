//! The manifest of a journal: any bytes are refused or read, and what is read is written again as it was.

#![no_main]

use bytes::Bytes;
use corelog::record::crc32c;
use corelog::storage::journal::Manifest;
use libfuzzer_sys::fuzz_target;

const HEAD_BYTES: usize = 24;

fuzz_target!(|bytes: &[u8]| {
    let _ = Manifest::decode(&Bytes::copy_from_slice(bytes));
    let Some(body) = bytes.get(HEAD_BYTES..) else { return };
    // Behind checksums that fit.
    let mut file = bytes.to_vec();
    file[..8].copy_from_slice(b"CLJM\x01\0\0\0");
    file[8..16].copy_from_slice(&(body.len() as u64).to_le_bytes());
    file[16..20].copy_from_slice(&crc32c(body).to_le_bytes());
    let crc = crc32c(&file[..20]);
    file[20..24].copy_from_slice(&crc.to_le_bytes());
    if let Ok(read) = Manifest::decode(&Bytes::from(file)) {
        assert_eq!(Manifest::decode(&Bytes::from(read.encode())), Ok(read));
    }
});
