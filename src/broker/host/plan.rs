//! The planner: what of a host is as wanted, what would be changed, what is left to the operator.
//!
//! Key invariants: pure, so that facts and profile alone decide; a plan made after all its changes were made has none; a
//! change is only planned to something that the host offers.

use super::facts::{Facts, Reading};
use super::interrupts;
use super::profile::{Profile, Setting, Wanted, Weight, is_value};

/// How a setting stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Ok,
    /// Listed, and wanted as it is.
    Kept,
    /// This host has no such thing.
    Absent,
    /// It differs, or cannot be read, and that matters little.
    Advice,
    /// It differs materially.
    Differs,
}

impl Standing {
    /// For tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Kept => "kept",
            Self::Absent => "absent",
            Self::Advice => "advice",
            Self::Differs => "differs",
        }
    }
}

/// A value of a file, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub setting: String,
    pub path: String,
    pub old: String,
    pub new: String,
}

/// What is to be said of a setting, and done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub setting: String,
    pub standing: Standing,
    pub found: String,
    pub wanted: String,
    /// Changes that can be made while the host runs.
    pub changes: Vec<Change>,
    /// What the operator has to do.
    pub by_hand: Option<String>,
}

/// Judges every setting of the profile, in its order.
pub fn plan(profile: &Profile, facts: &Facts) -> Vec<Verdict> {
    profile.settings.iter().map(|setting| judge(setting, facts)).collect()
}

fn judge(setting: &Setting, facts: &Facts) -> Verdict {
    let readings = facts.readings.get(setting.name()).map(Vec::as_slice).unwrap_or_default();
    let mut verdict = Verdict {
        setting: setting.name().to_owned(),
        standing: Standing::Ok,
        found: summary(readings),
        wanted: wanted(&setting.want, facts),
        changes: vec![],
        by_hand: None,
    };
    if readings.is_empty() {
        (verdict.standing, verdict.found) = (Standing::Absent, "nothing of the kind here".to_owned());
        return verdict;
    }
    if setting.want == Wanted::AsItIs {
        verdict.standing = Standing::Kept;
        return verdict;
    }
    let differing = differing(setting, readings, facts);
    let unread = readings.iter().any(|reading| reading.value.is_err());
    if differing.is_empty() {
        verdict.standing = if unread { Standing::Advice } else { Standing::Ok };
        return verdict;
    }
    verdict.standing = match setting.weight {
        Weight::Material => Standing::Differs,
        Weight::Advised => Standing::Advice,
    };
    if setting.is_written() {
        let change = |(at, new): (usize, Option<String>)| {
            let reading: &Reading = readings.get(at)?;
            let old = reading.value.clone().ok().filter(|old| is_value(old))?;
            let (setting, path) = (setting.name().to_owned(), reading.path.clone());
            Some(Change { setting, path, old, new: new? })
        };
        verdict.changes = differing.into_iter().filter_map(change).collect();
        if verdict.changes.is_empty() {
            // Nobody can have it here, so nothing is amiss.
            verdict.standing = Standing::Absent;
            verdict.found = format!("{}; what is wanted is not offered here", verdict.found);
        }
    }
    let point = facts.mount.as_ref().map_or("MOUNTPOINT", |mount| &mount.point);
    verdict.by_hand = setting.by_hand.as_ref().map(|by_hand| by_hand.replace("{mount}", point));
    verdict
}

/// The readings that are not as wanted, by their place, each with what it should be; `None` if that is not offered.
fn differing(setting: &Setting, readings: &[Reading], facts: &Facts) -> Vec<(usize, Option<String>)> {
    if setting.want == Wanted::OffShards {
        let moves = interrupts::moves(readings, &facts.shard_cpus, &facts.other_cpus);
        return moves.into_iter().map(|(at, list)| (at, Some(list))).collect();
    }
    let judged = readings.iter().enumerate().filter_map(|(at, reading)| {
        let found = reading.value.as_deref().ok()?;
        let target = target(&setting.want, found, &reading.offered, facts.shards);
        target.map(|new| (at, new.filter(|new| is_value(new))))
    });
    judged.collect()
}

/// What `found` should be instead: `None` if it is as wanted, `Some(None)` if what is wanted is not offered.
fn target(want: &Wanted, found: &str, offered: &[String], shards: usize) -> Option<Option<String>> {
    let at_least = |least: u64| match amount(found) {
        Some(amount) if amount >= least => None,
        Some(_) => Some(Some(least.to_string())),
        None => Some(None),
    };
    match want {
        Wanted::OneOf(values) if values.iter().any(|value| value == found) => None,
        Wanted::OneOf(values) => {
            let is_offered = |value: &&String| offered.is_empty() || offered.contains(value);
            Some(values.iter().find(is_offered).cloned())
        }
        Wanted::AtLeast(least) => at_least(*least),
        Wanted::PerShardAtLeast(least) => at_least(least.saturating_mul(shards as u64)),
        Wanted::AtMost(most) => match amount(found) {
            Some(amount) if amount <= *most => None,
            Some(_) => Some(Some(most.to_string())),
            None => Some(None),
        },
        Wanted::EachAtLeast(least) => {
            let numbers: Vec<u64> = found.split_whitespace().filter_map(amount).collect();
            if numbers.len() != least.len() {
                return Some(None);
            }
            let raised: Vec<u64> =
                numbers.iter().zip(least).map(|(number, least)| *number.max(least)).collect();
            let text = raised.iter().map(ToString::to_string).collect::<Vec<_>>().join("\t");
            (raised != numbers).then_some(Some(text))
        }
        Wanted::With(option) => (!has_option(found, option)).then_some(None),
        Wanted::Without(option) => has_option(found, option).then_some(None),
        Wanted::OffShards | Wanted::AsItIs => None,
    }
}

fn amount(text: &str) -> Option<u64> {
    if text == "unlimited" { Some(u64::MAX) } else { text.trim().parse().ok() }
}

fn has_option(options: &str, wanted: &str) -> bool {
    options.split(',').any(|option| option == wanted)
}

/// What was found, with how many files have it where there are several.
fn summary(readings: &[Reading]) -> String {
    let mut counts: Vec<(String, usize)> = vec![];
    for reading in readings {
        let text = match &reading.value {
            Ok(value) => value.split_whitespace().collect::<Vec<_>>().join(" "),
            Err(error) => format!("not readable: {error}"),
        };
        match counts.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => counts.push((text, 1)),
        }
    }
    let single = readings.len() == 1;
    let told =
        counts.into_iter().map(|(text, count)| if single { text } else { format!("{text} ({count})") });
    told.collect::<Vec<_>>().join(", ")
}

fn wanted(want: &Wanted, facts: &Facts) -> String {
    match want {
        Wanted::OneOf(values) => values.join(" or "),
        Wanted::AtLeast(least) => format!("at least {least}"),
        Wanted::AtMost(most) => format!("at most {most}"),
        Wanted::EachAtLeast(least) => {
            let least: Vec<String> = least.iter().map(ToString::to_string).collect();
            format!("at least {}", least.join(" "))
        }
        Wanted::PerShardAtLeast(least) => format!("at least {}", least.saturating_mul(facts.shards as u64)),
        Wanted::With(option) => option.clone(),
        Wanted::Without(option) => format!("not {option}"),
        Wanted::OffShards if facts.other_cpus.is_empty() => "spread over the shards' CPUs".to_owned(),
        Wanted::OffShards => {
            format!("on CPUs without a shard ({})", super::cpulist::format(&facts.other_cpus))
        }
        Wanted::AsItIs => "as it is".to_owned(),
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
