//! The ratios as a picture: for each scenario how Corelog's first compared figure stands to Kafka's.
//!
//! Key invariant: longer to the right is better for Corelog, whatever the figure: where less is better, the ratio is turned round. The
//! scale is logarithmic, so that twice and half are equally far from the middle.

use super::figures::{Results, Side};
use super::plan::Scenario;
use crate::report::format::significant;

const ROW_PX: f64 = 34.0;
const BAR_PX: f64 = 12.0;
const LEFT_PX: f64 = 230.0;
const HALF_PX: f64 = 260.0;
const TOP_PX: f64 = 48.0;
/// Ratios beyond this are drawn as this, and told as what they are.
const RATIO_MAX: f64 = 100.0;
const COLOURS: [(Side, &str); 2] = [(Side::Kafka, "#2563a8"), (Side::Flush, "#d98324")];

/// An SVG; scenarios without a ratio are left out.
pub fn plot(scenarios: &[Scenario], results: &Results) -> String {
    let mut body = String::new();
    let mut rows = 0_usize;
    for scenario in scenarios {
        let Some((figure, _)) = scenario.compared.first() else { continue };
        let ratios: Vec<(Side, &str, f64)> = COLOURS
            .iter()
            .filter_map(|(side, colour)| {
                advantage(&scenario.name, figure, *side, results).map(|ratio| (*side, *colour, ratio))
            })
            .collect();
        if ratios.is_empty() {
            continue;
        }
        let top = TOP_PX + rows as f64 * ROW_PX;
        body.push_str(&text(
            LEFT_PX - 8.0,
            top + BAR_PX + 4.0,
            "end",
            &format!("{} · {figure}", scenario.name),
        ));
        for (at, (_, colour, ratio)) in ratios.iter().enumerate() {
            body.push_str(&bar(top + at as f64 * (BAR_PX + 1.0), *ratio, colour));
        }
        rows += 1;
    }
    let (width, height) = (LEFT_PX + 2.0 * HALF_PX + 60.0, TOP_PX + rows as f64 * ROW_PX + 10.0);
    let middle = LEFT_PX + HALF_PX;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    svg.push_str(&text(middle, 18.0, "middle", "Corelog, durable: how many times better than Kafka"));
    for ((side, colour), at) in COLOURS.iter().zip([-150.0, 60.0]) {
        let words =
            if *side == Side::Kafka { "page cache, no flush" } else { "flush for each acknowledgement" };
        svg.push_str(&format!(
            "<rect x=\"{}\" y=\"26\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\n",
            middle + at
        ));
        svg.push_str(&text(middle + at + 14.0, 35.0, "start", words));
    }
    svg.push_str(&body);
    svg.push_str(&format!(
        "<line x1=\"{middle}\" x2=\"{middle}\" y1=\"{}\" y2=\"{height}\" stroke=\"black\"/>\n</svg>\n",
        TOP_PX - 6.0
    ));
    svg
}

/// How many times better Corelog's figure is.
fn advantage(scenario: &str, figure: &str, side: Side, results: &Results) -> Option<f64> {
    let median = |side| results.spread(scenario, side, figure).map(|spread| spread.median);
    let (mine, other) = (median(Side::Corelog)?, median(side)?);
    let more_is_better = figure == "records_s" || figure == "mb_s";
    let ratio = if more_is_better { mine / other } else { other / mine };
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
}

fn bar(top: f64, ratio: f64, colour: &str) -> String {
    let middle = LEFT_PX + HALF_PX;
    let length = ratio.clamp(1.0 / RATIO_MAX, RATIO_MAX).ln() / RATIO_MAX.ln() * HALF_PX;
    let from = middle + length.min(0.0);
    let (at, anchor) = if length < 0.0 { (from - 4.0, "end") } else { (from + length + 4.0, "start") };
    format!(
        "<rect x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR_PX}\" fill=\"{colour}\"/>\n{}",
        length.abs(),
        text(at, top + BAR_PX - 2.0, anchor, &format!("{}×", significant(ratio)))
    )
}

fn text(x: f64, y: f64, anchor: &str, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>\n")
}
