//! Reads bytes as records of `__consumer_offsets` and `__share_group_state`; what can be read is written and read again.
#![no_main]

use corelog::coordinator::records::GroupRecord;
use corelog::coordinator::records::share_state::ShareRecord;
use libfuzzer_sys::fuzz_target;

// The first byte tells how long the key is; without bytes after the key there is no value.
fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first() else { return };
    let (key, value) = rest.split_at(rest.len().min(usize::from(*length)));
    let value = Some(value).filter(|value| !value.is_empty());
    if let Ok(Some(record)) = GroupRecord::decode(key, value) {
        let (key, value) = record.encode().unwrap();
        assert_eq!(GroupRecord::decode(&key, value.as_deref()).unwrap(), Some(record));
    }
    if let Ok(Some(record)) = ShareRecord::decode(key, value) {
        let (key, value) = record.encode().unwrap();
        assert_eq!(ShareRecord::decode(&key, value.as_deref()).unwrap(), Some(record));
    }
});
