//! What was measured, as rows of one table or as JSON.
//!
//! Key invariant: rates come from the same clock as their counts; a ratio names what it compares with.

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;

use crate::measure::Measured;

/// A comparison with another row.
pub struct Ratio {
    pub factor: f64,
    /// Of what, in words.
    pub of: String,
}

/// One case and what came of it.
pub struct Row {
    pub case: String,
    pub measured: Measured,
    pub ratios: Vec<Ratio>,
    /// What else there is to say.
    pub note: String,
}

impl Row {
    /// A row without comparisons.
    pub fn new(case: &str, measured: Measured) -> Self {
        Self { case: case.to_owned(), measured, ratios: vec![], note: String::new() }
    }

    /// Adds a comparison of this row's figure with another's.
    pub fn compare(mut self, mine: f64, theirs: f64, of: &str) -> Self {
        if mine > 0.0 && theirs > 0.0 {
            self.ratios.push(Ratio { factor: mine / theirs, of: of.to_owned() });
        }
        self
    }

    /// Adds a note.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn remarks(&self) -> String {
        let ratios = self
            .ratios
            .iter()
            .map(|ratio| format!("{:.*} x {}", digits(ratio.factor), ratio.factor, ratio.of));
        let note = (!self.note.is_empty()).then(|| self.note.clone());
        ratios.chain(note).collect::<Vec<_>>().join(", ")
    }
}

/// All rows of a run.
pub struct Report {
    filters: Vec<String>,
    /// How long each case measures.
    pub measured: Duration,
    rows: Vec<Row>,
}

impl Report {
    pub fn new(filters: Vec<String>, measured: Duration) -> Self {
        Self { filters, measured, rows: vec![] }
    }

    /// Whether a case was asked for.
    pub fn wants(&self, case: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| case.contains(filter.as_str()))
    }

    /// What an earlier case came to.
    pub fn find(&self, case: &str) -> Option<&Measured> {
        self.rows.iter().find(|row| row.case == case).map(|row| &row.measured)
    }

    /// Adds a row, and says so at once: a whole run takes minutes.
    pub fn add(&mut self, row: Row) {
        println!("{}", line(&row, row.case.len()));
        self.rows.push(row);
    }

    /// The aligned table.
    pub fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.case.len()).max().unwrap_or(0).max("case".len());
        let mut table = format!(
            "{:width$}  {:>11}  {:>8}  {:>9}  {:>9}  compared with\n",
            "case", "records/s", "MB/s", "p50 us", "p99 us"
        );
        for row in &self.rows {
            table.push_str(&line(row, width));
            table.push('\n');
        }
        table
    }

    /// The rows for programs.
    pub fn json(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(row_json).collect();
        let whole = json!({ "format": 1, "seconds-per-case": self.measured.as_secs_f64(), "cases": rows });
        format!("{whole:#}\n")
    }
}

fn line(row: &Row, width: usize) -> String {
    let measured = &row.measured;
    let mut line = format!("{:width$}  ", row.case);
    let known = |value: f64, digits: usize| match value {
        value if value > 0.0 => format!("{value:.digits$}"),
        _ => "-".to_owned(),
    };
    // Writing to a string cannot fail.
    let _ = write!(
        line,
        "{:>11}  {:>8}  {:>9}  {:>9}  {}",
        known(measured.records_per_second(), 0),
        known(measured.mb_per_second(), 1),
        known(measured.wait_us(0.5), 1),
        known(measured.wait_us(0.99), 1),
        row.remarks()
    );
    line.trim_end().to_owned()
}

/// Enough to tell small ratios apart.
fn digits(factor: f64) -> usize {
    match factor {
        factor if factor >= 100.0 => 0,
        factor if factor >= 0.1 => 2,
        _ => 4,
    }
}

fn row_json(row: &Row) -> serde_json::Value {
    let measured = &row.measured;
    let ratios: Vec<_> =
        row.ratios.iter().map(|ratio| json!({ "factor": ratio.factor, "of": ratio.of })).collect();
    json!({
        "case": row.case,
        "seconds": measured.elapsed.as_secs_f64(),
        "operations": measured.waits_ns.len(),
        "records": measured.records,
        "bytes": measured.bytes,
        "records-per-second": measured.records_per_second(),
        "mb-per-second": measured.mb_per_second(),
        "p50-us": measured.wait_us(0.5),
        "p99-us": measured.wait_us(0.99),
        "max-us": measured.wait_us(1.0),
        "ratios": ratios,
        "note": row.note,
    })
}
