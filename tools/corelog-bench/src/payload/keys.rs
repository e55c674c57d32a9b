//! Keys, dealt to partitions as Kafka's partitioner deals them, with what each partition's keys weigh.
//!
//! A key is `key-` and a number; number 0 is the most frequent of a Zipf law. Memory: 4 bytes per key, with a Zipf law 16.
//!
//! Key invariant: drawing a partition by its weight and then a key of it by the key's weight within gives every key the
//! weight that the plan gives it. Every topic has the same keys.

use corelog::model::partition_of_key;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;

use super::SupplyError;
use crate::workload::KeyPlan;

const PREFIX: &[u8] = b"key-";
/// Decimal digits of a `u32`.
const DIGITS_MAX: usize = 10;

/// The bytes of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyText {
    bytes: [u8; PREFIX.len() + DIGITS_MAX],
    len: usize,
}

impl KeyText {
    pub(super) fn new(number: u32) -> Self {
        let mut digits = [0; DIGITS_MAX];
        let mut at = DIGITS_MAX;
        let mut left = number;
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        let mut text = Self { bytes: [0; PREFIX.len() + DIGITS_MAX], len: PREFIX.len() + DIGITS_MAX - at };
        text.bytes[..PREFIX.len()].copy_from_slice(PREFIX);
        text.bytes[PREFIX.len()..text.len].copy_from_slice(&digits[at..]);
        text
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The keys of every topic.
#[derive(Debug)]
pub(super) struct Keys {
    /// Numbers of keys, partition by partition, ascending within each.
    numbers: Vec<u32>,
    /// Where each partition's keys begin, and where the last ends.
    starts: Vec<u32>,
    choice: Choice,
    /// Per partition; together 1.
    weights: Vec<f64>,
    mean_bytes: f64,
}

/// How a key is chosen among those of its partition.
#[derive(Debug)]
enum Choice {
    Even,
    /// Per partition; none for one without keys.
    Weighted(Vec<Option<WeightedAliasIndex<f64>>>),
    InTurn,
}

impl Keys {
    /// `None` if records have no keys. `partitions` is at least 1.
    pub(super) fn new(plan: KeyPlan, partitions: u32) -> Result<Option<Self>, SupplyError> {
        let (count, exponent) = match plan {
            KeyPlan::None => return Ok(None),
            KeyPlan::Uniform { count } | KeyPlan::Sequential { count } => (count, 0.0),
            KeyPlan::Zipf { count, exponent } => (count, exponent),
        };
        if count == 0 {
            return Err(SupplyError::Plan("a workload with keys needs at least one".to_owned()));
        }
        let weight = |number: u32| (f64::from(number) + 1.0).powf(-exponent);
        let (numbers, starts) = deal(count, partitions);
        let of = |partition: u32| {
            &numbers[starts[partition as usize] as usize..starts[partition as usize + 1] as usize]
        };
        let sums: Vec<f64> =
            (0..partitions).map(|partition| of(partition).iter().map(|n| weight(*n)).sum()).collect();
        let total: f64 = sums.iter().sum();
        let text_bytes: f64 = (0..count).map(|n| weight(n) * KeyText::new(n).as_bytes().len() as f64).sum();
        let choice = match plan {
            KeyPlan::Sequential { .. } => Choice::InTurn,
            KeyPlan::Zipf { .. } if exponent != 0.0 => {
                let tables = (0..partitions).map(|partition| alias_table(of(partition), &weight));
                Choice::Weighted(tables.collect::<Result<_, _>>()?)
            }
            _ => Choice::Even,
        };
        let weights = sums.iter().map(|sum| sum / total).collect();
        Ok(Some(Self { numbers, starts, choice, weights, mean_bytes: text_bytes / total }))
    }

    /// The share of all records that goes to a partition of a topic, among those of the topic.
    pub(super) fn weight(&self, partition: u32) -> f64 {
        self.weights[partition as usize]
    }

    /// Mean bytes of a record's key.
    pub(super) fn mean_bytes(&self) -> f64 {
        self.mean_bytes
    }

    pub(super) fn is_in_turn(&self) -> bool {
        matches!(self.choice, Choice::InTurn)
    }

    /// Numbers of keys of the partition into all of `drawn`; `turn` counts the partition's records where keys go in turn.
    /// Drawn many at once, they wait for memory together. False if the partition has no keys.
    pub(super) fn draw(
        &self,
        partition: u32,
        turn: u64,
        rng: &mut Xoshiro256PlusPlus,
        drawn: &mut [u32],
    ) -> bool {
        let from = self.starts[partition as usize] as usize;
        let numbers = &self.numbers[from..self.starts[partition as usize + 1] as usize];
        if numbers.is_empty() {
            return false;
        }
        match &self.choice {
            Choice::Even => drawn.fill_with(|| rng.random_range(0..numbers.len() as u32)),
            Choice::Weighted(tables) => {
                let Some(table) = &tables[partition as usize] else { return false };
                drawn.fill_with(|| table.sample(rng) as u32);
            }
            Choice::InTurn => {
                let turns = (turn..).map(|turn| (turn % numbers.len() as u64) as u32);
                drawn.iter_mut().zip(turns).for_each(|(place, turn)| *place = turn);
            }
        }
        drawn.iter_mut().for_each(|place| *place = numbers[*place as usize]);
        true
    }
}

/// The keys' numbers sorted by partition, and where each partition's begin.
fn deal(count: u32, partitions: u32) -> (Vec<u32>, Vec<u32>) {
    let partition = |number: u32| partition_of_key(KeyText::new(number).as_bytes(), partitions) as usize;
    let mut starts = vec![0_u32; partitions as usize + 1];
    for number in 0..count {
        starts[partition(number) + 1] += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut next = starts.clone();
    let mut numbers = vec![0; count as usize];
    for number in 0..count {
        let place = &mut next[partition(number)];
        numbers[*place as usize] = number;
        *place += 1;
    }
    (numbers, starts)
}

fn alias_table(
    numbers: &[u32],
    weight: &impl Fn(u32) -> f64,
) -> Result<Option<WeightedAliasIndex<f64>>, SupplyError> {
    if numbers.is_empty() {
        return Ok(None);
    }
    let weights = numbers.iter().map(|number| weight(*number)).collect();
    WeightedAliasIndex::new(weights).map(Some).map_err(|error| SupplyError::Plan(format!("keys: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::BTreeMap;

    fn keys(plan: KeyPlan, partitions: u32) -> Keys {
        Keys::new(plan, partitions).expect("it can be drawn from").expect("it has keys")
    }

    fn one(keys: &Keys, partition: u32, turn: u64, rng: &mut Xoshiro256PlusPlus) -> Option<KeyText> {
        let mut drawn = [0];
        keys.draw(partition, turn, rng, &mut drawn).then(|| KeyText::new(drawn[0]))
    }

    #[test]
    fn texts_are_decimal() {
        for number in [0, 7, 10, 99, 12_345, u32::MAX] {
            assert_eq!(KeyText::new(number).as_bytes(), format!("key-{number}").as_bytes());
        }
    }

    #[test]
    fn every_key_is_in_the_partition_that_kafka_gives_it() {
        let keys = keys(KeyPlan::Sequential { count: 1000 }, 7);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut seen = Vec::new();
        for partition in 0..7 {
            let count = u64::from(keys.starts[partition as usize + 1] - keys.starts[partition as usize]);
            assert!((keys.weight(partition) - count as f64 / 1000.0).abs() < 1e-9);
            for turn in 0..count {
                let text = one(&keys, partition, turn, &mut rng).expect("it has keys");
                assert_eq!(partition_of_key(text.as_bytes(), 7), partition);
                seen.push(text.as_bytes().to_vec());
            }
            let again = one(&keys, partition, count, &mut rng).expect("it has keys");
            assert_eq!(again.as_bytes(), seen[seen.len() - count as usize]);
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 1000, "each key is in exactly one partition");
    }

    #[test]
    fn drawing_by_partition_gives_each_key_its_zipf_share() {
        const DRAWS: u32 = 200_000;
        let (count, exponent, partitions) = (50_u32, 1.0, 4);
        let keys = keys(KeyPlan::Zipf { count, exponent }, partitions);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut found: BTreeMap<Vec<u8>, f64> = BTreeMap::new();
        for partition in 0..partitions {
            // Each partition gets its share of the draws.
            let draws = (keys.weight(partition) * f64::from(DRAWS)).round() as u32;
            for _ in 0..draws {
                let text = one(&keys, partition, 0, &mut rng).expect("it has keys");
                *found.entry(text.as_bytes().to_vec()).or_default() += 1.0 / f64::from(DRAWS);
            }
        }
        let total: f64 = (1..=count).map(|rank| f64::from(rank).powf(-exponent)).sum();
        for number in 0..count {
            let expected = f64::from(number + 1).powf(-exponent) / total;
            let share = found.get(KeyText::new(number).as_bytes()).copied().unwrap_or_default();
            // Four standard deviations of a binomial share.
            let slack = 4.0 * (expected / f64::from(DRAWS)).sqrt();
            assert!((share - expected).abs() < slack, "key {number}: {share} against {expected}");
        }
    }

    #[test]
    fn a_partition_without_keys_weighs_nothing() {
        let keys = keys(KeyPlan::Zipf { count: 1, exponent: 1.0 }, 16);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let home = partition_of_key(b"key-0", 16);
        for partition in 0..16 {
            assert_eq!(one(&keys, partition, 0, &mut rng).is_some(), partition == home);
            assert_eq!(keys.weight(partition), if partition == home { 1.0 } else { 0.0 });
        }
    }
}
