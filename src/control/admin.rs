//! HTTP for operators: `GET /health` and `GET /metrics`.
//!
//! Key invariant: answers are made from counters and the newest image alone; no request waits for a shard.
//! `/health` answers 200 when clients are served and 503 before and after.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use kafka_protocol::messages::ApiKey;
use serde::Serialize;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Instant;

use super::phase::{Phase, PhaseCell};
use crate::cluster::ControllerHandle;
use crate::config::Endpoint;
use crate::metrics::{ShardMetrics, exposition};
use crate::model::BrokerId;
use crate::protocol::ErrorCode;

/// Why operators cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(
        "cannot serve HTTP for operators on {endpoint}: {source}; choose another address with --admin HOST:PORT"
    )]
    Bind { endpoint: Endpoint, source: io::Error },
    #[error("cannot start the control thread: {0}")]
    Thread(io::Error),
}

/// What the answers tell.
#[derive(Clone)]
pub struct AdminFacts {
    pub version: &'static str,
    pub node: BrokerId,
    pub phase: PhaseCell,
    /// By shard.
    pub shards: Vec<Arc<ShardMetrics>>,
}

/// Takes the address that operators reach; returns it too, since a port of 0 is chosen by the operating system.
pub fn bind(endpoint: &Endpoint) -> Result<(TcpListener, SocketAddr), AdminError> {
    let fail = |source| AdminError::Bind { endpoint: endpoint.clone(), source };
    let host = if endpoint.host.is_empty() { "0.0.0.0" } else { &endpoint.host };
    let addresses: Vec<SocketAddr> = (host, endpoint.port).to_socket_addrs().map_err(fail)?.collect();
    let listener = TcpListener::bind(&*addresses).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok((listener, address))
}

/// What the routes share.
#[derive(Clone)]
struct Admin {
    facts: Arc<AdminFacts>,
    controller: ControllerHandle,
    started: Instant,
}

/// The answer of `GET /health`.
#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    cluster_id: String,
    node_id: BrokerId,
    shards: usize,
    topics: usize,
    partitions: usize,
    uptime_ms: u64,
}

/// The routes.
pub(super) fn router(facts: AdminFacts, controller: ControllerHandle) -> Router {
    let admin = Admin { facts: Arc::new(facts), controller, started: Instant::now() };
    Router::new().route("/health", get(health)).route("/metrics", get(metrics)).with_state(admin)
}

async fn health(State(admin): State<Admin>) -> Response {
    let image = admin.controller.image();
    let phase = admin.facts.phase.get();
    let health = Health {
        status: phase.name(),
        version: admin.facts.version,
        cluster_id: image.cluster_id().to_string(),
        node_id: admin.facts.node,
        shards: admin.facts.shards.len(),
        topics: image.topic_count(),
        partitions: image.partition_count(),
        uptime_ms: u64::try_from(admin.started.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    let code = if phase == Phase::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let json = serde_json::to_string(&health).expect("plain fields always serialise");
    (code, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let image = admin.controller.image();
    let facts = exposition::Facts {
        version: admin.facts.version,
        cluster_id: &image.cluster_id().to_string(),
        node_id: admin.facts.node.get(),
        topics: image.topic_count(),
        partitions: image.partition_count(),
        ready: admin.facts.phase.get() == Phase::Ready,
    };
    let shards: Vec<&ShardMetrics> = admin.facts.shards.iter().map(|shard| &**shard).collect();
    let names = exposition::Names { api: api_name, error: error_name };
    let text = exposition::render(&shards, &facts, &names);
    ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response()
}

fn api_name(key: i16) -> String {
    ApiKey::try_from(key).map_or_else(|()| key.to_string(), |api| format!("{api:?}"))
}

fn error_name(code: i16) -> String {
    ErrorCode::from_code(code).map_or_else(|| code.to_string(), |error| error.name().to_owned())
}
