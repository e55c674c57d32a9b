//! The profile of a device: what was measured, as a file. This is pure; reading and writing it is left to the module.
//!
//! ```toml
//! format = 1
//! measured_at = "2026-11-21T23:00:00Z"
//! [device]                              # name, model, size_bytes, filesystem, scheduler, write_cache, rotational
//! [durable_write]                       # one 4 KiB O_DSYNC write after the other, on blocks written before
//! p50_us = 60
//! p99_us = 120
//! [fdatasync]                           # the flush alone, each after a 4 KiB write
//! [[sequential_write]]                  # O_DSYNC
//! size_bytes = 131072
//! depth = 8
//! bytes_per_second = 2000000000
//! [[sequential_read]]
//! [[random_read]]                       # of 4 KiB: depth, operations_per_second
//! ```
//!
//! Key invariant: a [`DeviceProfile`] that was read is complete and its figures are within bounds that no device exceeds,
//! so that what is computed from them neither overflows nor divides by zero.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(super) const FORMAT: u32 = 1;
/// Characters of a fact.
pub(super) const FACT_CHARS_MAX: usize = 128;
/// Cases of one kind.
const CASES_MAX: usize = 64;
/// Ten seconds: a device that takes longer for one block has failed.
const LATENCY_US: RangeInclusive<u64> = 1..=10_000_000;
/// From a worn memory card to beyond all that is known.
const BANDWIDTH: RangeInclusive<u64> = 100_000..=1_000_000_000_000;
const OPERATIONS_PER_SECOND: RangeInclusive<u64> = 1..=1_000_000_000;
const SIZE_BYTES: RangeInclusive<u64> = 512..=64 << 20;
const DEPTH: RangeInclusive<u32> = 1..=4_096;

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("cannot read the device profile {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("the device profile {path} is damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
}

/// Which device it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceFacts {
    pub name: String,
    pub model: String,
    pub size_bytes: u64,
    pub filesystem: String,
    pub scheduler: String,
    pub write_cache: String,
    pub rotational: bool,
}

impl DeviceFacts {
    /// Whether figures of one hold for the other. Names change from start to start of a host, so they do not count.
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.model, self.size_bytes, &self.filesystem)
            == (&other.model, other.size_bytes, &other.filesystem)
    }

    /// For people.
    pub fn told(&self) -> String {
        let words = [self.model.as_str(), self.name.as_str()].map(str::trim);
        let known: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let device = if known.is_empty() { "an unknown device".to_owned() } else { known.join(" ") };
        match self.filesystem.is_empty() {
            true => device,
            false => format!("{device} ({})", self.filesystem),
        }
    }
}

/// How long one operation takes, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    pub p50_us: u64,
    pub p99_us: u64,
}

/// What a sequential case came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bandwidth {
    /// Of one operation.
    pub size_bytes: u64,
    /// Operations in flight.
    pub depth: u32,
    pub bytes_per_second: u64,
}

/// What a random case came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub depth: u32,
    pub operations_per_second: u64,
}

/// What was measured of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceProfile {
    pub format: u32,
    /// When, in UTC as in RFC 3339; given by whoever measured.
    pub measured_at: String,
    pub device: DeviceFacts,
    pub durable_write: Latency,
    pub fdatasync: Latency,
    pub sequential_write: Vec<Bandwidth>,
    pub sequential_read: Vec<Bandwidth>,
    pub random_read: Vec<Rate>,
}

