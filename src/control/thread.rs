//! The thread itself: one tokio runtime that drives the controller and answers operators.
//!
//! Key invariant: once [`ControlThread::stop`] returns, nothing changes the metadata any more and its store is closed;
//! so shards are stopped before. The thread ends by itself only if its runtime cannot be built.

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

use super::admin::{self, AdminError, AdminFacts};
use super::bounded::BoundedListener;
use crate::cluster::{Controller, ControllerHandle, ImageSink};
use crate::shard::ShardInbox;

/// How long connections of operators may take to end, once the thread is told to stop.
pub const STOP_WAIT_MS_MAX: u64 = 1_000;

/// What the control thread needs.
pub struct ControlParts {
    /// From [`admin::bind`].
    pub listener: TcpListener,
    pub controller: Controller,
    pub handle: ControllerHandle,
    /// Who is told of each new image.
    pub shards: Vec<ShardInbox>,
    pub facts: AdminFacts,
}

/// The running thread.
pub struct ControlThread {
    thread: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl ControlThread {
    /// Starts the thread; returns once it serves.
    pub fn start(parts: ControlParts) -> Result<Self, AdminError> {
        let (stop, stopped) = watch::channel(false);
        let (report, reported) = mpsc::sync_channel(1);
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let started = runtime.and_then(|runtime| {
                let listener = {
                    let _inside = runtime.enter();
                    tokio::net::TcpListener::from_std(parts.listener)?
                };
                Ok((runtime, listener))
            });
            match started {
                Ok((runtime, listener)) => {
                    drop(report.send(Ok(())));
                    let sinks =
                        parts.shards.into_iter().map(|shard| Box::new(shard) as Box<dyn ImageSink>).collect();
                    let controller = parts.controller.run(sinks, until(stopped.clone()));
                    let admin = serve(listener, parts.facts, parts.handle, stopped);
                    runtime.block_on(async { tokio::join!(controller, admin) });
                }
                Err(error) => drop(report.send(Err(error))),
            }
        };
        let thread =
            std::thread::Builder::new().name("control".to_owned()).spawn(body).map_err(AdminError::Thread)?;
        let ended = || std::io::Error::other("the thread ended before it served");
        reported.recv().unwrap_or_else(|_| Err(ended())).map_err(AdminError::Thread)?;
        Ok(Self { thread, stop })
    }

    /// Ends the thread: the controller takes no more requests, and operators are answered what they asked already.
    pub fn stop(self) {
        // The thread may be gone, which is what is wanted.
        let _ = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the control thread had panicked");
        }
    }
}

/// Ends when the thread is told to stop, or nobody can tell it any more.
async fn until(mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow_and_update() {
        if stopped.changed().await.is_err() {
            return;
        }
    }
}

async fn serve(
    listener: tokio::net::TcpListener,
    facts: AdminFacts,
    handle: ControllerHandle,
    stopped: watch::Receiver<bool>,
) {
    let router = admin::router(facts, handle);
    let serving =
        axum::serve(BoundedListener::new(listener), router).with_graceful_shutdown(until(stopped.clone()));
    let deadline = async {
        until(stopped).await;
        tokio::time::sleep(Duration::from_millis(STOP_WAIT_MS_MAX)).await;
    };
    tokio::select! {
        result = serving => {
            if let Err(error) = result {
                tracing::error!(%error, "HTTP for operators ended");
            }
        }
        () = deadline => tracing::debug!("connections of operators were cut"),
    }
}

#[cfg(test)]
mod tests;
