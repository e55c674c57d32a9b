//! The table in Markdown.
//!
//! Key invariant: every row of Corelog's says how each of its scenario's bars came out, and every mark is explained below.

use super::bars::{Bar, Limit};
use super::figures::{Results, Side};
use super::plan::Scenario;
use crate::report::compare::Spread;
use crate::report::format::{percent, significant};

/// Figures with columns of their own, and the heads of these.
const COLUMNS: [(&str, &str); 8] = [
    ("records_s", "records/s"),
    ("mb_s", "MB/s"),
    ("p50_ms", "p50, ms"),
    ("p99_ms", "p99, ms"),
    ("p99.9_ms", "p99.9, ms"),
    ("cpu_gb", "CPU-s/GB"),
    ("us_request", "CPU, µs/request"),
    ("peak_mb", "peak MB"),
];
/// Figures that show otherwise than as values.
const SILENT: [&str; 3] = ["paced_records_s", "client_limit", "rate_missed"];
/// Figures that put a mark to records/s, and what it means.
const MARKS: [(&str, &str, &str); 2] = [
    ("client_limit", "†", "the client was the limit in at least one round."),
    ("rate_missed", "‡", "did not keep up with the rate that was asked for in at least one round."),
];

/// All scenarios that have results, in the order of the list, a row for each side.
pub fn markdown(scenarios: &[Scenario], results: &Results) -> String {
    let mut rows = Vec::new();
    for scenario in scenarios {
        let sides = Side::ALL.into_iter().filter(|side| results.has(&scenario.name, *side));
        for (at, side) in sides.enumerate() {
            let first =
                if at == 0 { format!("`{}`: {}", scenario.name, scenario.words) } else { String::new() };
            rows.push(row(first, scenario, side, results));
        }
    }
    let mut heads: Vec<String> = ["requests", "broker"].map(str::to_owned).to_vec();
    heads.extend(COLUMNS.map(|(_, head)| head.to_owned()));
    heads.extend(["else", "of the ceiling", "to Kafka", "to Kafka, flush", "bars"].map(str::to_owned));
    let rule = "| --- ".repeat(heads.len());
    let mut text = format!("| {} |\n{rule}|\n", heads.join(" | "));
    for row in &rows {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text.push_str(&notes(scenarios, results));
    for (_, mark, meaning) in MARKS {
        if rows.iter().flatten().any(|cell| cell.contains(mark)) {
            text.push_str(&format!("\n{mark} {meaning}\n"));
        }
    }
    text
}

fn row(first: String, scenario: &Scenario, side: Side, results: &Results) -> Vec<String> {
    let name = &scenario.name;
    let mut cells = vec![first, side.name().to_owned()];
    for (figure, _) in COLUMNS {
        let mut cell = results.spread(name, side, figure).map_or_else(String::new, |spread| value(&spread));
        for (marked, mark, _) in MARKS {
            // At the ceiling the client is always the limit.
            if figure == "records_s" && side != Side::Ceiling && results.spread(name, side, marked).is_some()
            {
                cell.push_str(mark);
            }
        }
        cells.push(cell);
    }
    let others = results.names(name, side).into_iter().filter(|figure| {
        !SILENT.contains(&figure.as_str()) && COLUMNS.iter().all(|(column, _)| column != figure)
    });
    let others: Vec<String> = others
        .filter_map(|figure| {
            results.spread(name, side, &figure).map(|spread| format!("{figure} {}", value(&spread)))
        })
        .collect();
    cells.push(others.join("; "));
    cells.push(ceiling_share(name, side, results).map(percent).unwrap_or_default());
    for other in [Side::Kafka, Side::Flush] {
        cells.push(if side == Side::Corelog { ratios(scenario, other, results) } else { String::new() });
    }
    cells.push(if side == Side::Corelog { bars(scenario, results) } else { String::new() });
    cells
}

fn value(spread: &Spread) -> String {
    let half = spread.half_range_share().map(|share| format!(" ± {}", percent(share))).unwrap_or_default();
    format!("{}{half}", significant(spread.median))
}

/// Throughput as a share of the harness's own; none where a rate was given.
fn ceiling_share(scenario: &str, side: Side, results: &Results) -> Option<f64> {
    let paced = results.spread(scenario, side, "paced_records_s").is_some();
    let ceiling = results.spread(scenario, Side::Ceiling, "records_s")?.median;
    let rate = results.spread(scenario, side, "records_s")?.median;
    (side != Side::Ceiling && !paced && ceiling > 0.0).then(|| rate / ceiling)
}

/// How many times the other side's each compared figure is.
fn ratios(scenario: &Scenario, other: Side, results: &Results) -> String {
    let mut seen: Vec<&str> = Vec::new();
    let mut parts = Vec::new();
    for (figure, _) in &scenario.compared {
        if seen.contains(&figure.as_str()) {
            continue;
        }
        seen.push(figure);
        let median = |side| results.spread(&scenario.name, side, figure).map(|spread| spread.median);
        if let (Some(mine), Some(others)) = (median(Side::Corelog), median(other))
            && others > 0.0
        {
            parts.push(format!("{} {}×", short(figure), significant(mine / others)));
        }
    }
    parts.join("; ")
}

fn bars(scenario: &Scenario, results: &Results) -> String {
    let parts = scenario.compared.iter().filter_map(|(figure, bar)| {
        let bar = bar.as_ref()?;
        let came = match bar.judge(results, &scenario.name, figure) {
            Some(judgement) if judgement.met => format!("{} met", significant(judgement.came_to)),
            Some(judgement) => format!("{} **missed**", significant(judgement.came_to)),
            None => "not measured".to_owned(),
        };
        Some(format!("{}: {came}", sentence(figure, bar)))
    });
    parts.collect::<Vec<_>>().join("; ")
}

fn sentence(figure: &str, bar: &Bar) -> String {
    let relation = if bar.at_least { "≥" } else { "≤" };
    let of = match &bar.of {
        Limit::Number => String::new(),
        Limit::Side(side) => format!("× {}", side.key()),
        Limit::Figure(other) => format!("× {other}"),
    };
    format!("{} {relation} {}{of}", short(figure), bar.number)
}

/// The head of a figure's column, as bars and ratios name it.
fn short(figure: &str) -> &str {
    let column = COLUMNS.iter().find(|(column, _)| *column == figure);
    column.map_or(figure, |(_, head)| head.split(',').next().unwrap_or(head))
}

fn notes(scenarios: &[Scenario], results: &Results) -> String {
    let (mut met, mut judged) = (0_usize, 0_usize);
    for scenario in scenarios {
        let bars = scenario.compared.iter().filter_map(|(figure, bar)| {
            bar.as_ref().and_then(|bar| bar.judge(results, &scenario.name, figure))
        });
        for judgement in bars {
            judged += 1;
            met += usize::from(judgement.met);
        }
    }
    format!(
        "\nMedians over the rounds, ± half their range. {met} of {judged} bars that were measured are met.\n"
    )
}
