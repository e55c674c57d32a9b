//! Retention of a log that never rests: producers write records that have expired already, several at once.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::io::Simulated;
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::storage::testing::{batch_at, open, run, settings, simulated_store};
use crate::storage::{Log, LogSettings};

const NOW: TimestampMs = TimestampMs(1_000_000);
const PRODUCERS: u64 = 16;
const BATCHES: u64 = 200;

async fn produce(log: Rc<Log>, left: Rc<Cell<u64>>) {
    for _ in 0..BATCHES {
        let batch = batch_at(log.log_end_offset().0, 1, 100);
        log.append(&batch, LeaderEpoch(0), TimestampMs(1)).expect("accepted");
        left.set(left.get() - 1);
        // It does not wait for durability (acks=0): whenever a group is written, the next has begun.
        log.store().disk().sleep(Duration::ZERO).await;
    }
}

#[test]
fn the_active_segment_of_a_busy_log_expires_too() {
    run(async {
        let store = simulated_store(&Simulated::new(1), 1 << 20).await;
        let log = open(&store, LogSettings { retention_ms: 1_000, ..settings() }).await.expect("a new log");
        let left = Rc::new(Cell::new(PRODUCERS * BATCHES));
        let mut producers = Vec::new();
        for _ in 0..PRODUCERS {
            producers.push(glommio::spawn_local(produce(log.log.clone(), left.clone())));
        }
        log.log.wait_durable(Offset(1)).await.expect("durable");
        let mut runs = 0;
        while left.get() > 0 {
            log.log.apply_retention(NOW).await.expect("applied");
            runs += 1;
        }
        assert!(runs > 1, "retention waited for the producers: {runs} runs");
        for producer in producers {
            producer.await;
        }
        log.log.apply_retention(NOW).await.expect("applied");
        assert_eq!(
            (log.log.size_bytes(), log.log.log_start_offset()),
            (0, Offset((PRODUCERS * BATCHES) as i64))
        );
    });
}
