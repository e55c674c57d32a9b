//! One connection to one broker: negotiation of versions, requests in flight, answers in order.
//!
//! Key invariant: a Kafka broker answers the requests of a connection in their order, so the oldest waiting request gets
//! the next frame, and a correlation id that differs ends the connection. Which broker to talk to is left to `cluster`.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::ClientError;
use crate::protocol::{self, ApiKey, ErrorCode, FrameSplitter};

/// What requests carry as their client id.
const CLIENT_ID: &str = "corelog-cli";
/// The largest answer accepted: a fetch of a few partitions with batches at Kafka's largest.
const ANSWER_BYTES_MAX: u32 = 512 << 20;
/// Requests that wait to be written.
const OUTGOING_MAX: usize = 16;
/// What is read from the socket at once.
const READ_BYTES: usize = 256 << 10;
/// The version of ApiVersions to try first; an older broker answers in version 0 (KIP-511).
const API_VERSIONS_FIRST: i16 = 3;

type Answer = oneshot::Sender<Result<Bytes, ClientError>>;

/// A request on its way.
struct Outgoing {
    frame: Bytes,
    correlation_id: i32,
    /// `None` for what brokers do not answer: Produce with acks=0.
    answer: Option<Answer>,
}

/// Requests that were written and wait for their answers, oldest first.
type Waiting = Rc<RefCell<VecDeque<(i32, Answer)>>>;

/// An open connection. Clone-free: shared as `Rc<Connection>`.
pub(super) struct Connection {
    address: String,
    outgoing: mpsc::Sender<Outgoing>,
    next_correlation: Cell<i32>,
    /// The versions that the broker offers, by API key.
    offered: RefCell<HashMap<i16, (i16, i16)>>,
    timeout: Duration,
}

impl Connection {
    /// Connects and negotiates versions; must run on a `LocalSet`. `timeout` bounds this and every later answer.
    pub(super) async fn open(address: &str, timeout: Duration) -> Result<Rc<Self>, ClientError> {
        let refused = |error: io::Error| ClientError::Connect {
            address: address.to_owned(),
            reason: error.to_string(),
        };
        let connecting = tokio::time::timeout(timeout, TcpStream::connect(address)).await;
        let stream = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let (reading, writing) = stream.into_split();
        let (sender, receiver) = mpsc::channel(OUTGOING_MAX);
        let waiting = Waiting::default();
        let (gone, reader_gone) = oneshot::channel();
        tokio::task::spawn_local(write_requests(writing, receiver, Rc::clone(&waiting), reader_gone));
        tokio::task::spawn_local(read_answers(reading, waiting, address.to_owned(), gone));
        let connection = Rc::new(Self {
            address: address.to_owned(),
            outgoing: sender,
            next_correlation: Cell::new(0),
            offered: RefCell::default(),
            timeout,
        });
        connection.negotiate().await?;
        Ok(connection)
    }

    /// Whether requests can still be sent.
    pub(super) fn is_open(&self) -> bool {
        !self.outgoing.is_closed()
    }

    /// The newest version of `R` that both sides know.
    pub(super) fn version_of<R: Request>(&self) -> Result<i16, ClientError> {
        let offered = self.offered.borrow().get(&R::KEY).copied();
        let known = R::VERSIONS;
        match offered {
            Some((min, max)) if min <= known.max && known.min <= max => Ok(max.min(known.max)),
            _ => Err(ClientError::Version { address: self.address.clone(), api: api_name(R::KEY) }),
        }
    }

    /// Sends `body` in the newest common version and awaits its answer.
    pub(super) async fn call<R: Request>(&self, body: &R) -> Result<R::Response, ClientError> {
        self.call_within(body, self.timeout).await
    }

    /// As [`Self::call`], for requests that the broker may hold back for up to `held`.
    pub(super) async fn call_held<R: Request>(
        &self,
        body: &R,
        held: Duration,
    ) -> Result<R::Response, ClientError> {
        self.call_within(body, self.timeout + held).await
    }

    /// Sends a request that brokers do not answer.
    pub(super) async fn send_unanswered<R: Request>(&self, body: &R) -> Result<(), ClientError> {
        let version = self.version_of::<R>()?;
        let (correlation_id, frame) = self.encode(body, version)?;
        self.hand_over(Outgoing { frame, correlation_id, answer: None }).await
    }

    async fn call_within<R: Request>(&self, body: &R, within: Duration) -> Result<R::Response, ClientError> {
        let version = self.version_of::<R>()?;
        let mut frame = self.exchange(body, version, within).await?;
        self.decode::<R>(&mut frame, version)
    }

    async fn negotiate(&self) -> Result<(), ClientError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("corelog"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let frame = self.exchange(&request, API_VERSIONS_FIRST, self.timeout).await?;
        let mut answer = self.decode_versions(frame.clone(), API_VERSIONS_FIRST)?;
        if answer.error_code == ErrorCode::UnsupportedVersion.code() {
            let request = ApiVersionsRequest::default();
            let frame = self.exchange(&request, 0, self.timeout).await?;
            answer = self.decode_versions(frame, 0)?;
        }
        if answer.error_code != 0 {
            return Err(ClientError::refused(
                format!("the broker at {}", self.address),
                answer.error_code,
                None,
            ));
        }
        let ranges = answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        self.offered.borrow_mut().extend(ranges);
        Ok(())
    }

