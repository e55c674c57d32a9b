//! Plants every kind of fault into logs that are otherwise right, and sees it found; right logs have no findings.
//!
//! Key invariant: logs are written by the same stamps that producers use.

use proptest::prelude::*;

use super::*;

const LANE: Lane = Lane(3);

/// A value of a log, as its producer sealed it.
fn value(producer: u32, sequence: u64, body: u8) -> Vec<u8> {
    let mut value = vec![body; STAMP_BYTES + usize::from(body % 50)];
    Stamp { producer, sequence, intended_ns: sequence * 10 }.seal(&mut value);
    value
}

/// Who wrote each record of a log, in order; each producer's sequence numbers ascend.
fn log(turns: &[u32]) -> Vec<(u32, u64)> {
    let mut next = std::collections::BTreeMap::new();
    turns
        .iter()
        .map(|producer| {
            let sequence = next.entry(*producer).or_insert(0);
            *sequence += 1;
            (*producer, *sequence - 1)
        })
        .collect()
}

fn acknowledged(log: &[(u32, u64)]) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    for (producer, sequence) in log {
        acknowledged.add(*producer, LANE, *sequence, 1);
    }
    acknowledged
}

fn check(values: &[Vec<u8>], acknowledged: &Acknowledged) -> LaneFindings {
    let mut check = LaneCheck::default();
    for (offset, value) in (0..).zip(values) {
        check.on_record(offset, Some(value));
    }
    check.finish(LANE, acknowledged)
}

fn values(log: &[(u32, u64)]) -> Vec<Vec<u8>> {
    log.iter().map(|(producer, sequence)| value(*producer, *sequence, *sequence as u8)).collect()
}

/// Lost, duplicated, reordered, corrupted, foreign.
fn counts(findings: &LaneFindings) -> [u64; 5] {
    let LaneFindings { lost, duplicated, reordered, corrupted, foreign, .. } = *findings;
    [lost, duplicated, reordered, corrupted, foreign]
}

fn turns() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(0..5_u32, 1..200)
}

