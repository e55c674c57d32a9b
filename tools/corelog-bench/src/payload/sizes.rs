//! How many bytes values have.
//!
//! Key invariant: a drawn size lies within the plan's bounds, and is never below that of a stamp where records carry them.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, LogNormal};

use super::{STAMP_BYTES, SupplyError};
use crate::workload::SizePlan;

/// Sizes as planned; `least` is that of a stamp, or 0.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    law: Law,
    least: u32,
}

#[derive(Clone, Debug)]
enum Law {
    Fixed(u32),
    Uniform { min: u32, max: u32 },
    LogNormal { law: LogNormal<f64>, max: u32 },
}

impl Sizes {
    pub(super) fn new(plan: SizePlan, stamped: bool) -> Result<Self, SupplyError> {
        let least = if stamped { STAMP_BYTES as u32 } else { 0 };
        let (law, smallest) = match plan {
            SizePlan::Fixed(size) => (Law::Fixed(size), size),
            SizePlan::Uniform { min, max } if min <= max => (Law::Uniform { min, max }, min),
            SizePlan::Uniform { min, max } => {
                return Err(SupplyError::Plan(format!("no size lies between {min} and {max}")));
            }
            SizePlan::LogNormal { median, sigma, max } => {
                let law = LogNormal::new(f64::from(median.max(1)).ln(), sigma)
                    .map_err(|error| SupplyError::Plan(format!("sizes: {error}")))?;
                // Its small draws are made longer.
                (Law::LogNormal { law, max }, max)
            }
        };
        if smallest < least {
            return Err(SupplyError::TooSmallForStamp { bytes: smallest });
        }
        Ok(Self { law, least })
    }

    pub(super) fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> u32 {
        match &self.law {
            Law::Fixed(size) => *size,
            Law::Uniform { min, max } => rng.random_range(*min..=*max),
            // Values beyond u32 become its greatest.
            Law::LogNormal { law, max } => (law.sample(rng).round() as u32).min(*max).max(self.least),
        }
    }

    /// The longest value.
    pub(super) fn max(&self) -> u32 {
        match self.law {
            Law::Fixed(size) => size,
            Law::Uniform { max, .. } | Law::LogNormal { max, .. } => max,
        }
    }

    /// The mean, of a law that is cut at both ends by trial.
    pub(super) fn mean(&self, rng: &mut Xoshiro256PlusPlus) -> f64 {
        const TRIALS: u32 = 10_000;
        match self.law {
            Law::Fixed(size) => f64::from(size),
            Law::Uniform { min, max } => f64::midpoint(f64::from(min), f64::from(max)),
            Law::LogNormal { .. } => {
                (0..TRIALS).map(|_| f64::from(self.draw(rng))).sum::<f64>() / f64::from(TRIALS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const DRAWS: u32 = 20_000;

    fn drawn(plan: SizePlan, stamped: bool) -> Vec<u32> {
        let sizes = Sizes::new(plan, stamped).expect("the plan can be drawn from");
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut drawn: Vec<u32> = (0..DRAWS).map(|_| sizes.draw(&mut rng)).collect();
        let mean = drawn.iter().map(|size| f64::from(*size)).sum::<f64>() / f64::from(DRAWS);
        let told = sizes.mean(&mut rng);
        assert!((mean / told - 1.0).abs() < 0.05, "{mean} against {told}");
        drawn.sort_unstable();
        drawn
    }

    #[test]
    fn uniform_sizes_reach_both_ends_and_nothing_else() {
        let sizes = drawn(SizePlan::Uniform { min: 10, max: 20 }, false);
        assert_eq!((sizes[0], sizes[sizes.len() - 1]), (10, 20));
    }

    #[test]
    fn log_normal_sizes_have_their_median_spread_and_ends() {
        let sizes = drawn(SizePlan::LogNormal { median: 800, sigma: 0.6, max: 4096 }, false);
        let at = |share: f64| f64::from(sizes[(share * f64::from(DRAWS)) as usize]);
        assert!((at(0.5) / 800.0 - 1.0).abs() < 0.05, "{}", at(0.5));
        // One standard deviation above the median.
        assert!((at(0.8413) / (800.0 * 0.6_f64.exp()) - 1.0).abs() < 0.1, "{}", at(0.8413));
        assert_eq!(sizes[sizes.len() - 1], 4096);
        let stamped = drawn(SizePlan::LogNormal { median: 30, sigma: 1.0, max: 4096 }, true);
        assert_eq!(stamped[0], STAMP_BYTES as u32);
    }

    #[test]
    fn sizes_without_room_for_a_stamp_are_refused() {
        for plan in [SizePlan::Fixed(27), SizePlan::Uniform { min: 27, max: 90 }] {
            assert!(Sizes::new(plan, false).is_ok());
            assert_eq!(Sizes::new(plan, true).err(), Some(SupplyError::TooSmallForStamp { bytes: 27 }));
        }
    }
}
