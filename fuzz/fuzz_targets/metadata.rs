//! Reads lines as commands of the metadata log and applies those that fit; reads the whole as a snapshot.
#![no_main]

use corelog::metadata::{ClusterId, Command, Image, LogId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(image) = serde_json::from_slice::<Image>(data) {
        image.check_invariants();
        let written = serde_json::to_vec(&image).unwrap();
        assert_eq!(serde_json::from_slice::<Image>(&written).unwrap(), image);
    }
    let mut image = Image::default();
    for line in data.split(|byte| *byte == b'\n') {
        if let Some(id) = std::str::from_utf8(line).ok().and_then(|text| text.parse::<ClusterId>().ok()) {
            assert_eq!(id.to_string().as_bytes(), line);
        }
        let Ok(command) = serde_json::from_slice::<Command>(line) else { continue };
        let before = image.clone();
        let id = LogId { term: 1, index: image.applied().index + 1 };
        match image.apply(id, &command) {
            Ok(()) => image.check_invariants(),
            Err(_) => assert_eq!(image, before),
        }
    }
});
