//! The data device: what `corelog tune io` measured of it, and the bounds on journal and direct I/O that follow.
//!
//! Key invariants: an absent profile means the defaults; one that is damaged, or of another device, is said so and means
//! the defaults too: no profile keeps a broker from starting. What limits come of what measurements is pure (`limits`), and
//! none of them makes a broker unsafe. Waiting for the device is left to `io`, groups and checkpoints to `storage`.

mod facts;
mod limits;
mod measure;
mod profile;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use facts::facts;
pub use limits::{DeviceLimits, limits};
pub use measure::{Amount, MeasureError, measure};
pub use profile::{Bandwidth, DeviceFacts, DeviceProfile, Latency, ProfileError, Rate};

/// The profile's name in the data directory.
pub const PROFILE_FILE: &str = "io-profile.toml";
/// Bytes of a profile that is read.
const PROFILE_BYTES_MAX: u64 = 64 << 10;

/// By what a broker bounds its I/O.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub limits: DeviceLimits,
    /// For people.
    pub told: String,
}

/// The profile of a data directory, if it has one.
pub fn read(data_dir: &Path) -> Result<Option<DeviceProfile>, ProfileError> {
    let path = profile_path(data_dir);
    let file = match fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ProfileError::Io { path, source }),
    };
    let mut text = String::new();
    if let Err(source) = file.take(PROFILE_BYTES_MAX).read_to_string(&mut text) {
        return Err(ProfileError::Io { path, source });
    }
    DeviceProfile::parse(&path, &text).map(Some)
}

/// Writes a profile into a data directory, durably and whole. Answers where it is.
pub fn write(data_dir: &Path, profile: &DeviceProfile) -> io::Result<PathBuf> {
    let path = profile_path(data_dir);
    let beside = data_dir.join(format!("{PROFILE_FILE}.tmp"));
    let mut file = fs::File::create(&beside)?;
    io::Write::write_all(&mut file, profile.text()?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, &path)?;
    fs::File::open(data_dir)?.sync_all()?;
    Ok(path)
}

fn profile_path(data_dir: &Path) -> PathBuf {
    data_dir.join(PROFILE_FILE)
}

/// The bounds for a broker of so many shards on a data directory.
pub fn load(data_dir: &Path, shards: u16) -> Loaded {
    let defaults = |told: &str| Loaded { limits: DeviceLimits::default(), told: told.to_owned() };
    let profile = match read(data_dir) {
        Ok(Some(profile)) => profile,
        Ok(None) => return defaults("not measured, default limits (`corelog tune io` measures)"),
        Err(error) => {
            tracing::warn!("{error}; the default limits hold. `corelog tune io` writes it anew");
            return defaults("default limits, since the profile cannot be used; see the log");
        }
    };
    let here = facts(data_dir);
    if !profile.device.is_like(&here) {
        let path = profile_path(data_dir);
        tracing::warn!(
            "{} was measured on {}, but the data directory is on {}; the default limits hold. `corelog tune io` measures anew",
            path.display(),
            profile.device.told(),
            here.told()
        );
        return defaults("default limits, since the profile is of another device; see the log");
    }
    let limits = limits(&profile, shards);
    let told = format!("{}, measured {} ({PROFILE_FILE})", profile.device.told(), profile.measured_at);
    tracing::info!("the limits are those of {told}: {limits}");
    Loaded { limits, told }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_damaged_and_foreign_profiles_mean_the_defaults() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let loaded = |text: &str| {
            fs::write(directory.path().join(PROFILE_FILE), text).expect("writable");
            load(directory.path(), 2)
        };
        assert_eq!(load(directory.path(), 2).limits, DeviceLimits::default());
        for damaged in ["", "format = 1", "\u{0}", "format = 99"] {
            let loaded = loaded(damaged);
            assert_eq!(loaded.limits, DeviceLimits::default());
            assert!(loaded.told.contains("cannot be used"), "{}", loaded.told);
        }
        let mut profile = profile::tests::example();
        profile.device.size_bytes += 4096;
        profile.device.model = "another disk".to_owned();
        let foreign = loaded(&profile.text().expect("it can be written"));
        assert_eq!(foreign.limits, DeviceLimits::default());
        assert!(foreign.told.contains("another device"), "{}", foreign.told);
    }

    #[test]
    fn what_was_written_is_in_force_on_the_device_that_it_was_measured_on() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut profile = profile::tests::example();
        profile.device = facts(directory.path());
        let path = write(directory.path(), &profile).expect("writable");
        assert_eq!(path, directory.path().join(PROFILE_FILE));
        assert_eq!(read(directory.path()).expect("valid"), Some(profile.clone()));
        let loaded = load(directory.path(), 2);
        assert_eq!(loaded.limits, limits(&profile, 2));
        assert!(loaded.told.contains(&profile.measured_at), "{}", loaded.told);
    }
}
