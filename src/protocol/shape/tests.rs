//! Compares the layouts with the kafka-protocol crate's decoders, and shows that hostile counts do no harm.
//!
//! Requests are generated from the layouts themselves: a wrong layout yields bytes that the crate refuses or does not
//! use up. A count that slipped through would make the crate reserve terabytes, which aborts the test process.

use super::super::{ApiKey, api, codec::codec_versions, decode_any, shapes};
use super::*;
use bytes::Bytes;
use proptest::prelude::*;

/// Decodes `bytes` as a request and answers how many of them it took.
fn decoded(api: ApiKey, bytes: &Bytes, version: i16) -> Result<usize, String> {
    let mut body = bytes.clone();
    decode_any(api, &mut body, version).map_err(|error| error.to_string())?;
    Ok(bytes.len() - body.len())
}

/// Every API that has a layout, with each version that is served, or that could be if the API is not offered.
fn served() -> Vec<(ApiKey, i16)> {
    let versions = |api: ApiKey| match api::offered(api as i16) {
        Some(row) => row.served_from..=row.max,
        None => codec_versions(api),
    };
    shapes::all_shapes().flat_map(|(api, _)| versions(*api).map(|version| (*api, version))).collect()
}

/// What a length or count in a generated request is, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Site {
    Count32,
    Length32,
    Length16,
    Compact,
    TagCount,
    TagSize,
}

/// Writes a request of a layout; the choices (how many elements, which bytes) come from a seed.
struct Generator {
    bytes: Vec<u8>,
    sites: Vec<(usize, Site)>,
    version: i16,
    flexible: bool,
    seed: u64,
}

impl Generator {
    fn request(api: ApiKey, version: i16, seed: u64) -> Self {
        let shape = shapes::of(api as i16).expect("every offered API has a layout");
        let flexible = version >= shape.flexible_from;
        let mut generator = Self { bytes: Vec::new(), sites: Vec::new(), version, flexible, seed };
        generator.structure(&shape.body);
        generator
    }

