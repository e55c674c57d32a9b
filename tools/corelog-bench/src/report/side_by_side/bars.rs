//! Bars: what a figure of Corelog's must come to, by itself or in relation to another side.
//!
//! Key invariant: a bar is met only if both figures are there and the relation holds, without any allowance for noise.

use super::figures::{Results, Side};

/// At least or at most so much, or so many times something.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Otherwise at most.
    pub at_least: bool,
    pub number: f64,
    pub of: Limit,
}

/// What a bar's number is multiplied with.
#[derive(Clone, Debug, PartialEq)]
pub enum Limit {
    /// Nothing: the number itself.
    Number,
    /// The same figure of that side.
    Side(Side),
    /// Another figure of Corelog's.
    Figure(String),
}

/// How a bar came out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// The figure, or how many times the other it is.
    pub came_to: f64,
    pub met: bool,
}

impl Bar {
    /// A figure's name, and its bar if the text has one.
    pub fn parse(text: &str) -> Option<(String, Option<Self>)> {
        let (figure, at_least, limit) = match (text.split_once(">="), text.split_once("<=")) {
            (Some((figure, limit)), None) => (figure, true, limit),
            (None, Some((figure, limit))) => (figure, false, limit),
            (None, None) => return is_name(text).then(|| (text.to_owned(), None)),
            _ => return None,
        };
        let (number, of) = match limit.split_once('*') {
            None => (limit, Limit::Number),
            Some((number, of)) => match Side::of_key(of) {
                Some(side) => (number, Limit::Side(side)),
                None if is_name(of) => (number, Limit::Figure(of.to_owned())),
                None => return None,
            },
        };
        let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)?;
        is_name(figure).then(|| (figure.to_owned(), Some(Self { at_least, number, of })))
    }

    /// Corelog's figure against the bar; none if a figure is missing.
    pub fn judge(&self, results: &Results, scenario: &str, figure: &str) -> Option<Judgement> {
        let median = |side, figure: &str| results.spread(scenario, side, figure).map(|spread| spread.median);
        let mine = median(Side::Corelog, figure)?;
        let came_to = match &self.of {
            Limit::Number => mine,
            Limit::Side(side) => mine / median(*side, figure).filter(|other| *other > 0.0)?,
            Limit::Figure(other) => mine / median(Side::Corelog, other).filter(|other| *other > 0.0)?,
        };
        let met = if self.at_least { came_to >= self.number } else { came_to <= self.number };
        Some(Judgement { came_to, met })
    }
}

/// Names of figures: letters, digits, underscores and dots, a letter first.
fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(legal)
}
