//! A topic that is deleted and created again under its name.
//!
//! Key invariant: what has a topic's id is that topic's; a name says nothing.

use std::rc::Rc;

use futures_lite::future::yield_now;

use crate::io::Simulated;
use crate::model::{Offset, TopicId};
use crate::storage::LogPlace;
use crate::storage::testing::{Opened, open_at, place, run, settings, simulated_store};

const SEEDS: u64 = 100;

fn recreated() -> LogPlace {
    LogPlace { topic_id: TopicId(uuid::Uuid::from_u128(8)), ..place() }
}

async fn opened(device: &Rc<Simulated>, place: LogPlace) -> Opened {
    open_at(&simulated_store(device, 1 << 20).await, place, settings()).await.expect("it opens")
}

/// Design, section 4, journal. The rules: entries are keyed by topic id (`LogPlace::in_journal`), and a directory of another id is
/// set aside (`Recovery::other_topic`). The deletion is in the metadata; the crash comes at any point of what follows it.
#[test]
fn nothing_of_a_deleted_topic_shows_up_in_one_of_the_same_name() {
    let mut directories = 0;
    for seed in 0..SEEDS {
        run(async {
            let device = Simulated::new(seed);
            let old = opened(&device, place()).await;
            for _ in 0..5 {
                old.put(1, 100).await;
            }
            if device.choose(2) == 0 {
                old.log.store().checkpoint().await.expect("a checkpoint");
                old.put(1, 100).await;
            }
            old.log.advance_log_start(Offset(2)).await.expect("advanced");
            if device.choose(2) == 0 {
                old.put(1, 20_000).await;
            }
            let removing = old.log.clone();
            glommio::spawn_local(async move { drop(removing.remove().await) }).detach();
            for _ in 0..device.choose(12) {
                yield_now().await;
            }
            let device = device.crash();
            let segment = std::path::Path::new("/simulated/orders-3/00000000000000000000.log");
            directories += u32::from(device.content(segment).is_some());
            let new = opened(&device, recreated()).await;
            assert_eq!((new.log.log_start_offset(), new.log.log_end_offset()), (Offset(0), Offset(0)));
            assert!(new.replayed.snapshot.is_none() && new.replayed.batches.is_empty(), "seed {seed}");
            assert_eq!(new.put(1, 50).await, 0);
            // Before the old journal is taken over.
            let device = device.crash();
            let new = opened(&device, recreated()).await;
            assert_eq!(new.bases().await, [0], "seed {seed}");
            assert_eq!(new.replayed.batches, [0], "seed {seed}");
            new.log.store().checkpoint().await.expect("a checkpoint");
            let new = opened(&device.crash(), recreated()).await;
            assert_eq!(new.bases().await, [0], "seed {seed}");
        });
    }
    assert!(directories > 0 && u64::from(directories) < SEEDS, "{directories}: both kinds were met");
}

/// As above, in one life: the new log is open when the crash comes.
#[test]
fn a_topic_created_again_at_once_survives_what_the_old_one_left() {
    for seed in 0..SEEDS {
        run(async {
            let device = Simulated::new(seed);
            let store = simulated_store(&device, 1 << 20).await;
            let old = open_at(&store, place(), settings()).await.expect("a new log");
            for _ in 0..5 {
                old.put(1, 100).await;
            }
            old.log.remove().await.expect("removed");
            let new = open_at(&store, recreated(), settings()).await.expect("a new log");
            assert_eq!(new.put(2, 50).await, 0);
            if device.choose(2) == 0 {
                store.checkpoint().await.expect("a checkpoint");
            }
            let new = opened(&device.crash(), recreated()).await;
            assert_eq!((new.bases().await, new.log.log_end_offset()), (vec![0], Offset(2)), "seed {seed}");
        });
    }
}