proptest! {
    #[test]
    fn right_logs_have_no_findings(
        turns in turns(),
        kinds in proptest::collection::vec((0..10_u8, 1..4_i64), 200),
    ) {
        let log = log(&turns);
        let mut acknowledged = Acknowledged::default();
        let (mut check, mut offset, mut records) = (LaneCheck::default(), 0, 0);
        for ((producer, sequence), (kind, step)) in log.iter().zip(&kinds) {
            // Some acknowledgements never arrived, and some records are not of the run.
            if *kind > 2 {
                acknowledged.add(*producer, LANE, *sequence, 1);
            }
            if *kind == 1 {
                prop_assert_eq!(check.on_record(offset, [Some(&b"other"[..]), None][records % 2]), None);
                offset += 1;
                records += 1;
            }
            let stamp = check.on_record(offset, Some(&value(*producer, *sequence, *kind)));
            let expected =
                Stamp { producer: *producer, sequence: *sequence, intended_ns: *sequence * 10 };
            prop_assert_eq!(stamp, Some(expected));
            offset += step;
            records += 1;
        }
        // Another lane's records are none of this one's.
        acknowledged.add(1, Lane(LANE.0 + 1), 0, 1_000);
        acknowledged.add(1, Lane(LANE.0 - 1), 0, 1_000);
        let findings = check.finish(LANE, &acknowledged);
        prop_assert!(findings.is_clean(), "{:?}", findings);
        prop_assert_eq!(findings.records, records as u64);
        prop_assert!(findings.first_examples.is_empty());
    }

    #[test]
    fn lost_records_are_counted(turns in turns(), lost in proptest::collection::vec(any::<bool>(), 200)) {
        let log = log(&turns);
        let mut kept = lost.iter();
        let arrived: Vec<_> =
            values(&log).into_iter().filter(|_| !kept.next().expect("as many")).collect();
        let expected = lost[..log.len()].iter().filter(|lost| **lost).count() as u64;
        let findings = check(&arrived, &acknowledged(&log));
        prop_assert_eq!(counts(&findings), [expected, 0, 0, 0, 0]);
        prop_assert_eq!(findings.first_examples.is_empty(), expected == 0);
    }

    #[test]
    fn a_run_of_records_that_comes_again_is_counted(
        turns in turns(), from in any::<prop::sample::Index>(), count in 1..20_usize, at in any::<prop::sample::Index>(),
    ) {
        let log = log(&turns);
        let mut arrived = values(&log);
        let from = from.index(arrived.len());
        let again: Vec<_> = arrived[from..].iter().take(count).cloned().collect();
        let expected = again.len() as u64;
        // Anywhere after its first coming.
        let end = from + again.len();
        let at = end + at.index(arrived.len() - end + 1);
        arrived.splice(at..at, again);
        let findings = check(&arrived, &acknowledged(&log));
        prop_assert_eq!(counts(&findings), [0, expected, 0, 0, 0]);
    }

    #[test]
    fn a_record_that_comes_too_late_is_counted(
        turns in turns(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(),
    ) {
        let log = log(&turns);
        let (from, to) = (from.index(log.len()), to.index(log.len()));
        prop_assume!(from < to);
        let overtaken = log[from + 1..=to].iter().any(|(producer, _)| *producer == log[from].0);
        let mut arrived = values(&log);
        let late = arrived.remove(from);
        arrived.insert(to, late);
        let findings = check(&arrived, &acknowledged(&log));
        prop_assert_eq!(counts(&findings), [0, 0, u64::from(overtaken), 0, 0]);
    }

    #[test]
    fn a_damaged_record_is_counted_and_nothing_else(
        turns in turns(), at in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let log = log(&turns);
        let mut arrived = values(&log);
        let damaged = at.index(arrived.len());
        let byte = byte.index(arrived[damaged].len());
        arrived[damaged][byte] ^= flip;
        let expected = match byte {
            // Without its magic it is nobody's, and missing.
            0..4 => [1, 0, 0, 0, 1],
            // What it tells of itself is wrong, so it is missing too.
            4..16 => [1, 0, 0, 1, 0],
            _ => [0, 0, 0, 1, 0],
        };
        prop_assert_eq!(counts(&check(&arrived, &acknowledged(&log))), expected);
    }
}

#[test]
fn a_cut_record_is_corrupted_or_foreign() {
    let log = log(&[0, 0, 0]);
    let mut arrived = values(&log);
    arrived[0].truncate(STAMP_BYTES - 1);
    arrived[2].pop();
    assert_eq!(counts(&check(&arrived, &acknowledged(&log))), [1, 0, 0, 1, 1]);
}

#[test]
fn a_producer_of_which_nothing_came_is_told() {
    let mut acknowledged = Acknowledged::default();
    acknowledged.add(9, LANE, 100, 50);
    let findings = check(&[], &acknowledged);
    assert_eq!(counts(&findings), [50, 0, 0, 0, 0]);
    let told = "50 acknowledged records of producer 9 were not read: 100 to 149";
    assert_eq!(findings.first_examples, [told]);
}

#[test]
fn offset_gaps_are_told_but_are_no_finding() {
    let mut check = LaneCheck::default();
    for (sequence, offset) in (0..).zip([5, 6, 9, 10, 4]) {
        check.on_record(offset, Some(&value(0, sequence, 0)));
    }
    let findings = check.finish(LANE, &Acknowledged::default());
    assert_eq!(findings.offset_gaps, 2);
    assert!(findings.is_clean());
}

#[test]
fn workers_notes_merge() {
    let (mut a, mut b) = (Acknowledged::default(), Acknowledged::default());
    a.add(0, LANE, 0, 10);
    b.add(0, LANE, 5, 10);
    b.add(1, Lane(0), 0, 1);
    a.merge(b);
    assert_eq!(a.records(), 16);
    let arrived: Vec<_> = (0..15).map(|sequence| value(0, sequence, 0)).collect();
    assert!(check(&arrived, &a).is_clean());
    assert_eq!(check(&arrived[..12], &a).lost, 3);
}

#[test]
fn examples_are_bounded() {
    let arrived: Vec<_> = (0..100).map(|sequence| value(0, sequence / 2, 0)).collect();
    let findings = check(&arrived, &Acknowledged::default());
    assert_eq!((findings.duplicated, findings.first_examples.len()), (50, EXAMPLES_MAX));
}

#[test]
fn findings_go_into_a_runs_file_and_back() {
    let findings = check(&[value(0, 0, 0), value(0, 0, 0)], &Acknowledged::default());
    let text = serde_json::to_string(&findings).expect("it can be written");
    assert!(text.contains("\"offset-gaps\":0") && text.contains("\"lane\":3"), "{text}");
    assert_eq!(serde_json::from_str::<LaneFindings>(&text).expect("it was written so"), findings);
}
