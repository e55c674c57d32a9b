//! Compares sides, each of one or several runs.
//!
//! Key invariant: a side's figure is the median of its runs; where the ranges of two sides' runs overlap, their difference
//! is called noise, whatever its size. Reading files is left to `files`, splitting arguments to `cli`.

mod metrics;
mod table;

pub use metrics::{Metric, Noise, Spread, metrics};
pub use table::{notes, table};

use crate::result::RunRecord;

/// Runs that belong together: of one broker or one configuration.
#[derive(Clone, Debug)]
pub struct Side {
    pub name: String,
    pub runs: Vec<RunRecord>,
}

/// Puts runs to sides by their label; without one, by the file's stem but for a trailing `-N` or `.N`. Sides are in the order of
/// their first runs.
pub fn group(runs: Vec<(String, RunRecord)>) -> Vec<Side> {
    let mut sides: Vec<Side> = Vec::new();
    for (stem, run) in runs {
        let name = run.label.clone().unwrap_or_else(|| without_number(&stem).to_owned());
        match sides.iter_mut().find(|side| side.name == name) {
            Some(side) => side.runs.push(run),
            None => sides.push(Side { name, runs: vec![run] }),
        }
    }
    sides
}

fn without_number(stem: &str) -> &str {
    let bare = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    match bare.strip_suffix(['-', '.']) {
        Some(name) if bare.len() < stem.len() && !name.is_empty() => name,
        _ => stem,
    }
}
