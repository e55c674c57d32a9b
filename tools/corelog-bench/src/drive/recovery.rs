//! A producer's way to its brokers: the first time, and back after an error.
//!
//! Key invariant: nothing new is sent until every request under way is answered or lost; then what failed is sent
//! again in its first order, so that sequence numbers of idempotent producers stay in order.

use std::rc::Rc;
use std::time::Duration;

use glommio::timer::sleep;

use super::DriveError;
use super::link::Link;
use super::locator::no_leader;
use super::producer::Producer;
use crate::client::{ClientError, Connection};
use kafka_protocol::messages::ProduceRequest;

/// Before asking again (Kafka: `retry.backoff.ms`, `retry.backoff.max.ms`).
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Between looks at whether everything is answered.
const QUIET_LOOK: Duration = Duration::from_millis(2);
/// The newest version of Produce that the templates know.
const PRODUCE_VERSION_MAX: i16 = 13;

/// Begins to find the way back, unless that is under way.
pub fn start(producer: &Rc<Producer>) {
    if !producer.recovering.replace(true) {
        let producer = Rc::clone(producer);
        glommio::spawn_local(async move { recover(&producer).await }).detach();
    }
}

async fn recover(producer: &Rc<Producer>) {
    let shared = &producer.local.shared;
    let began_ns = producer.local.now_ns();
    let mut since_ns = began_ns;
    let mut pause = PAUSE_MIN;
    loop {
        sleep(pause).await;
        while producer.links.borrow().iter().any(|link| link.waiting() > 0) && !shared.is_stopped() {
            sleep(QUIET_LOOK).await;
        }
        if shared.is_stopped() {
            return;
        }
        let waited_since_ns = oldest_failed_ns(producer).unwrap_or(began_ns);
        let too_late =
            producer.local.now_ns().saturating_sub(waited_since_ns) > shared.job.retry_for.as_nanos() as u64;
        let asked_ns = std::mem::replace(&mut since_ns, producer.local.now_ns());
        match connect(producer, asked_ns).await {
            Ok(()) if !too_late => return resume(producer),
            Ok(()) => give_up(producer, "the same errors again".to_owned()),
            Err(error) if too_late => give_up(producer, error.to_string()),
            Err(_) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn oldest_failed_ns(producer: &Producer) -> Option<u64> {
    producer.state.borrow().failed.iter().map(|request| request.sent_ns).min()
}

fn give_up(producer: &Producer, last: String) {
    let seconds = producer.local.shared.job.retry_for.as_secs();
    producer.local.fail(DriveError::Lost { seconds, last });
}

/// Finds the leaders of the producer's lanes, as of `since_ns` or later, and opens the connections that are missing.
pub async fn connect(producer: &Rc<Producer>, since_ns: u64) -> Result<(), ClientError> {
    let local = &producer.local;
    let located = local.locator.locate(since_ns).await?;
    let mut nodes: Vec<i32> = producer.lanes.iter().map(|lane| located.leader_of(*lane)).collect();
    let moved = {
        let before = producer.located.borrow();
        producer.lanes.iter().filter(|lane| before.leader_of(**lane) != located.leader_of(**lane)).count()
    };
    nodes.sort_unstable();
    nodes.dedup();
    producer.links.borrow_mut().retain(|link| !link.is_lost());
    for node in nodes {
        if producer.links.borrow().iter().any(|link| link.node == node) {
            continue;
        }
        let address = located.address_of(node).ok_or_else(|| no_leader(&located, node))?;
        let connection = Connection::open(address, &local.shared.job.options).await?;
        let version = connection.version_at_most::<ProduceRequest>(PRODUCE_VERSION_MAX)?;
        let acks = local.shared.job.workload.producer.acks;
        let link = Link::new(node, connection.into_pipe(), version, acks);
        producer.links.borrow_mut().push(Rc::clone(&link));
        glommio::spawn_local(receive(Rc::clone(producer), link)).detach();
        local.recorder.borrow_mut().counts().reconnects += u64::from(local.shared.start_ns().is_some());
    }
    local.recorder.borrow_mut().counts().leader_changes += moved as u64;
    *producer.located.borrow_mut() = located;
    Ok(())
}

/// Takes answers until the connection ends. With acks=0 there are none, and the end is all that comes.
async fn receive(producer: Rc<Producer>, link: Rc<Link>) {
    loop {
        let received = link.pipe.receive(&mut |frame| producer.on_answer(&link, &frame)).await;
        if received.is_err() {
            return producer.on_lost(&link);
        }
        producer.pump();
    }
}

/// Sends again what failed, and goes on.
fn resume(producer: &Rc<Producer>) {
    let mut failed = std::mem::take(&mut producer.state.borrow_mut().failed);
    failed.sort_by_key(|request| request.order);
    let located = producer.located.borrow().clone();
    for mut request in failed {
        request.attempts += 1;
        producer.local.recorder.borrow_mut().counts().retries += 1;
        match producer.link_of(request.lane, &located) {
            Some(link) => {
                producer.state.borrow_mut().in_flight += 1;
                link.send(request, &located, &producer.local.shared);
            }
            None => producer.state.borrow_mut().failed.push(request),
        }
    }
    producer.recovering.set(false);
    producer.flush();
    if producer.state.borrow().failed.is_empty() { producer.pump() } else { start(producer) }
}
