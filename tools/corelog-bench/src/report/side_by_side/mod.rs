//! Many scenarios on several sides in one table: Kafka as it ships, Kafka with a flush for each acknowledgement, Corelog, and a
//! server that stores nothing; which bars are met; and a picture of the ratios. What `make peers` prints.
//!
//! Key invariant: a figure is the median of a side's rounds, and a bar is judged by medians; what a side did not measure is absent
//! from the table and leaves its bar unjudged, never met. Running scenarios is left to `benches/peers/`, reading files to `cli`.

mod bars;
mod figures;
mod plan;
mod plot;
mod table;
#[cfg(test)]
mod tests;

pub use bars::{Bar, Judgement, Limit};
pub use figures::{FactsError, Figures, Results, Side, figures};
pub use plan::{PlanError, Scenario, parse};
pub use plot::plot;
pub use table::markdown;
