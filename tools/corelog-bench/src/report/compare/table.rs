//! The comparison as a table of text, with what must be known to read it below.
//!
//! Key invariant: every mark in the table is explained below it.

use super::{Metric, Noise, Side, Spread, metrics};
use crate::report::format::percent;
use crate::report::merge::workload_differences;
use crate::report::summary::sentences;
use crate::report::table::Table;
use crate::result::RunRecord;

/// The differing fields that a warning names at most.
const FIELDS_SHOWN_MAX: usize = 8;

/// The table: a row per figure; per side the median, the spread, and from the second side on the ratio to the first.
pub fn table(sides: &[Side]) -> String {
    if sides.iter().all(|side| side.runs.is_empty()) {
        return "there are no runs to compare\n".to_owned();
    }
    let mut table = Table::default();
    let mut heads = vec![String::new()];
    let mut counts = vec![String::new()];
    for (index, side) in sides.iter().enumerate() {
        let runs = side.runs.len();
        heads.extend([side.name.clone(), String::new()]);
        counts.extend([format!("{runs} run{}", if runs == 1 { "" } else { "s" }), "±".to_owned()]);
        if index > 0 {
            heads.push(String::new());
            counts.push("ratio".to_owned());
        }
    }
    table.row(heads);
    table.row(counts);
    for metric in metrics(sides) {
        table.row(cells(&metric));
    }
    let mut text = table.text();
    for note in notes(sides) {
        text.push_str(&format!("\n{note}"));
    }
    text.push('\n');
    text
}

fn cells(metric: &Metric) -> Vec<String> {
    let mut cells = vec![metric.name.clone()];
    for (index, spread) in metric.sides.iter().enumerate() {
        cells.push(spread.map_or_else(|| "–".to_owned(), |spread| metric.value(spread.median)));
        cells.push(spread.as_ref().and_then(Spread::half_range_share).map(percent).unwrap_or_default());
        if index > 0 {
            let mark = if metric.noise(index) == Some(Noise::Within) { "~" } else { " " };
            cells.push(metric.ratio(index).map_or_else(String::new, |ratio| format!("{ratio:.2}x {mark}")));
        }
    }
    cells
}

/// What must be known to read the figures, a line each.
pub fn notes(sides: &[Side]) -> Vec<String> {
    let mut notes = vec!["medians over a side's runs; ± is half the range of its runs".to_owned()];
    let all = metrics(sides);
    let judged: Vec<Noise> =
        all.iter().flat_map(|metric| (1..sides.len()).filter_map(|side| metric.noise(side))).collect();
    if judged.contains(&Noise::Within) {
        notes.push("~ within noise: the ranges of the runs overlap".to_owned());
    }
    let single: Vec<&str> =
        sides.iter().filter(|side| side.runs.len() == 1).map(|side| side.name.as_str()).collect();
    if single.len() == sides.len() && sides.len() > 1 {
        notes.push("one run a side: noise unknown".to_owned());
    } else if sides.len() > 1 {
        notes.extend(single.iter().map(|name| format!("one run of {name}: its noise is unknown")));
    }
    notes.extend(workload_warning(sides));
    notes.extend(sides.iter().flat_map(side_doubts));
    notes
}

/// The doubts about a side's runs. Those that differ in their figures alone share a line, with the figures of the first.
fn side_doubts(side: &Side) -> Vec<String> {
    let words = |doubt: &str| doubt.replace(|letter: char| letter.is_ascii_digit() || letter == '.', "");
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for (index, run) in side.runs.iter().enumerate() {
        for doubt in doubts(run) {
            let number = (index + 1).to_string();
            match lines.iter_mut().find(|(first, _)| words(first) == words(&doubt)) {
                Some((_, runs)) => runs.push(number),
                None => lines.push((doubt, vec![number])),
            }
        }
    }
    let line = |(doubt, runs): (String, Vec<String>)| {
        let run = if runs.len() == 1 { "run" } else { "runs" };
        format!("! {} {run} {}: {doubt}", side.name, runs.join(", "))
    };
    lines.into_iter().map(line).collect()
}

fn workload_warning(sides: &[Side]) -> Option<String> {
    let runs = sides.iter().flat_map(|side| &side.runs);
    let fields = workload_differences(runs, &["seed", "reason"]);
    if fields.is_empty() {
        return None;
    }
    let shown: Vec<String> = fields
        .iter()
        .take(FIELDS_SHOWN_MAX)
        .map(|one| {
            let mut values: Vec<&str> = one.values.iter().map(String::as_str).collect();
            values.dedup();
            let values: Vec<&str> = values.iter().map(|v| if v.is_empty() { "absent" } else { v }).collect();
            format!("{} ({})", one.field, values.join(" / "))
        })
        .collect();
    let more = match fields.len().saturating_sub(FIELDS_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("! the workloads differ: {}{more}", shown.join(", ")))
}

/// Why a run's figures are doubtful.
fn doubts(run: &RunRecord) -> Vec<String> {
    let mut verdict = run.verdict.clone();
    verdict.findings = verdict.findings.filter(|findings| !findings.is_clean());
    sentences(&verdict)
}
