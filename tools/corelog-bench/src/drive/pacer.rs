//! Wakes the producers of a thread when their records are due.
//!
//! Key invariant: a producer is woken at the due time of its next batch, or shortly after if it was behind then.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::Duration;

use glommio::timer::sleep;

use super::local::Local;
use super::producer::Producer;

/// A producer that is behind is looked at this often, besides at each answer, in nanoseconds.
const BEHIND_LOOK_NS: u64 = 1_000_000;
/// Between tries while there is no connection.
const PRESS_PAUSE: Duration = Duration::from_millis(5);

/// Runs until sending is over.
pub async fn pace(local: Rc<Local>, producers: Vec<Rc<Producer>>) {
    let mut next: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::with_capacity(producers.len());
    next.extend(
        producers.iter().enumerate().filter_map(|(at, producer)| Some(Reverse((producer.next_ns()?, at)))),
    );
    while let Some(Reverse((due_ns, at))) = next.peek().copied() {
        if local.shared.is_sending_stopped() {
            return;
        }
        let now_ns = local.now_ns();
        if due_ns > now_ns {
            sleep(local.shared.clock.until(due_ns)).await;
            continue;
        }
        next.pop();
        producers[at].pump();
        if let Some(due_ns) = producers[at].next_ns() {
            let due_ns = if due_ns <= now_ns { now_ns + BEHIND_LOOK_NS } else { due_ns };
            next.push(Reverse((due_ns, at)));
        }
        // Others have their turn: answers come in while many are due.
        glommio::yield_if_needed().await;
    }
}

/// For acks=0 without a rate, where no answers wake the producer: sends as fast as the socket takes.
pub async fn press(local: Rc<Local>, producer: Rc<Producer>) {
    while !producer.is_done() && !local.shared.is_sending_stopped() {
        producer.pump();
        let links: Vec<_> = producer.links.borrow().iter().filter(|link| !link.is_lost()).cloned().collect();
        for link in &links {
            // The receiving task finds a lost connection and recovers.
            if link.pipe.drain().await.is_err() {
                link.pipe.close();
            }
        }
        if links.is_empty() || producer.recovering.get() {
            sleep(PRESS_PAUSE).await;
        }
        glommio::executor().yield_now().await;
    }
}
