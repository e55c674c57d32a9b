//! Random choices that a seed repeats.
//!
//! Key invariant: the same seed gives the same choices. `CORELOG_SEED=<n>` sets it; what threads and the machine make of
//! the time between them it cannot repeat.

/// SplitMix64 (Steele, Lea and Flood, 2014): one step per number, any seed is good.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The seed that is asked for, else one of this moment; it is told if the test fails.
    pub fn of_this_run() -> Self {
        let asked = std::env::var("CORELOG_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = asked.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            now.as_nanos() as u64 % 1_000_000
        });
        eprintln!("CORELOG_SEED={seed}");
        Self(seed)
    }

    /// Another source, which does not disturb this one.
    pub fn branch(&mut self) -> Self {
        Self(self.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// From `low` up to, not including, `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low).max(1)
    }

    /// True this often in a hundred.
    pub fn percent(&mut self, often: u64) -> bool {
        self.between(0, 100) < often
    }
}

/// A number that looks random and depends on all bits of `seed`.
pub fn mixed(seed: u64) -> u64 {
    let mut mixed = seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
