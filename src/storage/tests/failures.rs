//! Failed writes and full disks.

use crate::io::Simulated;
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::storage::testing::{batch_at, open, run, settings, simulated_store};
use crate::storage::{LogSettings, ReadLimit, StorageError};

#[test]
fn a_failed_write_poisons_the_log_and_reads_go_on() {
    run(async {
        let device = Simulated::new(1);
        let store = simulated_store(&device, 1 << 20).await;
        let log = open(&store, settings()).await.expect("a new log");
        log.put(2, 100).await;
        device.fail_writes_after(0);
        log.append(1, 100, 1_000).expect("accepted");
        let first = log.log.wait_durable(Offset(3)).await;
        assert!(matches!(first, Err(StorageError::Poisoned(_))), "{first:?}");
        assert!(log.observed.poisoned.get() && log.log.is_poisoned());
        assert!(matches!(log.append(1, 100, 1_000), Err(StorageError::Poisoned(_))));
        assert!(matches!(log.log.wait_durable(Offset(3)).await, Err(StorageError::Poisoned(_))));
        assert_eq!(log.log.durable_end_offset(), Offset(2));
        assert_eq!(log.observed.durable.get(), 2);
        assert_eq!(log.bases().await, [0]);
        assert!(log.log.wait_durable(Offset(2)).await.is_ok(), "what was durable stays so");
        assert!(matches!(log.log.close().await, Err(StorageError::Poisoned(_))));
    });
}

#[test]
fn all_who_wait_learn_of_the_failure_at_once() {
    run(async {
        let device = Simulated::new(2);
        let store = simulated_store(&device, 1 << 20).await;
        let large = LogSettings { segment_bytes: 1 << 30, ..settings() };
        let log = open(&store, large).await.expect("a new log");
        // Together they are more than one write takes.
        device.fail_writes_after(1);
        let waiters: Vec<_> = (0..10)
            .map(|_| {
                log.append(1, 100_000, 1_000).expect("accepted");
                let (end, log) = (log.log.log_end_offset(), log.log.clone());
                glommio::spawn_local(async move { log.wait_durable(end).await })
            })
            .collect();
        for waiter in waiters {
            let answer = waiter.await;
            assert!(matches!(answer, Err(StorageError::Poisoned(_))), "{answer:?}");
        }
    });
}

#[test]
fn a_full_disk_refuses_appends_and_recovers_by_itself() {
    run(async {
        let device = Simulated::new(3);
        let store = simulated_store(&device, 1 << 20).await;
        let log = open(&store, settings()).await.expect("a new log");
        log.put(1, 100).await;
        device.set_free_bytes(1 << 20);
        // What is known of the free space is used up first.
        let mut refused = false;
        for _ in 0..1_000_000 {
            match log.append(1, 1 << 20, 1_000) {
                Ok(_) => log.log.wait_durable(log.log.log_end_offset()).await.expect("durable"),
                Err(error) => {
                    assert!(matches!(error, StorageError::DiskFull), "{error}");
                    refused = true;
                    break;
                }
            }
        }
        assert!(refused);
        assert!(!log.log.is_poisoned());
        let limit = ReadLimit { end: Offset(1), bytes_max: 1000, at_least_one: true };
        assert_eq!(log.log.read(Offset(0), limit).await.expect("readable").len(), 161);
        device.set_free_bytes(1 << 30);
        let _ = log.append(1, 100, 1_000);
        futures_lite::future::yield_now().await;
        futures_lite::future::yield_now().await;
        log.append(1, 100, 1_000).expect("accepted again");
    });
}

#[test]
fn what_is_not_exactly_one_batch_is_refused_and_changes_nothing() {
    run(async {
        let device = Simulated::new(4);
        let store = simulated_store(&device, 1 << 20).await;
        let log = open(&store, settings()).await.expect("a new log");
        let whole = batch_at(0, 1, 10);
        let two = [whole.clone(), whole.clone()].concat();
        let mut negative = whole.clone();
        negative[23..27].copy_from_slice(&(-1i32).to_be_bytes());
        for wrong in [&whole[..70], &two[..], &negative[..], &[]] {
            let refused = log.log.append(wrong, LeaderEpoch(0), TimestampMs(0));
            assert!(matches!(refused, Err(StorageError::Batch(_))), "{refused:?}");
        }
        assert_eq!(log.log.log_end_offset(), Offset(0));
    });
}