    fn choice(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    fn structure(&mut self, layout: &Struct) {
        let version = self.version;
        for field in layout.fields.iter().filter(|field| field.is_in(version)) {
            self.kind(&field.kind);
        }
        if !self.flexible {
            return;
        }
        let known: Vec<_> = layout.tagged.iter().filter(|(_, field)| field.is_in(version)).collect();
        let unknown = self.choice(2) as usize;
        self.length(known.len() + unknown, Site::TagCount);
        for (tag, field) in known {
            self.varint(*tag);
            self.varint(1);
            self.kind(&field.kind);
        }
        for tag in 0..unknown {
            self.varint(1000 + tag as u32);
            let size = self.choice(3) as usize;
            self.length(size, Site::TagSize);
            self.bytes.extend(std::iter::repeat_n(0xee, size));
        }
    }

    fn kind(&mut self, kind: &Kind) {
        match kind {
            Kind::Fixed(size) => {
                for _ in 0..*size {
                    let byte = self.choice(128) as u8;
                    self.bytes.push(byte);
                }
            }
            Kind::Text | Kind::Blob => {
                let size = self.choice(4) as usize;
                let old = if matches!(kind, Kind::Text) { Site::Length16 } else { Site::Length32 };
                self.length(size, if self.flexible { Site::Compact } else { old });
                self.bytes.extend(std::iter::repeat_n(b'x', size));
            }
            Kind::List(element) => {
                let count = 1 + self.choice(3) as usize;
                self.length(count, if self.flexible { Site::Compact } else { Site::Count32 });
                for _ in 0..count {
                    self.kind(element);
                }
            }
            Kind::Struct(layout) => self.structure(layout),
            Kind::Optional(layout) => {
                self.bytes.push(1);
                self.structure(layout);
            }
        }
    }

    fn length(&mut self, length: usize, site: Site) {
        self.sites.push((self.bytes.len(), site));
        match site {
            Site::Count32 | Site::Length32 => self.bytes.extend((length as i32).to_be_bytes()),
            Site::Length16 => self.bytes.extend((length as i16).to_be_bytes()),
            Site::Compact => self.varint(length as u32 + 1),
            Site::TagCount | Site::TagSize => self.varint(length as u32),
        }
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

/// Lies that a length or count can tell. All generated ones are below 0x80, so a varint has one byte to replace.
fn lies(site: Site) -> (usize, Vec<Vec<u8>>) {
    let words = [i32::MAX, i32::MIN, -2, 1 << 24, 1 << 16];
    match site {
        Site::Count32 | Site::Length32 => (4, words.map(|lie| lie.to_be_bytes().to_vec()).to_vec()),
        Site::Length16 => (2, [i16::MAX, i16::MIN, -2].map(|lie| lie.to_be_bytes().to_vec()).to_vec()),
        Site::Compact | Site::TagCount | Site::TagSize => (
            1,
            vec![
                vec![0xff, 0xff, 0xff, 0xff, 0x0f],
                vec![0xff, 0xff, 0xff, 0xff, 0x07],
                vec![0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                vec![0xff, 0xff, 0x7f],
            ],
        ),
    }
}

#[test]
fn layouts_agree_with_the_decoders() {
    for (api, version) in served() {
        for seed in 0..50 {
            let request = Generator::request(api, version, seed);
            let bytes = Bytes::from([&request.bytes[..], b"left over"].concat());
            assert_eq!(decoded(api, &bytes, version), Ok(request.bytes.len()), "{api:?} {version} {seed}");
        }
    }
}

#[test]
fn every_lie_about_a_length_or_count_is_refused() {
    let mut told = 0;
    for (api, version) in served() {
        for seed in 0..3 {
            let request = Generator::request(api, version, seed);
            for (at, site) in &request.sites {
                let (width, lies) = lies(*site);
                for lie in lies {
                    let bytes = [&request.bytes[..*at], &lie, &request.bytes[at + width..]].concat();
                    let answer = decoded(api, &Bytes::from(bytes), version);
                    assert!(
                        answer.is_err(),
                        "{api:?} {version} {seed}: {lie:?} at {at} ({site:?}): {answer:?}"
                    );
                    told += 1;
                }
            }
        }
    }
    assert!(told > 1000, "{told}");
}

#[test]
fn every_truncation_is_refused() {
    for (api, version) in served() {
        let request = Generator::request(api, version, 1);
        for end in 0..request.bytes.len() {
            let bytes = Bytes::copy_from_slice(&request.bytes[..end]);
            assert!(decoded(api, &bytes, version).is_err(), "{api:?} {version}: cut at {end}");
        }
    }
}

#[test]
fn every_offered_api_has_a_layout() {
    for row in api::TABLE {
        assert!(shapes::of(row.api as i16).is_some(), "{:?}", row.api);
    }
}

#[test]
fn texts_that_kafka_would_not_read_are_refused() {
    let heartbeat = |bytes: u16| {
        let mut frame = vec![];
        let length = u32::from(bytes) + 1;
        frame.extend([length as u8 | 0x80, (length >> 7) as u8 | 0x80, (length >> 14) as u8]);
        frame.extend(std::iter::repeat_n(b'g', usize::from(bytes)));
        frame.extend([0, 0, 0, 1, 1, 0, 0]);
        decoded(ApiKey::Heartbeat, &Bytes::from(frame), 4)
    };
    assert_eq!(heartbeat(32_767), Ok(3 + 32_767 + 7));
    assert_eq!(heartbeat(32_768), Err(ShapeError::TooLong(32_768).to_string()));
}

#[test]
fn elements_are_bounded() {
    let many = |count: u32| {
        let mut bytes = Vec::from(count.to_be_bytes());
        bytes.resize(4 + count as usize * 2, 0);
        bytes.extend([0; 6]);
        Bytes::from(bytes)
    };
    assert!(decoded(ApiKey::Metadata, &many(ELEMENTS_MAX), 1).is_ok());
    let refused = decoded(ApiKey::Metadata, &many(ELEMENTS_MAX + 1), 1);
    assert_eq!(refused, Err(ShapeError::Elements.to_string()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn damaged_requests_never_panic_and_the_walk_agrees_with_the_decoder(
        row in prop::sample::select(served()),
        seed in any::<u64>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let (api, version) = row;
        let mut bytes = Generator::request(api, version, seed).bytes;
        if !bytes.is_empty() {
            for (place, byte) in damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        let walked = shapes::of(api as i16).expect("offered").check(&bytes, version);
        if let Ok(taken) = decoded(api, &Bytes::from(bytes), version) {
            prop_assert_eq!(walked, Ok(taken));
        }
    }

    #[test]
    fn random_bytes_never_panic(
        row in prop::sample::select(served()),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (api, version) = row;
        let _ = decoded(api, &Bytes::from(bytes), version);
    }
}
