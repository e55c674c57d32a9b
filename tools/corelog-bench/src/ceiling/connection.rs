//! One client's connection: receives into the executor's shared buffer, answers what is complete, sends once.
//!
//! Key invariant: answers of all requests found in one receive leave with one send, in the order of the requests. A
//! request that cannot be answered closes the connection, as Kafka does.

use std::cell::RefCell;
use std::rc::Rc;

use super::answers;
use super::control::{self, Asked, Session};
use super::fetch::FetchReply;
use super::heads::{self, ProduceHead, RequestHead};
use super::intake::Intake;
use super::shared::{Shared, Verdict};
use crate::client::{ClientError, Malformed, Pipe};

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Request(String),
    #[error(transparent)]
    Socket(#[from] ClientError),
    #[error("the connection is closed as the faults demand")]
    Fault,
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    shared: &Shared,
    broker: i32,
    pipe: &Rc<Pipe>,
    scratch: &RefCell<Vec<u8>>,
) -> Result<(), End> {
    let mut intake = Intake::default();
    let mut responder =
        Responder { shared, broker, pipe, session: Session::default(), reply: FetchReply::default() };
    loop {
        let count = match pipe.receive_into(scratch).await {
            Ok(0) | Err(ClientError::Closed { .. }) => return Ok(()),
            Ok(count) => count,
            Err(error) => return Err(error.into()),
        };
        intake.feed(&scratch.borrow()[..count], &mut |frame| responder.respond(frame))?;
        if let Some(wait) = shared.held_back() {
            glommio::timer::sleep(wait).await;
        }
        match pipe.flush() {
            Ok(true) => {}
            Ok(false) => pipe.drain().await?,
            // The client left before its answers.
            Err(_) => return Ok(()),
        }
    }
}

struct Responder<'a> {
    shared: &'a Shared,
    broker: i32,
    pipe: &'a Pipe,
    session: Session,
    reply: FetchReply,
}

impl Responder<'_> {
    /// Queues the answer to one request.
    fn respond(&mut self, frame: &[u8]) -> Result<(), End> {
        let head = RequestHead::parse(frame)?;
        let in_order = self.session.logged_in || self.shared.options.login.is_none();
        match head.api {
            heads::PRODUCE if in_order => match ProduceHead::parse(frame, &head)? {
                Some(produce) => self.produce(&produce),
                None => self.control(frame, head),
            },
            heads::FETCH if in_order => self.fetch(frame, &head),
            _ => self.control(frame, head),
        }
    }

    fn produce(&self, asked: &ProduceHead<'_>) -> Result<(), End> {
        let code = match self.shared.judge_produce(self.broker, asked.partition) {
            Verdict::Answer(code) => code,
            Verdict::Close => return Err(End::Fault),
        };
        if asked.acks != 0 {
            self.pipe.queue_with(|out| answers::put_produce(out, asked, code));
        } else if code != 0 {
            // A failed request without acknowledgement shows by the connection's end.
            return Err(End::Fault);
        }
        Ok(())
    }

    fn fetch(&mut self, frame: &[u8], head: &RequestHead) -> Result<(), End> {
        if self.shared.has_faults() {
            self.shared.note_request();
        }
        let judge = |partition| self.shared.leadership(self.broker, partition);
        self.reply.write(frame, head, &self.shared.hot, &judge)?;
        let mut from = 0;
        for cut in &self.reply.cuts {
            self.pipe.queue(&self.reply.bytes[from..*cut]);
            self.pipe.queue_slice(self.shared.hot.rest.clone());
            from = *cut;
        }
        self.pipe.queue(&self.reply.bytes[from..]);
        Ok(())
    }

    fn control(&mut self, frame: &[u8], head: RequestHead) -> Result<(), End> {
        let asked = Asked { shared: self.shared, broker: self.broker, head, body: &frame[head.body_at..] };
        if let Some(answer) = control::answer(&asked, &mut self.session).map_err(End::Request)? {
            self.pipe.queue_slice(answer);
        }
        Ok(())
    }
}
