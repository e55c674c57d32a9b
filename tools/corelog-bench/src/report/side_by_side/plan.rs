//! The list of scenarios, as far as the table needs it: names, words, and what is compared.
//!
//! Key invariant: a list that was read names each scenario once and holds only bars that can be judged. What a scenario does is left
//! to the scripts that run it.

use super::bars::Bar;

/// A scenario of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    pub name: String,
    /// What the client does.
    pub words: String,
    /// Figures, each with its bar if it has one; the first is the one that is shown in the picture.
    pub compared: Vec<(String, Option<Bar>)>,
}

/// Why a list cannot be read.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    #[error("line {line}: name | group | kind | what is compared | words | options are wanted")]
    Fields { line: usize },
    #[error(
        "line {line}: {name:?} is no name of lower-case letters, digits and hyphens, or stands above already"
    )]
    Name { line: usize, name: String },
    #[error(
        "line {line}: {text:?} is neither a figure nor a bar: FIGURE, FIGURE>=N, FIGURE<=N*SIDE or FIGURE>=N*FIGURE"
    )]
    Bar { line: usize, text: String },
}

/// Reads a list; empty lines and those that begin with `#` say nothing.
pub fn parse(text: &str) -> Result<Vec<Scenario>, PlanError> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let (number, line) = (at + 1, line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [name, _, _, compared, words, ..] = fields[..] else {
            return Err(PlanError::Fields { line: number });
        };
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || !name.bytes().all(legal) || scenarios.iter().any(|known| known.name == name) {
            return Err(PlanError::Name { line: number, name: name.to_owned() });
        }
        let compared = compared
            .split_whitespace()
            .map(|text| {
                Bar::parse(text).ok_or_else(|| PlanError::Bar { line: number, text: text.to_owned() })
            })
            .collect::<Result<_, _>>()?;
        scenarios.push(Scenario { name: name.to_owned(), words: words.to_owned(), compared });
    }
    Ok(scenarios)
}
