//! How often keys, lanes and sizes occur over many batches.
//!
//! Key invariant: slacks are several standard deviations of what chance gives with these counts.

use super::*;

/// Counts the keys of some batches, each of a lane and a key.
fn counted(maker: &mut Maker, batches: u32) -> BTreeMap<(Lane, Bytes), f64> {
    let mut counts = BTreeMap::new();
    for _ in 0..batches {
        let lane = maker.next_lane().expect("some lane has keys");
        let batch = maker.batch(lane, 10, NOW_MS, None, &|_| 0).expect("made");
        for record in read(&batch).1 {
            *counts.entry((lane, record.key.expect("it has one"))).or_default() += 1.0;
        }
    }
    counts
}

#[test]
fn keys_occur_as_if_each_record_had_drawn_its_own() {
    let plan = RecordPlan {
        keys: KeyPlan::Zipf { count: 40, exponent: 1.0 },
        size: SizePlan::Fixed(1),
        ..RecordPlan::default()
    };
    let counts = counted(&mut maker(&plan, (2, 3), false), 6_000);
    let total: f64 = (1..=40).map(|rank| 1.0 / f64::from(rank)).sum();
    let records: f64 = counts.values().sum();
    for number in 0..40_u32 {
        let key = Bytes::from(format!("key-{number}"));
        let lane = corelog::model::partition_of_key(&key, 3);
        let expected = 1.0 / f64::from(number + 1) / total / 2.0;
        // Each topic has the key in the same partition, equally often.
        for lane in [Lane(lane), Lane(3 + lane)] {
            let share = counts.get(&(lane, key.clone())).copied().unwrap_or_default() / records;
            // Batches of ten of one lane: up to ten times the variance of single draws.
            let slack = 4.0 * (10.0 * expected / records).sqrt();
            assert!((share - expected).abs() < slack, "{key:?} in {lane:?}: {share} against {expected}");
        }
    }
}

#[test]
fn a_part_of_the_lanes_keeps_their_proportions() {
    let plan = RecordPlan {
        keys: KeyPlan::Zipf { count: 1000, exponent: 1.2 },
        size: SizePlan::Fixed(1),
        ..RecordPlan::default()
    };
    let supply = Arc::new(supply(&plan, (1, 8), false));
    let mine = [Lane(1), Lane(4), Lane(6)];
    let weights: Vec<f64> = mine.iter().map(|lane| supply.weight(*lane)).collect();
    let mut maker = Maker::new(supply, 0, mine.to_vec());
    let mut found = BTreeMap::new();
    for _ in 0..20_000 {
        *found.entry(maker.next_lane().expect("they have keys")).or_insert(0.0) += 1.0 / 20_000.0;
    }
    assert_eq!(found.len(), 3);
    for (lane, weight) in mine.iter().zip(&weights) {
        let expected = weight / weights.iter().sum::<f64>();
        assert!((found[lane] - expected).abs() < 0.02, "{lane:?}: {} against {expected}", found[lane]);
    }
}

#[test]
fn keys_in_turn_come_in_order_in_each_lane() {
    let plan = RecordPlan {
        keys: KeyPlan::Sequential { count: 60 },
        size: SizePlan::Fixed(200),
        batch_bytes: 1_500,
        ..RecordPlan::default()
    };
    let mut maker = maker(&plan, (1, 3), false);
    let mut last: BTreeMap<Lane, u32> = BTreeMap::new();
    let mut wraps = 0;
    for _ in 0..100 {
        let lane = maker.next_lane().expect("it has keys");
        // More than fit: a key that found no room comes first in the next batch.
        for record in read(&maker.batch(lane, 100, NOW_MS, None, &|_| 0).expect("made")).1 {
            let text = String::from_utf8(record.key.expect("it has one").to_vec()).expect("it is text");
            let number: u32 = text["key-".len()..].parse().expect("a number");
            let of_lane = |number: &u32| {
                corelog::model::partition_of_key(format!("key-{number}").as_bytes(), 3) == lane.0
            };
            let expected = match last.insert(lane, number) {
                Some(last) => (last + 1..60).chain(0..60).find(of_lane),
                None => (0..60).find(of_lane),
            };
            wraps += u32::from(Some(number) == (0..60).find(of_lane));
            assert_eq!(Some(number), expected);
        }
    }
    assert!(wraps > 3, "every lane began anew");
}

#[test]
fn without_keys_lanes_take_turns() {
    let supply = Arc::new(supply(&RecordPlan::default(), (1, 5), false));
    let mut maker = Maker::new(supply, 7, [1, 2, 4].map(Lane).to_vec());
    let turns: Vec<u32> = (0..5).map(|_| maker.next_lane().expect("there are some").0).collect();
    assert_eq!(turns, [2, 4, 1, 2, 4]);
}

#[test]
fn a_producer_whose_lanes_get_nothing_has_no_next_lane() {
    let plan = RecordPlan { keys: KeyPlan::Uniform { count: 1 }, ..RecordPlan::default() };
    let supply = Arc::new(supply(&plan, (1, 8), false));
    let home = corelog::model::partition_of_key(b"key-0", 8);
    let others = (0..8).filter(|lane| *lane != home).map(Lane).collect();
    let mut maker = Maker::new(Arc::clone(&supply), 0, others);
    assert_eq!(maker.next_lane(), None);
    let other = (home + 1) % 8;
    let made = maker.batch(Lane(other), 1, NOW_MS, None, &|_| 0);
    assert_eq!(made, Err(SupplyError::NoKeys { partition: other }));
    maker.set_lanes(vec![Lane(home)]);
    assert_eq!(maker.next_lane(), Some(Lane(home)));
    assert_eq!(Maker::new(supply, 0, Vec::new()).next_lane(), None);
}

/// Dropped instead of kept for the next batch, what finds no room would make large values rarer.
#[test]
fn full_batches_do_not_make_values_smaller() {
    let size = SizePlan::Uniform { min: 100, max: 2_000 };
    let plan = RecordPlan { size, batch_bytes: 2_500, ..RecordPlan::default() };
    let mut maker = maker(&plan, (1, 1), false);
    let (mut records, mut bytes) = (0, 0);
    for _ in 0..5_000 {
        let batch = maker.batch(Lane(0), 100, NOW_MS, None, &|_| 0).expect("made");
        records += u64::from(batch.records);
        bytes += batch.payload_bytes;
    }
    let mean = bytes as f64 / records as f64;
    assert!((mean - 1_050.0).abs() < 25.0, "{mean}");
}
