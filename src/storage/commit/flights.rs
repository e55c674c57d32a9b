//! The groups of one journal that are on their way to the device, at most two.
//!
//! Key invariant: they land in the order in which they left, whichever the device ends first.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::group::Group;
use crate::storage::error::StorageError;

/// Groups that may be in flight.
const FLIGHTS_MAX: usize = 2;
/// Two groups are in flight only if the entries of neither take more bytes. With more, what waits is better one group: each costs
/// the same, whatever is in it.
pub(super) const SMALL_BYTES_MAX: usize = 8 << 10;

/// What a write came to.
type Outcome = Result<(), StorageError>;

/// The write of a group.
pub(super) type Write = Pin<Box<dyn Future<Output = (Group, Outcome)>>>;

/// A group on its way.
pub(super) struct Flight {
    entries_bytes: usize,
    write: Write,
    ended: Option<(Group, Outcome)>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Flights {
    flights: VecDeque<Flight>,
}

impl Flight {
    /// Of a group whose entries take `entries_bytes`.
    pub(super) fn new(entries_bytes: usize, write: Write) -> Self {
        Self { entries_bytes, write, ended: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        if self.ended.is_none()
            && let Poll::Ready(ended) = self.write.as_mut().poll(cx)
        {
            self.ended = Some(ended);
        }
    }
}

impl Flights {
    /// Takes in a group, behind the others.
    pub(super) fn add(&mut self, flight: Flight) {
        debug_assert!(self.flights.len() < FLIGHTS_MAX);
        self.flights.push_back(flight);
    }

    /// Whether nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// Waits for the oldest group to land; `None` as soon as another may leave. That is so if nothing is in flight, or only a small
    /// group, and `may_follow`, which is asked again after each wake-up by `news`.
    pub(super) async fn next(
        &mut self,
        may_follow: impl Fn() -> bool,
        news: &News,
    ) -> Option<(Group, Outcome)> {
        poll_fn(|cx| {
            self.flights.iter_mut().for_each(|flight| flight.poll(cx));
            let Some(oldest) = self.flights.front_mut() else { return Poll::Ready(None) };
            if let Some(ended) = oldest.ended.take() {
                self.flights.pop_front();
                return Poll::Ready(Some(ended));
            }
            let is_small = oldest.entries_bytes <= SMALL_BYTES_MAX;
            if is_small && self.flights.len() < FLIGHTS_MAX {
                if may_follow() {
                    return Poll::Ready(None);
                }
                news.0.set(Some(cx.waker().clone()));
            }
            Poll::Pending
        })
        .await
    }
}

/// Wakes the committer while another group may leave.
#[derive(Default)]
pub(super) struct News(Cell<Option<Waker>>);

impl News {
    /// Something came that is not in any group.
    pub(super) fn tell(&self) {
        if let Some(committer) = self.0.take() {
            committer.wake();
        }
    }
}
