//! The comparison as one self-contained page: tables made here, charts drawn by the page's own script.
//!
//! Key invariant: the page loads nothing (its Content-Security-Policy forbids it), and no text of a run's file reaches it
//! unescaped: labels and names may hold anything.

mod data;
mod tables;

use super::ReportError;
use super::compare::Side;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPTS: [&str; 3] = [include_str!("axes.js"), include_str!("chart.js"), include_str!("page.js")];

/// The page. Fails if a run's histogram cannot be read.
pub fn page(sides: &[Side]) -> Result<String, ReportError> {
    let names: Vec<String> = sides.iter().map(|side| escaped(&side.name)).collect();
    let script = SCRIPTS.concat();
    let parts = [
        ("title", names.join(" · ")),
        ("style", STYLE.to_owned()),
        ("lead", tables::lead(sides)),
        ("summary", tables::summary(sides)),
        ("notes", tables::notes(sides)),
        ("differences", tables::differing_settings(sides)),
        ("commands", tables::commands(sides)),
        ("data", data::json(sides)?),
        ("script", script),
    ];
    Ok(filled(TEMPLATE, &parts))
}

/// Puts the parts in the places `{{name}}` of the template. What a part holds is not looked at again.
fn filled(template: &str, parts: &[(&str, String)]) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("the template closes its places");
        let part = parts.iter().find(|(known, _)| *known == name).expect("every place has its part");
        text.push_str(before);
        text.push_str(&part.1);
        rest = after;
    }
    text.push_str(rest);
    text
}

/// A text for an element or a quoted attribute.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
