//! `corelog tune apply` and `corelog tune undo`: the host set, and set back.
//!
//! Key invariant: each change is told with its old and new value, done or not; the exit code is 1 if any was not done.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Root, Subject};
use crate::broker::host::{self, Change, Outcome, Step, Tree, TuneError, UndoFile, Verdict};
use crate::cli::failure::Failure;
use crate::cli::output;

/// Where the undo file is, unless it is said.
const UNDO_FILE: &str = "var/lib/corelog/tune-undo.toml";

/// Where what was changed is noted.
#[derive(Debug, clap::Args)]
struct Noted {
    /// The file that says what was changed [default: /var/lib/corelog/tune-undo.toml].
    #[arg(long, value_name = "FILE")]
    undo_file: Option<PathBuf>,
}

/// Arguments of `corelog tune apply`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It needs root. What it writes holds until the host starts again; tuning/corelog-tune.service applies it at \
each start. What cannot be written is printed for the operator. The exit code is 1 if a change failed."
)]
pub struct Apply {
    #[command(flatten)]
    subject: Subject,
    /// Print what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Only this setting; may be repeated.
    #[arg(long, value_name = "SETTING")]
    only: Vec<String>,
    #[command(flatten)]
    noted: Noted,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `corelog tune undo`.
#[derive(Debug, clap::Args)]
pub struct Undo {
    #[command(flatten)]
    place: Root,
    /// Print what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Set back also what somebody else changed since.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    noted: Noted,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Apply {
    pub fn run(self) -> Result<(), Failure> {
        let comparison = self.subject.compare()?;
        let known = |name: &String| comparison.profile.settings.iter().any(|setting| setting.name() == name);
        if let Some(unknown) = self.only.iter().find(|name| !known(name)) {
            return Err(Failure::Usage(format!(
                "the profile {} has no setting `{unknown}`; `corelog tune check` lists them",
                comparison.profile.name
            )));
        }
        let is_meant = |verdict: &&Verdict| self.only.is_empty() || self.only.contains(&verdict.setting);
        let verdicts: Vec<&Verdict> = comparison.verdicts.iter().filter(is_meant).collect();
        let changes: Vec<Change> = verdicts.iter().flat_map(|verdict| verdict.changes.clone()).collect();
        let by_hand: Vec<(&str, &str)> = verdicts
            .iter()
            .filter_map(|verdict| Some((verdict.setting.as_str(), verdict.by_hand.as_deref()?)))
            .collect();
        let mut undo = self.noted.open(&self.subject.place)?;
        let steps = if self.dry_run {
            planned(&changes)
        } else {
            need_root(&comparison.tree)?;
            host::apply(&comparison.tree, &changes, &mut undo).map_err(told)?
        };
        let report = Report { steps: &steps, by_hand: &by_hand, dry_run: self.dry_run };
        report.print(self.json)?;
        if !self.json && !self.dry_run && !undo.changes().is_empty() {
            let file = undo.path().display();
            output::print(&format!(
                "\nIt holds until the host starts again. `corelog tune undo` takes it back ({file}).\n"
            ))?;
        }
        report.result()
    }
}

impl Undo {
    pub fn run(self) -> Result<(), Failure> {
        let tree = self.place.tree()?;
        let mut undo = self.noted.open(&self.place)?;
        let steps = if self.dry_run {
            let back = |change: &Change| Change {
                old: change.new.clone(),
                new: change.old.clone(),
                ..change.clone()
            };
            planned(&undo.changes().iter().rev().map(back).collect::<Vec<_>>())
        } else {
            need_root(&tree)?;
            host::revert(&tree, &mut undo, self.force).map_err(told)?
        };
        let report = Report { steps: &steps, by_hand: &[], dry_run: self.dry_run };
        report.print(self.json)?;
        report.result()
    }
}

impl Noted {
    fn open(&self, place: &Root) -> Result<UndoFile, Failure> {
        let root = place.root.as_deref().unwrap_or(Path::new("/"));
        let path = self.undo_file.clone().unwrap_or_else(|| root.join(UNDO_FILE));
        UndoFile::open(&path).map_err(told)
    }
}

fn told(error: TuneError) -> Failure {
    Failure::Failed(error.to_string())
}

fn need_root(tree: &Tree) -> Result<(), Failure> {
    if !tree.is_kernel() || rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::Failed("changing the host's settings needs root; --dry-run does not".to_owned()))
}

fn planned(changes: &[Change]) -> Vec<Step> {
    changes.iter().map(|change| Step { change: change.clone(), outcome: Outcome::Done }).collect()
}

/// What was done, or would be.
struct Report<'a> {
    steps: &'a [Step],
    by_hand: &'a [(&'a str, &'a str)],
    dry_run: bool,
}

impl Report<'_> {
    fn result(&self) -> Result<(), Failure> {
        let failed = self.steps.iter().filter(|step| step.is_failure()).count();
        if failed == 0 {
            return Ok(());
        }
        Err(Failure::Failed(format!("{failed} of {} changes were not made; see above", self.steps.len())))
    }

    fn print(&self, json: bool) -> Result<(), Failure> {
        if json { output::print_json(&self.as_json()) } else { output::print(&self.text()) }
    }

    fn as_json(&self) -> Value {
        let step = |step: &Step| {
            let Change { setting, path, old, new } = &step.change;
            let (outcome, reason) = self.outcome(step);
            json!({ "setting": setting, "path": path, "old": old, "new": new, "outcome": outcome, "reason": reason })
        };
        let by_hand = |(setting, what): &(&str, &str)| json!({ "setting": setting, "what": what });
        json!({
            "changes": self.steps.iter().map(step).collect::<Vec<_>>(),
            "by_hand": self.by_hand.iter().map(by_hand).collect::<Vec<_>>(),
        })
    }

    fn outcome<'a>(&self, step: &'a Step) -> (&'static str, Option<&'a str>) {
        match &step.outcome {
            Outcome::Done if self.dry_run => ("would change", None),
            Outcome::Done => ("changed", None),
            Outcome::AlreadyThere => ("as it was", None),
            Outcome::KernelManaged => ("left", Some("the kernel places this interrupt itself")),
            Outcome::ChangedSince(_) => {
                ("left", Some("somebody changed it since; --force sets it back all the same"))
            }
            Outcome::Failed(reason) => ("FAILED", Some(reason)),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for step in self.steps {
            let Change { setting, path, old, new } = &step.change;
            let old = match &step.outcome {
                Outcome::ChangedSince(found) => found,
                _ => old,
            };
            let (outcome, reason) = self.outcome(step);
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            let (old, new) = (old.replace('\t', " "), new.replace('\t', " "));
            text.push_str(&format!("{outcome:12}  {setting}: {path}: {old} -> {new}{reason}\n"));
        }
        if self.steps.is_empty() {
            text.push_str("Nothing is to be changed.\n");
        }
        for (setting, what) in self.by_hand {
            text.push_str(&format!("{:12}  {setting}: {what}\n", "by hand"));
        }
        text
    }
}
