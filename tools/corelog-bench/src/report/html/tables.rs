//! The page's tables and texts: figures, notes, differing settings, commands.
//!
//! Key invariant: every text that stems from a file goes through `escaped`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escaped;
use crate::report::compare::{self, Metric, Noise, Side, Spread};
use crate::report::format::{grouped, percent, significant};
use crate::result::{RunRecord, differences};

/// What was compared, in a sentence.
pub fn lead(sides: &[Side]) -> String {
    let runs: usize = sides.iter().map(|side| side.runs.len()).sum();
    let mut of: Vec<String> = Vec::new();
    for run in sides.iter().flat_map(|side| &side.runs) {
        let name = match run.workload.name.as_str() {
            "" => run.command.name.clone(),
            name => format!("{} {name}", run.command.name),
        };
        if !of.contains(&name) {
            of.push(name);
        }
    }
    let plural = if runs == 1 { "" } else { "s" };
    escaped(&format!("{} run{plural} of {}", grouped(runs as u64), of.join(", ")))
}

/// The table of figures.
pub fn summary(sides: &[Side]) -> String {
    let mut html = String::from("<thead><tr><td></td>");
    for (index, side) in sides.iter().enumerate() {
        let columns = if index == 0 { 2 } else { 3 };
        put(
            &mut html,
            format_args!(
                "<th scope=\"colgroup\" colspan=\"{columns}\"><span class=\"swatch\" data-side=\"{index}\"></span>{}<small>{} run{}</small></th>",
                escaped(&side.name),
                side.runs.len(),
                if side.runs.len() == 1 { "" } else { "s" }
            ),
        );
    }
    html.push_str("</tr></thead><tbody>");
    let mut group = String::new();
    for metric in compare::metrics(sides) {
        let of = group_of(&metric.name);
        let class = if group.is_empty() || group == of { "" } else { " class=\"group\"" };
        group = of.to_owned();
        put(&mut html, format_args!("<tr{class}><th scope=\"row\">{}</th>", escaped(&metric.name)));
        cells(&mut html, &metric);
        html.push_str("</tr>");
    }
    html.push_str("</tbody>");
    html
}

/// Figures of one group stand together: rates, each kind of latency, costs.
fn group_of(name: &str) -> &str {
    match name {
        _ if name.ends_with("/s") => "rates",
        _ if name.ends_with(" ms") => name.split(' ').next().unwrap_or_default(),
        _ => "costs",
    }
}

fn cells(html: &mut String, metric: &Metric) {
    for (index, spread) in metric.sides.iter().enumerate() {
        let value = spread.map_or_else(|| "–".to_owned(), |spread| metric.value(spread.median));
        let share = spread.as_ref().and_then(Spread::half_range_share);
        let share = share.map(|share| format!("±\u{202f}{}", percent(share))).unwrap_or_default();
        let range = spread.filter(|spread| spread.runs > 1);
        let range = range
            .map(|spread| format!(" title=\"{} to {}\"", metric.value(spread.min), metric.value(spread.max)));
        put(
            html,
            format_args!(
                "<td class=\"value\"{}>{value}</td><td class=\"spread\">{share}</td>",
                range.unwrap_or_default()
            ),
        );
        if index > 0 {
            let ratio = metric.ratio(index).map(|ratio| format!("{ratio:.2}×")).unwrap_or_default();
            let within = metric.noise(index) == Some(Noise::Within) && !ratio.is_empty();
            let (class, mark) = if within { (" noise", "~") } else { ("", "") };
            put(
                html,
                format_args!("<td class=\"ratio{class}\">{ratio}<span class=\"mark\">{mark}</span></td>"),
            );
        }
    }
}

/// What must be known to read the figures; warnings first.
pub fn notes(sides: &[Side]) -> String {
    let (warnings, plain): (Vec<String>, Vec<String>) =
        compare::notes(sides).into_iter().partition(|note| note.starts_with('!'));
    let mut html = String::new();
    for warning in warnings {
        let text = warning.trim_start_matches(['!', ' ']);
        put(&mut html, format_args!("<li class=\"warning\">{}</li>", escaped(text)));
    }
    for note in plain {
        put(&mut html, format_args!("<li>{}</li>", escaped(&note)));
    }
    html
}

/// The settings in which runs differ: a row per setting, a column per side.
pub fn differing_settings(sides: &[Side]) -> String {
    let all: Vec<BTreeMap<String, String>> =
        sides.iter().flat_map(|side| &side.runs).map(RunRecord::settings).collect();
    let found = differences(&all);
    if found.is_empty() {
        return "<p>The runs do not differ in any setting.</p>".to_owned();
    }
    let mut html = String::from(
        "<div class=\"scroll\" tabindex=\"0\"><table class=\"settings\"><thead><tr><th scope=\"col\">setting</th>",
    );
    for side in sides {
        put(&mut html, format_args!("<th scope=\"col\">{}</th>", escaped(&side.name)));
    }
    html.push_str("</tr></thead><tbody>");
    for difference in found {
        put(&mut html, format_args!("<tr><th scope=\"row\">{}</th>", escaped(&difference.field)));
        let mut values = difference.values.iter();
        for side in sides {
            let mut of_side: Vec<&String> = values.by_ref().take(side.runs.len()).collect();
            of_side.dedup();
            let texts: Vec<String> = of_side
                .iter()
                .map(|text| if text.is_empty() { "–".to_owned() } else { escaped(text) })
                .collect();
            put(&mut html, format_args!("<td>{}</td>", texts.join("<br>")));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    html
}

/// How each run is repeated.
pub fn commands(sides: &[Side]) -> String {
    let mut html = String::new();
    for side in sides {
        for (index, run) in side.runs.iter().enumerate() {
            let words: Vec<String> = run.command.arguments.iter().map(|word| quoted(word)).collect();
            let revision =
                run.tool.revision.as_ref().map(|text| format!(", revision {text}")).unwrap_or_default();
            put(
                &mut html,
                format_args!(
                    "<li><p><strong>{}</strong> run {}, {}, {} s counted, version {}{}</p><pre tabindex=\"0\"><code>corelog-bench {}</code></pre></li>",
                    escaped(&side.name),
                    index + 1,
                    escaped(&run.started_at),
                    significant(run.measured.counted_s),
                    escaped(&run.tool.version),
                    escaped(&revision),
                    escaped(&words.join(" "))
                ),
            );
        }
    }
    html
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn put(html: &mut String, part: std::fmt::Arguments<'_>) {
    html.write_fmt(part).expect("a String takes whatever is written to it");
}
