//! `corelog tune check`: what of the host is as the profile wants it.
//!
//! Key invariant: it changes nothing. The exit code is 1 if a setting that the profile calls material differs, or cannot be
//! had without the operator; advice alone is no failure.

use serde_json::{Value, json};

use super::{Comparison, Subject};
use crate::broker::host::{Setting, Standing, Verdict};
use crate::cli::failure::Failure;
use crate::cli::output;

/// Arguments of `corelog tune check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "ok: as wanted. kept: listed because it is often set, and need not be. absent: this host has no such thing. \
advice: it differs, and that matters little. differs: it differs, and a broker is slower or fails under load for it. \
The exit code is 1 if anything differs, 2 if the profile cannot be used, 0 otherwise."
)]
pub struct Check {
    #[command(flatten)]
    subject: Subject,
    /// For each setting what it changes, why, its effect, how to undo it, and where that is documented.
    #[arg(long)]
    explain: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub fn run(self) -> Result<(), Failure> {
        let comparison = self.subject.compare()?;
        if self.json {
            let listed = comparison.pairs().map(|(setting, verdict)| as_json(setting, verdict));
            output::print_json(&listed.collect())?;
        } else {
            output::print(&text(&comparison, self.explain))?;
        }
        let differs = comparison.verdicts.iter().any(|verdict| verdict.standing == Standing::Differs);
        if differs { Err(Failure::Told) } else { Ok(()) }
    }
}

impl Comparison {
    fn pairs(&self) -> impl Iterator<Item = (&Setting, &Verdict)> {
        self.profile.settings.iter().zip(&self.verdicts)
    }
}

fn as_json(setting: &Setting, verdict: &Verdict) -> Value {
    let changes: Vec<Value> = verdict
        .changes
        .iter()
        .map(|change| json!({ "path": change.path, "old": change.old, "new": change.new }))
        .collect();
    json!({
        "setting": verdict.setting, "status": verdict.standing.name(), "found": verdict.found,
        "wanted": verdict.wanted, "apply": changes, "by_hand": verdict.by_hand, "changes": setting.changes,
        "why": setting.why, "effect": setting.effect, "undo": setting.undo, "sources": setting.sources,
    })
}

fn text(comparison: &Comparison, explain: bool) -> String {
    let facts = &comparison.facts;
    let disks =
        if facts.disks.is_empty() { "no disk that is known".to_owned() } else { facts.disks.join(", ") };
    let mut text = format!(
        "profile {}: {}\ndata on {disks}; {} shards\n\n",
        comparison.profile.name, comparison.profile.about, facts.shards
    );
    let width = comparison.verdicts.iter().map(|verdict| verdict.setting.chars().count()).max().unwrap_or(0);
    let mut writable = 0;
    for (setting, verdict) in comparison.pairs() {
        let off = matches!(verdict.standing, Standing::Advice | Standing::Differs);
        let wanted = if off { format!(", wanted {}", verdict.wanted) } else { String::new() };
        let (standing, name, found) = (verdict.standing.name(), &verdict.setting, &verdict.found);
        text.push_str(&format!("{standing:7}  {name:width$}  {found}{wanted}\n"));
        let mut below =
            |lead: &str, line: &str| text.push_str(&format!("{:9}{:width$}  {lead}{line}\n", "", ""));
        if explain {
            below("changes: ", &setting.changes);
            below("why: ", &setting.why);
            below("effect: ", &setting.effect);
            below("undo: ", &setting.undo);
            below("see: ", &setting.sources.join(" "));
        } else if off {
            below("-> ", &setting.why);
        }
        if let Some(by_hand) = &verdict.by_hand {
            below("by hand: ", by_hand);
        }
        writable += verdict.changes.len();
    }
    if writable > 0 {
        text.push_str(&format!(
            "\n`corelog tune apply` would change {}; --dry-run lists them.\n",
            output::counted(writable as u64, "file")
        ));
    }
    text
}