    /// A broker that does not know the version answers in version 0, which says so in its first field.
    fn decode_versions(&self, mut frame: Bytes, version: i16) -> Result<ApiVersionsResponse, ClientError> {
        const CORRELATION_BYTES: usize = 4;
        let code = frame.get(CORRELATION_BYTES..CORRELATION_BYTES + 2);
        let unsupported = ErrorCode::UnsupportedVersion.code().to_be_bytes();
        let layout = if code == Some(&unsupported[..]) { 0 } else { version };
        self.decode::<ApiVersionsRequest>(&mut frame, layout)
    }

    async fn exchange<R: Request>(
        &self,
        body: &R,
        version: i16,
        within: Duration,
    ) -> Result<Bytes, ClientError> {
        let (correlation_id, frame) = self.encode(body, version)?;
        let (sender, receiver) = oneshot::channel();
        let late = || ClientError::Timeout {
            address: self.address.clone(),
            request: api_name(R::KEY),
            after: within,
        };
        let exchanged = tokio::time::timeout(within, async {
            self.hand_over(Outgoing { frame, correlation_id, answer: Some(sender) }).await?;
            receiver.await.unwrap_or_else(|_| Err(self.closed()))
        });
        exchanged.await.unwrap_or_else(|_| Err(late()))
    }

    async fn hand_over(&self, outgoing: Outgoing) -> Result<(), ClientError> {
        self.outgoing.send(outgoing).await.map_err(|_| self.closed())
    }

    fn encode<R: Request>(&self, body: &R, version: i16) -> Result<(i32, Bytes), ClientError> {
        let correlation_id = self.next_correlation.get();
        self.next_correlation.set(correlation_id.wrapping_add(1));
        let frame = protocol::encode_request(CLIENT_ID, correlation_id, version, body)
            .map_err(|error| ClientError::Request(error.to_string()))?;
        Ok((correlation_id, frame))
    }

    fn decode<R: Request>(&self, frame: &mut Bytes, version: i16) -> Result<R::Response, ClientError> {
        let decoded = protocol::decode_response::<R>(frame, version);
        decoded.map(|(_, body)| body).map_err(|error| ClientError::Garbled {
            address: self.address.clone(),
            reason: format!("{} version {version}: {error}", api_name(R::KEY)),
        })
    }

    fn closed(&self) -> ClientError {
        ClientError::Closed { address: self.address.clone(), detail: String::new() }
    }
}

/// An API's name for messages.
fn api_name(key: i16) -> String {
    ApiKey::try_from(key).map_or_else(|_| format!("API {key}"), |api| format!("{api:?}"))
}

/// Writes requests in their order. Ends when the `Connection` is dropped or the reader found the connection gone.
async fn write_requests(
    mut socket: OwnedWriteHalf,
    mut requests: mpsc::Receiver<Outgoing>,
    waiting: Waiting,
    mut gone: oneshot::Receiver<()>,
) {
    loop {
        let outgoing = tokio::select! {
            outgoing = requests.recv() => outgoing,
            _ = &mut gone => return,
        };
        let Some(outgoing) = outgoing else { return };
        // Registered first: the answer may arrive before the write returns.
        if let Some(answer) = outgoing.answer {
            waiting.borrow_mut().push_back((outgoing.correlation_id, answer));
        }
        let written = tokio::select! {
            written = socket.write_all(&outgoing.frame) => written,
            _ = &mut gone => return,
        };
        if written.is_err() {
            return;
        }
    }
}

/// Hands each frame to the oldest waiting request; at the end fails those that are left. Dropping `_gone` ends the
/// writer.
async fn read_answers(
    mut socket: OwnedReadHalf,
    waiting: Waiting,
    address: String,
    _gone: oneshot::Sender<()>,
) {
    let ended = read_until_end(&mut socket, &waiting).await;
    let detail = ended.err().map(|reason| format!(": {reason}")).unwrap_or_default();
    for (_, answer) in waiting.borrow_mut().drain(..) {
        let error = ClientError::Closed { address: address.clone(), detail: detail.clone() };
        // A request whose caller gave up has nobody to tell.
        let _ = answer.send(Err(error));
    }
}

async fn read_until_end(socket: &mut OwnedReadHalf, waiting: &Waiting) -> Result<(), String> {
    let splitter = FrameSplitter::new(ANSWER_BYTES_MAX);
    let mut received = BytesMut::with_capacity(READ_BYTES);
    loop {
        while let Some(frame) = splitter.split(&mut received).map_err(|error| error.to_string())? {
            let id = frame.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes));
            let oldest = waiting.borrow_mut().pop_front();
            match oldest {
                Some((expected, answer)) if id == Some(expected) => drop(answer.send(Ok(frame))),
                _ => return Err("it answered what was not asked".to_owned()),
            }
        }
        let missing = splitter.missing(&received).map_err(|error| error.to_string())?;
        received.reserve(missing.max(READ_BYTES));
        if socket.read_buf(&mut received).await.map_err(|error| error.to_string())? == 0 {
            return Ok(());
        }
    }
}
