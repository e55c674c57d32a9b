//! Large appends that go past the journal, next to small ones that do not; and who is told when.
//!
//! Key invariant: a log's acknowledged bytes are one contiguous run, whichever way each of them became durable.

use std::cell::Cell;
use std::rc::Rc;

use futures_lite::future::yield_now;

use crate::io::Simulated;
use crate::model::Offset;
use crate::storage::store::JournalLimits;
use crate::storage::testing::{
    JOURNAL, Opened, limited_store, open, place, recovered, run, settings, simulated_file, simulated_store,
    turns,
};

const FIRST: &str = "00000000000000000000.log";
const SEEDS: u64 = 100;

async fn opened(device: &Rc<Simulated>) -> Opened {
    open(&simulated_store(device, 1 << 20).await, settings()).await.expect("it opens")
}

/// Ranges of offsets that the journals hold of the log, in order.
fn journaled(device: &Simulated) -> Vec<(i64, i64)> {
    let entries = recovered(device).replay_of(place().in_journal()).entries;
    entries.iter().map(|entry| (entry.offset.0, entry.end.0)).collect()
}

/// Design, section 4, bypass. The rule: the log's whole dirty prefix and the new data go to the segment in one contiguous write
/// (`State::group_of` begins at the written end, not at the durable one).
#[test]
fn what_only_the_journal_has_goes_to_the_segment_with_the_bypass() {
    for seed in 0..20 {
        run(async {
            let device = Simulated::new(seed);
            let log = opened(&device).await;
            for _ in 0..3 {
                log.put(1, 2_000).await;
            }
            assert!(device.content(&simulated_file(FIRST)).is_none(), "they are in the journal only");
            assert_eq!(log.put(1, 20_000).await, 3);
            assert_eq!(journaled(&device), [(0, 1), (1, 2), (2, 3)], "the large one is not");
            assert_eq!(log.put(1, 10).await, 4);
            assert_eq!(journaled(&device).last(), Some(&(4, 5)), "the next small one is");
            let log = opened(&device.crash()).await;
            assert_eq!(log.bases().await, [0, 1, 2, 3, 4], "seed {seed}");
        });
    }
}

/// The rule: who waits does not wait for what is durable already (`State::bypasses`). The segment catches up meanwhile, and then
/// takes what is large.
#[test]
fn a_large_append_far_ahead_of_its_segment_goes_into_the_journal_and_the_next_past_it() {
    for seed in 0..20 {
        run(async {
            let device = Simulated::new(seed);
            // A journal so large that no checkpoint comes by itself.
            let limits = JournalLimits { behind_bytes_max: 4 << 10, first_file_bytes: 256 << 10, ..JOURNAL };
            let log = open(&limited_store(&device, limits).await, settings()).await.expect("it opens");
            for _ in 0..4 {
                log.put(1, 2_000).await;
            }
            assert_eq!(log.put(1, 13_000).await, 4);
            assert_eq!(journaled(&device).last(), Some(&(4, 5)), "seed {seed}");
            while log.log.state.borrow().flow.flushing {
                yield_now().await;
            }
            assert_eq!(log.log.state.borrow().bounds.written_end, Offset(5), "nobody asked for a checkpoint");
            assert_eq!(log.put(1, 13_000).await, 5);
            assert_eq!(journaled(&device).last(), Some(&(4, 5)), "seed {seed}");
            let log = opened(&device.crash()).await;
            assert_eq!(log.bases().await, [0, 1, 2, 3, 4, 5], "seed {seed}");
        });
    }
}