impl DeviceProfile {
    /// Reads and checks the text of a profile; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ProfileError> {
        let damaged = |reason| ProfileError::Damaged { path: path.to_owned(), reason };
        let parsed: Self = toml::from_str(text).map_err(|error| {
            let lines = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            damaged(format!("line {lines}: {}", error.message()))
        })?;
        match parsed.fault() {
            Some(fault) => Err(damaged(fault)),
            None => Ok(parsed),
        }
    }

    /// As a file.
    pub fn text(&self) -> io::Result<String> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        Ok(format!(
            "# Measured by `corelog tune io`. The broker reads it when it starts; without it the default limits hold.\n\
             # docs/operations.md says what follows from these figures.\n{text}"
        ))
    }

    fn fault(&self) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!("format {} is not known; this version reads {FORMAT}", self.format));
        }
        let DeviceFacts { name, model, filesystem, scheduler, write_cache, .. } = &self.device;
        let texts = [&self.measured_at, name, model, filesystem, scheduler, write_cache];
        if texts.iter().any(|text| text.chars().count() > FACT_CHARS_MAX || text.contains(char::is_control)) {
            return Some(format!(
                "a fact is longer than {FACT_CHARS_MAX} characters or has control characters"
            ));
        }
        let latencies = [("durable_write", self.durable_write), ("fdatasync", self.fdatasync)];
        for (name, latency) in latencies {
            let bounded = LATENCY_US.contains(&latency.p50_us) && LATENCY_US.contains(&latency.p99_us);
            if !bounded || latency.p50_us > latency.p99_us {
                return Some(format!("{name} needs 1 <= p50_us <= p99_us <= {}", LATENCY_US.end()));
            }
        }
        for (name, cases) in
            [("sequential_write", &self.sequential_write), ("sequential_read", &self.sequential_read)]
        {
            let is_bounded = |case: &Bandwidth| {
                SIZE_BYTES.contains(&case.size_bytes)
                    && DEPTH.contains(&case.depth)
                    && BANDWIDTH.contains(&case.bytes_per_second)
            };
            if cases.is_empty() || cases.len() > CASES_MAX || !cases.iter().all(is_bounded) {
                return Some(format!(
                    "{name} needs 1 to {CASES_MAX} cases with figures that a device can have"
                ));
            }
        }
        let is_bounded = |case: &Rate| {
            DEPTH.contains(&case.depth) && OPERATIONS_PER_SECOND.contains(&case.operations_per_second)
        };
        let random = &self.random_read;
        if random.len() > CASES_MAX || !random.iter().all(is_bounded) {
            return Some(format!(
                "random_read needs at most {CASES_MAX} cases with figures that a device can have"
            ));
        }
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// About the development host: two cores, ext4 on virtio.
    pub fn example() -> DeviceProfile {
        let case = |size_bytes, depth, bytes_per_second| Bandwidth { size_bytes, depth, bytes_per_second };
        DeviceProfile {
            format: FORMAT,
            measured_at: "2026-11-21T23:00:00Z".to_owned(),
            device: DeviceFacts {
                name: "vda".to_owned(),
                filesystem: "ext4".to_owned(),
                ..DeviceFacts::default()
            },
            durable_write: Latency { p50_us: 100, p99_us: 200 },
            fdatasync: Latency { p50_us: 20, p99_us: 60 },
            sequential_write: vec![
                case(128 << 10, 1, 800_000_000),
                case(128 << 10, 8, 2_200_000_000),
                case(1 << 20, 8, 2_300_000_000),
            ],
            sequential_read: vec![
                case(1 << 20, 1, 900_000_000),
                case(1 << 20, 4, 1_250_000_000),
                case(1 << 20, 16, 1_300_000_000),
            ],
            random_read: vec![Rate { depth: 1, operations_per_second: 12_000 }],
        }
    }

    fn refusal(text: &str) -> String {
        let error = DeviceProfile::parse(Path::new("data/io-profile.toml"), text).expect_err("it is damaged");
        error.to_string()
    }

    #[test]
    fn a_profile_comes_back_as_it_was_written() {
        let text = example().text().expect("it can be written");
        assert_eq!(DeviceProfile::parse(Path::new("p"), &text).expect("valid"), example());
    }

    #[test]
    fn damage_is_told_with_its_place() {
        let text = example().text().expect("it can be written");
        let line = text.lines().position(|line| line.starts_with("p50_us")).expect("it is there") + 1;
        let said = refusal(&text.replace("p50_us = 100", "p50_us = \"x\""));
        assert!(said.contains("data/io-profile.toml") && said.contains(&format!("line {line}")), "{said}");
        for (good, bad) in [
            ("format = 1", "format = 2"),
            ("p50_us = 100", "p50_us = 0"),
            ("p50_us = 100", "p50_us = 201"),
            ("p50_us = 100", "p50_us = -1"),
            ("p99_us = 200", "p99_us = 99999999999"),
            ("bytes_per_second = 800000000", "bytes_per_second = 0"),
            ("depth = 1\n", "depth = 0\n"),
            ("size_bytes = 131072", "size_bytes = 1"),
            ("[fdatasync]", "[other]"),
            ("2026-11-21T23:00:00Z", "\\u0000"),
        ] {
            assert!(text.contains(good), "{good}");
            refusal(&text.replacen(good, bad, 1));
        }
        refusal(&text[..text.len() / 2]);
    }

    #[test]
    fn a_device_is_known_by_more_than_its_name() {
        let device = example().device;
        assert!(device.is_like(&DeviceFacts { name: "vdb".to_owned(), ..device.clone() }));
        assert!(!device.is_like(&DeviceFacts { size_bytes: 1, ..device.clone() }));
        assert_eq!(device.told(), "vda (ext4)");
        assert_eq!(DeviceFacts::default().told(), "an unknown device");
    }
}
