//! One connection to one broker, opened, negotiated and authenticated, for calls one at a time.
//!
//! Key invariant: a broker answers the requests of a connection in their order, so the frame after a request is its
//! answer; an answer with another correlation id ends the connection's use. Which broker to talk to is left to `cluster`,
//! many requests in flight to [`Pipe`].

use bytes::Bytes;
use corelog::protocol::{self, ErrorCode};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Request, StrBytes};

use super::error::{api_name, error_name};
use super::transport::Transport;
use super::{CLIENT_ID, ClientError, ClientOptions, Pipe, Security, Versions};

/// The version of ApiVersions to try first; an older broker answers in version 0 (KIP-511).
const API_VERSIONS_FIRST: i16 = 3;
/// From this version of SaslHandshake on, what follows are SaslAuthenticate requests (KIP-152).
const SASL_HANDSHAKE: i16 = 1;
const MECHANISM: &str = "PLAIN";

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    pipe: Pipe,
    correlation: i32,
}

impl Connection {
    /// Connects to `address` (`host:port`), agrees on versions and authenticates.
    pub async fn open(address: &str, options: &ClientOptions) -> Result<Self, ClientError> {
        let transport = Transport::connect(address, options.timeout).await?;
        let mut connection = Self { pipe: Pipe::new(address, options.timeout, transport), correlation: 0 };
        connection.negotiate().await?;
        if let Security::SaslPlain { user, password } = &options.security {
            connection.authenticate(user, password).await?;
        }
        Ok(connection)
    }

    pub fn address(&self) -> &str {
        self.pipe.address()
    }

    /// The newest version of `R` that both sides know.
    pub fn version<R: Request>(&self) -> Result<i16, ClientError> {
        self.pipe.version::<R>()
    }

    /// As [`Self::version`], but not above `max`.
    pub fn version_at_most<R: Request>(&self, max: i16) -> Result<i16, ClientError> {
        self.pipe.version_at_most::<R>(max)
    }

    /// Sends `body` in the newest common version and awaits its answer. After an error of
    /// [`ClientError::is_disconnect`] the connection is of no use any more.
    pub async fn call<R: Request>(&mut self, body: &R) -> Result<R::Response, ClientError> {
        let version = self.version::<R>()?;
        let frame = self.exchange(body, version).await?;
        self.decode::<R>(frame, version)
    }

    /// The hot path, once everything is agreed.
    pub fn into_pipe(self) -> Pipe {
        self.pipe
    }

    async fn negotiate(&mut self) -> Result<(), ClientError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(CLIENT_ID))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let frame = self.exchange(&request, API_VERSIONS_FIRST).await?;
        let mut answer = self.decode_versions(frame, API_VERSIONS_FIRST)?;
        if answer.error_code == ErrorCode::UnsupportedVersion.code() {
            let frame = self.exchange(&ApiVersionsRequest::default(), 0).await?;
            answer = self.decode_versions(frame, 0)?;
        }
        if answer.error_code != 0 {
            let what = format!("the broker at {} does not tell its versions", self.address());
            return Err(ClientError::refused(what, answer.error_code, None));
        }
        self.pipe.set_versions(Versions::new(&answer));
        Ok(())
    }

    /// A broker that does not know the version answers in version 0, which says so in its first field.
    fn decode_versions(&self, frame: Bytes, version: i16) -> Result<ApiVersionsResponse, ClientError> {
        const CORRELATION_BYTES: usize = 4;
        let code = frame.get(CORRELATION_BYTES..CORRELATION_BYTES + 2);
        let unsupported = ErrorCode::UnsupportedVersion.code().to_be_bytes();
        let layout = if code == Some(&unsupported[..]) { 0 } else { version };
        self.decode::<ApiVersionsRequest>(frame, layout)
    }

    async fn authenticate(&mut self, user: &str, password: &str) -> Result<(), ClientError> {
        let address = self.address().to_owned();
        let refused = |reason: String| ClientError::Authentication { address: address.clone(), reason };
        let offered = self.version::<SaslHandshakeRequest>();
        if offered.is_ok_and(|version| version < SASL_HANDSHAKE) {
            return Err(refused(
                "it is older than Kafka 1.0, with whose SASL this tool does not work".to_owned(),
            ));
        }
        let handshake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(MECHANISM));
        let answer = self.call(&handshake).await?;
        match ErrorCode::from_code(answer.error_code) {
            _ if answer.error_code == 0 => {}
            Some(ErrorCode::UnsupportedSaslMechanism) => {
                let offered: Vec<&str> = answer.mechanisms.iter().map(StrBytes::as_str).collect();
                return Err(refused(format!("it offers {}, not {MECHANISM}", offered.join(", "))));
            }
            Some(ErrorCode::IllegalSaslState) => {
                return Err(refused(
                    "this listener does not use SASL; leave user and password out".to_owned(),
                ));
            }
            _ => return Err(refused(error_name(answer.error_code))),
        }
        let token = Bytes::from(format!("\0{user}\0{password}"));
        let answer = self.call(&SaslAuthenticateRequest::default().with_auth_bytes(token)).await;
        let answer = answer.map_err(|error| match error {
            // Some brokers close at once instead of answering.
            ClientError::Closed { .. } => {
                refused("it closed the connection; are user and password right?".into())
            }
            other => other,
        })?;
        match (answer.error_code, answer.error_message) {
            (0, _) => Ok(()),
            (_, Some(words)) if !words.is_empty() => Err(refused(words.to_string())),
            (code, _) => Err(refused(error_name(code))),
        }
    }

    /// Sends a request and awaits the frame that answers it.
    async fn exchange<R: Request>(&mut self, body: &R, version: i16) -> Result<Bytes, ClientError> {
        self.correlation = self.correlation.wrapping_add(1);
        let correlation = self.correlation;
        let request = protocol::encode_request(CLIENT_ID, correlation, version, body)
            .map_err(|error| ClientError::Unsendable { reason: error.to_string() })?;
        self.pipe.queue_slice(request);
        let exchanged = async {
            self.pipe.drain().await?;
            let mut answer = None;
            self.pipe.receive(&mut |frame| answer = Some(frame.to_bytes())).await?;
            Ok(answer)
        };
        let answer = self.pipe.within(&format!("answer {}", api_name(R::KEY)), exchanged).await?;
        let answer = answer.filter(|frame| frame.starts_with(&correlation.to_be_bytes()));
        answer.ok_or_else(|| self.garbled("it answered what was not asked".to_owned()))
    }

    fn decode<R: Request>(&self, mut frame: Bytes, version: i16) -> Result<R::Response, ClientError> {
        let decoded = protocol::decode_response::<R>(&mut frame, version);
        let told = |error| self.garbled(format!("{} version {version}: {error}", api_name(R::KEY)));
        decoded.map(|(_, body)| body).map_err(told)
    }

    fn garbled(&self, reason: String) -> ClientError {
        ClientError::Malformed { address: self.address().to_owned(), reason }
    }
}
