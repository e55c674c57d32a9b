//! Profiles: what a host should be set to, as data. The files lie in `tuning/` and are part of the binary.
//!
//! Key invariant: a [`Profile`] that exists was checked: its files lie below `/sys` or `/proc`, each setting asks for
//! something that its source can have, and each says what it changes, why, to what effect, and how to undo it. This is
//! pure: reading a profile of one's own from a file is left to the caller.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;

use super::error::{TuneError, line_of, parse_failure};

/// The profile that holds unless another is asked for.
pub const DEDICATED: &str = "dedicated";
/// The profiles in the binary, by name.
const BUILT_IN: [(&str, &str); 2] = [
    (DEDICATED, include_str!("../../../tuning/dedicated.toml")),
    ("shared", include_str!("../../../tuning/shared.toml")),
];
/// The format of profiles that this program reads.
const FORMAT: u32 = 1;
/// Settings of one profile.
const SETTINGS_MAX: usize = 200;
/// Bytes of the text of a profile.
pub const PROFILE_BYTES_MAX: usize = 256 << 10;
/// Characters of a value that is written to a file.
const VALUE_CHARS_MAX: usize = 128;

/// What a host should be set to.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    pub about: String,
    pub settings: Vec<Setting>,
}

/// How much a setting that differs matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// A check of the host fails.
    Material,
    /// It is said, and no more.
    Advised,
}

/// Where a setting is found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// Files below `/sys` or `/proc`. `*` stands for any part of a name, `{device}` for each disk below the data directory.
    File(String),
    /// A limit of the broker's process.
    Limit(Limit),
    /// The filesystem of the data directory.
    Mount(MountPart),
    /// The interrupts of the queues of these devices.
    Interrupts(Devices),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The hard limit: the broker raises the soft one to it.
    OpenFiles,
    /// The soft limit.
    LockedMemory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountPart {
    Filesystem,
    Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Devices {
    /// The disks below the data directory.
    Data,
    /// The network interfaces that are hardware.
    Network,
}

/// What a setting should be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Wanted {
    /// One of these; the first that the host offers is written. Of a file like `none [mq-deadline]` the choice counts.
    OneOf(Vec<String>),
    AtLeast(u64),
    AtMost(u64),
    /// So many numbers, each at least this.
    EachAtLeast(Vec<u64>),
    PerShardAtLeast(u64),
    /// A mount option.
    With(String),
    Without(String),
    /// Interrupts on CPUs that no shard uses; where there are none, evenly over those of the shards.
    OffShards,
    /// Nothing: it is listed because it is often set, and need not be.
    AsItIs,
}

/// One thing that a host can be set to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    pub name: Spanned<String>,
    pub from: Source,
    pub want: Wanted,
    /// A file beside the setting's own that lists what may be written.
    #[serde(default)]
    pub offered: Option<String>,
    pub weight: Weight,
    /// What it changes.
    pub changes: String,
    pub why: String,
    /// Its effect, measured or cited; or that it was not measured.
    pub effect: String,
    /// How to undo it by hand.
    pub undo: String,
    /// What an operator has to do, where it cannot be written while the host runs.
    #[serde(default)]
    pub by_hand: Option<String>,
    /// Where that is documented.
    pub sources: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: Spanned<u32>,
    name: String,
    about: String,
    #[serde(default)]
    setting: Vec<Setting>,
}