/// The rule: who waits does not wait for a flusher that writes what is durable already (`Log::offer`), unless a group has no room.
#[test]
fn while_a_segment_is_written_back_large_appends_go_into_the_journal() {
    let mut met = 0;
    for seed in 0..SEEDS {
        run(async {
            let device = Simulated::new(seed);
            let log = opened(&device).await;
            log.put(1, 2_000).await;
            let writing = log.log.clone();
            let written = glommio::spawn_local(async move { writing.write_back(Offset(1)).await });
            turns(2).await;
            let is_writing = || {
                let flow = log.log.state.borrow().flow;
                flow.flushing && !flow.bypassing
            };
            let was_writing = is_writing();
            assert_eq!(log.put(1, 13_000).await, 1);
            if was_writing && is_writing() {
                met += 1;
                assert_eq!(journaled(&device).last(), Some(&(1, 2)), "seed {seed}");
            }
            written.await.expect("written");
            // More than a group takes waits for the flusher and goes past the journal.
            assert_eq!(log.put(1, 20_000).await, 2);
            assert!(log.log.state.borrow().bounds.written_end >= Offset(3));
            let log = opened(&device.crash()).await;
            assert_eq!(log.bases().await, [0, 1, 2], "seed {seed}");
        });
    }
    assert!(met > 0, "no seed met a flusher at work");
}

/// The rule: while the flusher makes appends durable, nothing of that log goes into the journal (`Flow::bypassing`), and
/// what is appended meanwhile is acknowledged after the bypass.
#[test]
fn small_appends_behind_a_bypass_stay_out_of_the_journal_until_it_is_done() {
    let mut met = 0;
    for seed in 0..SEEDS {
        run(async {
            let device = Simulated::new(seed);
            let log = opened(&device).await;
            log.put(1, 10).await;
            // A group that is in flight, and more: together too much for the journal.
            log.append(1, 11_000, 1_000).expect("accepted");
            turns(2).await;
            log.append(1, 2_000, 1_000).expect("accepted");
            let writing = log.log.clone();
            let written = glommio::spawn_local(async move { writing.write_back(Offset(3)).await });
            // Until the group is durable and the bypass is not.
            let is_between = || {
                let state = log.log.state.borrow();
                state.flow.bypassing && state.bounds.durable_end == Offset(2)
            };
            for _ in 0..100 {
                if is_between() {
                    break;
                }
                yield_now().await;
            }
            let was_between = is_between();
            log.append(1, 300, 1_000).expect("accepted");
            log.log.wait_durable(Offset(4)).await.expect("durable");
            assert!(
                log.log.state.borrow().bounds.written_end >= Offset(3),
                "seed {seed}: the bypass was first"
            );
            written.await.expect("written");
            if was_between {
                met += 1;
                let twice = journaled(&device).into_iter().find(|(from, _)| *from == 2);
                assert_eq!(twice, None, "seed {seed}: offset 2 was on its way to the segment");
            }
            let log = opened(&device.crash()).await;
            assert_eq!(log.bases().await, [0, 1, 2, 3], "seed {seed}");
        });
    }
    assert!(met > 0, "no seed met a group that ended before the bypass");
}

/// The rule: whoever waits is told when the group is on the device, not when it is on its way (`Store::commit_all`).
#[test]
fn who_waits_for_a_group_in_flight_is_told_only_when_it_is_durable() {
    let mut in_flight = 0;
    for seed in 0..SEEDS {
        run(async {
            let device = Simulated::new(seed);
            let log = opened(&device).await;
            log.put(1, 10).await;
            log.append(1, 5_000, 1_000).expect("accepted");
            let told = Rc::new(Cell::new(0));
            let wait = || {
                let (log, told) = (log.log.clone(), told.clone());
                glommio::spawn_local(async move {
                    // After the crash an error is the answer.
                    let durable = log.wait_durable(Offset(2)).await.is_ok();
                    told.set(told.get() + u32::from(durable));
                })
                .detach();
            };
            wait();
            let placed = || log.log.store().committer().ring.borrow().next_sequence() == 2;
            for _ in 0..50 {
                if placed() {
                    break;
                }
                yield_now().await;
            }
            // A duplicate of the write in flight waits for it.
            wait();
            in_flight += u32::from(placed() && told.get() == 0);
            turns(device.choose(8)).await;
            let was_told = told.get();
            let log = opened(&device.crash()).await;
            assert!(was_told == 0 || log.log.log_end_offset() == Offset(2), "seed {seed}: told too early");
        });
    }
    assert!(in_flight > 0);
}
