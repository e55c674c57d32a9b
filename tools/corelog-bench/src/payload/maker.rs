//! A producer's batches: which lane is next, and what is in its batch.
//!
//! Key invariant: sequence numbers of a lane ascend by one from 0, record by record, also when the lane is given away and
//! comes back. When batches are sent, and again after an error, is left to `drive`.

use std::sync::Arc;

use bytes::Bytes;
use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;

use super::encode::{Encoder, sign};
use super::supply::{Draw, Order, Stamps, Supply};
use super::{Batch, Lane, Origin, SupplyError};

/// One connection's maker of batches.
#[derive(Debug)]
pub struct Maker {
    supply: Arc<Supply>,
    number: u32,
    draw: Draw,
    lanes: Vec<Lane>,
    choice: Choice,
    /// Records made for each lane so far, where stamps or keys in turn depend on it; otherwise empty.
    made: Vec<u64>,
    ready_turn: usize,
    /// What is compressed is put together here.
    spare: Vec<u8>,
}

/// How the next lane is chosen among those of the maker.
#[derive(Debug)]
enum Choice {
    /// None of its lanes gets records.
    Nothing,
    /// The place of the next.
    InTurn(usize),
    Weighted(WeightedAliasIndex<f64>),
}

impl Maker {
    /// `lanes` are those that this producer writes to; its `number` goes into stamps, and makers of different numbers draw
    /// differently.
    pub fn new(supply: Arc<Supply>, number: u32, lanes: Vec<Lane>) -> Self {
        let draw = supply.draw(u64::from(number));
        let mut maker = Self {
            supply,
            number,
            draw,
            lanes: Vec::new(),
            choice: Choice::Nothing,
            made: Vec::new(),
            ready_turn: number as usize,
            spare: Vec::new(),
        };
        maker.set_lanes(lanes);
        maker
    }

    /// Gives the producer other lanes. Sequence numbers go on where they were.
    pub fn set_lanes(&mut self, lanes: Vec<Lane>) {
        let supply = &self.supply;
        debug_assert!(lanes.iter().all(|lane| lane.0 < supply.lanes()));
        self.choice = if lanes.is_empty() {
            Choice::Nothing
        } else if supply.keys.is_none() {
            // Producers begin at different lanes.
            Choice::InTurn(self.number as usize % lanes.len())
        } else {
            // It fails if no lane weighs anything.
            let weights = lanes.iter().map(|lane| supply.weight(*lane)).collect();
            WeightedAliasIndex::new(weights).map_or(Choice::Nothing, Choice::Weighted)
        };
        let counts_records =
            supply.is_stamped() || supply.keys.as_ref().is_some_and(|keys| keys.is_in_turn());
        let highest = lanes.iter().max().filter(|_| counts_records);
        if let Some(highest) = highest
            && self.made.len() <= highest.0 as usize
        {
            self.made.resize(highest.0 as usize + 1, 0);
        }
        self.lanes = lanes;
    }

    /// The lane of the next batch: in turn without keys; with keys by what the lane's keys weigh. `None` if the producer has
    /// no lane, or no key belongs to any of them.
    pub fn next_lane(&mut self) -> Option<Lane> {
        match &mut self.choice {
            Choice::Nothing => None,
            Choice::InTurn(next) => {
                let lane = self.lanes[*next];
                *next = if *next + 1 < self.lanes.len() { *next + 1 } else { 0 };
                Some(lane)
            }
            Choice::Weighted(weights) => Some(self.lanes[weights.sample(&mut self.draw.rng)]),
        }
    }

    /// A batch of up to `records` records, fewer if the plan's batch bytes are reached first, at least one; of ready-made ones
    /// the next, with the timestamp and as many records as it was made with. `intended_ns` tells when each record, counted
    /// from 0, was to be sent, in nanoseconds since the run's start; it is asked for stamps only.
    ///
    /// Fails if no key belongs to the lane, if ready-made batches were not made, or if compression does.
    pub fn batch(
        &mut self,
        lane: Lane,
        records: u32,
        timestamp_ms: i64,
        origin: Option<Origin>,
        intended_ns: &dyn Fn(u32) -> u64,
    ) -> Result<Batch, SupplyError> {
        if self.supply.is_ready_made() {
            return self.ready_batch(lane, origin);
        }
        let supply = &*self.supply;
        let first_sequence = self.made.get(lane.0 as usize).copied().unwrap_or_default();
        let stamps = Stamps { producer: self.number, first_sequence, intended_ns };
        let order = Order {
            partition: supply.partition(lane),
            records,
            turn: first_sequence,
            stamps: supply.is_stamped().then_some(stamps),
        };
        let mut encoder = Encoder::begin(supply.buffer(records, &mut self.spare));
        supply.fill(&mut encoder, &mut self.draw, &order, false)?;
        let batch = supply.finish(encoder, timestamp_ms, origin, &mut self.spare)?;
        if let Some(made) = self.made.get_mut(lane.0 as usize) {
            *made += u64::from(batch.records);
        }
        Ok(batch)
    }

    /// The sequence number in the stamp of the lane's next record, of this producer; 0 without stamps.
    pub fn next_sequence(&self, lane: Lane) -> u64 {
        self.made.get(lane.0 as usize).copied().unwrap_or_default()
    }

    fn ready_batch(&mut self, lane: Lane, origin: Option<Origin>) -> Result<Batch, SupplyError> {
        let partition = self.supply.partition(lane);
        let ready = self.supply.ready.as_ref().ok_or(SupplyError::NotPrepared)?;
        let batch = ready.batch(partition, self.ready_turn).ok_or(SupplyError::NoKeys { partition })?;
        self.ready_turn = self.ready_turn.wrapping_add(1);
        let Some(origin) = origin else { return Ok(batch.clone()) };
        let mut copy = batch.bytes.to_vec();
        sign(&mut copy, origin);
        Ok(Batch { bytes: Bytes::from(copy), ..*batch })
    }
}