/// A profile of the binary, if there is one of that name.
pub fn built_in(name: &str) -> Option<Result<Profile, TuneError>> {
    let (name, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
    Some(Profile::parse(&format!("tuning/{name}.toml"), text))
}

impl Profile {
    /// Names of the profiles in the binary.
    pub fn built_in_names() -> Vec<&'static str> {
        BUILT_IN.iter().map(|(name, _)| *name).collect()
    }

    /// Reads and checks the text of a profile. `file` is for messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, TuneError> {
        let refused = |line, reason| TuneError::Profile { file: file.to_owned(), line, reason };
        if text.len() > PROFILE_BYTES_MAX {
            return Err(refused(1, format!("the profile is larger than {PROFILE_BYTES_MAX} bytes")));
        }
        let parsed: Text = toml::from_str(text).map_err(|error| {
            let (line, reason) = parse_failure(text, &error);
            refused(line, reason)
        })?;
        let Text { format, name, about, setting: settings } = parsed;
        if *format.get_ref() != FORMAT {
            let reason = format!("format {} is not known; this version reads {FORMAT}", format.get_ref());
            return Err(refused(line_of(text, format.span().start), reason));
        }
        if settings.is_empty() || settings.len() > SETTINGS_MAX {
            return Err(refused(1, format!("a profile has 1 to {SETTINGS_MAX} settings")));
        }
        let mut names = BTreeSet::new();
        for setting in &settings {
            let at = line_of(text, setting.name.span().start);
            let fault =
                if names.insert(setting.name()) { setting.fault() } else { Some("it is there twice") };
            if let Some(fault) = fault {
                return Err(refused(at, format!("the setting `{}` is refused: {fault}", setting.name())));
            }
        }
        Ok(Self { name, about, settings })
    }
}

impl Setting {
    pub fn name(&self) -> &str {
        self.name.get_ref()
    }

    /// Whether it is written to files, and not by an operator.
    pub fn is_written(&self) -> bool {
        self.by_hand.is_none() && self.want != Wanted::AsItIs
    }

    /// What is wrong with it, if anything.
    fn fault(&self) -> Option<&'static str> {
        let texts = [self.name(), &self.changes, &self.why, &self.effect, &self.undo];
        if texts.iter().any(|text| text.trim().is_empty()) || self.sources.is_empty() {
            return Some(
                "each setting says what it changes, why, its effect, its sources and how to undo it",
            );
        }
        if let Some(fault) = self.source_fault() {
            return Some(fault);
        }
        match &self.want {
            Wanted::OneOf(values) if values.is_empty() || !values.iter().all(|value| is_value(value)) => {
                Some("`one_of` takes words of one line")
            }
            Wanted::EachAtLeast(values) if values.is_empty() => Some("`each_at_least` takes numbers"),
            Wanted::With(option) | Wanted::Without(option) if !is_value(option) => {
                Some("a mount option is a word")
            }
            _ => None,
        }
    }

    fn source_fault(&self) -> Option<&'static str> {
        use Wanted as W;
        let numbers = matches!(self.want, W::AtLeast(_) | W::AtMost(_) | W::PerShardAtLeast(_));
        let fits = match &self.from {
            Source::File(path) => {
                if !is_tunable(path) {
                    return Some("a file lies below /sys/ or /proc/, with no `..` in its path");
                }
                numbers || matches!(self.want, W::OneOf(_) | W::EachAtLeast(_))
            }
            Source::Limit(_) => numbers,
            Source::Mount(MountPart::Filesystem) => matches!(self.want, W::OneOf(_)),
            Source::Mount(MountPart::Options) => matches!(self.want, W::With(_) | W::Without(_)),
            Source::Interrupts(_) => self.want == W::OffShards,
        };
        if !fits && self.want != W::AsItIs {
            return Some("its source cannot have what it wants");
        }
        if self.offered.as_deref().is_some_and(|name| name.is_empty() || name.contains(['/', '*'])) {
            return Some("`offered` names a file beside the setting's own");
        }
        let runtime = matches!(self.from, Source::File(_) | Source::Interrupts(_));
        if !runtime && self.by_hand.is_none() && self.want != W::AsItIs {
            return Some("what cannot be written to a file needs `by_hand`");
        }
        None
    }
}

/// Whether a path, or a pattern of paths, is one that tuning may read and write.
pub(super) fn is_tunable(path: &str) -> bool {
    (path.starts_with("/sys/") || path.starts_with("/proc/"))
        && path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."))
        && !path.contains(char::is_control)
}

/// Whether something may be written to such a file.
pub(super) fn is_value(value: &str) -> bool {
    !value.trim().is_empty()
        && value.chars().count() <= VALUE_CHARS_MAX
        && value.chars().all(|c| !c.is_control() || c == '\t')
}

#[cfg(test)]
#[path = "profile/tests.rs"]
mod tests;
