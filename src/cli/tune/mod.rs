//! `corelog tune`: the host as it is against a profile, and the data device as it is.
//!
//! Key invariant: `check`, and `apply` and `undo` with `--dry-run`, change nothing. What a profile means is `broker::host`'s,
//! what a device is `broker::device`'s.

mod apply;
mod check;
mod date;
mod io;

use std::io::Read;
use std::path::PathBuf;

use clap::Subcommand;

use super::failure::Failure;
use super::serve::SettingSources;
use crate::broker::host::{
    self, DEDICATED, Facts, PROFILE_BYTES_MAX, Place, Profile, Tree, TuneError, Verdict,
};

/// Arguments of `corelog tune`.
#[derive(Debug, clap::Args)]
pub struct Tune {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Compare the host's settings with a profile.
    Check(check::Check),
    /// Set the host as a profile wants it, until its next start.
    Apply(apply::Apply),
    /// Take back what `apply` did.
    Undo(apply::Undo),
    /// Measure the data directory's device; the broker bounds its I/O by the result.
    Io(io::Io),
}

impl Tune {
    pub fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Check(action) => action.run(),
            Action::Apply(action) => action.run(),
            Action::Undo(action) => action.run(),
            Action::Io(action) => action.run(),
        }
    }
}

/// Which host is compared with what.
#[derive(Debug, clap::Args)]
struct Subject {
    #[command(flatten)]
    sources: SettingSources,
    /// What the host should be: `dedicated` (it is the broker's own), `shared`, or a file.
    #[arg(long, value_name = "NAME|FILE", default_value = DEDICATED)]
    profile: String,
    #[command(flatten)]
    place: Root,
}

/// Where `/sys` and `/proc` are.
#[derive(Debug, clap::Args)]
struct Root {
    /// A directory with a copy of /sys and /proc that stands for the host.
    #[arg(long, value_name = "DIR", hide = true)]
    root: Option<PathBuf>,
}

impl Root {
    fn tree(&self) -> Result<Tree, Failure> {
        match &self.root {
            None => Ok(Tree::kernel()),
            Some(root) => Tree::copy(root)
                .map_err(|source| Failure::Local { place: root.display().to_string(), source }),
        }
    }
}

/// A host compared with a profile.
struct Comparison {
    tree: Tree,
    profile: Profile,
    facts: Facts,
    verdicts: Vec<Verdict>,
}

impl Subject {
    fn compare(&self) -> Result<Comparison, Failure> {
        let settings = self.sources.load(self.sources.flags())?;
        let profile = self.profile().map_err(|error| Failure::Usage(error.to_string()))?;
        let tree = self.place.tree()?;
        let place = Place { data_dir: settings.data_dir.clone(), shards: settings.shards.count };
        let facts = host::look(&tree, &profile, &place);
        let verdicts = host::plan(&profile, &facts);
        Ok(Comparison { tree, profile, facts, verdicts })
    }

    fn profile(&self) -> Result<Profile, TuneError> {
        if let Some(profile) = host::built_in(&self.profile) {
            return profile;
        }
        let text = read_bounded(&self.profile).map_err(|error| TuneError::File {
            file: self.profile.clone(),
            reason: format!(
                "{error}; a profile is a file, or one of {}",
                Profile::built_in_names().join(", ")
            ),
        })?;
        Profile::parse(&self.profile, &text)
    }
}

/// The text of a file; of one that is too large, so much that it is seen to be.
fn read_bounded(path: &str) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(PROFILE_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}
