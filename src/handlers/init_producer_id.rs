//! InitProducerId (KIP-98, KIP-360): ids for idempotent producers.
//!
//! Key invariant: an id is given out once. Blocks of ids are durable in the metadata before the first of them is used,
//! and each shard has its own block, so that a shard answers without asking anyone.

use std::cell::Cell;
use std::rc::Rc;

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId as WireId};

use super::{Server, errors};
use crate::metadata::Refusal;
use crate::metadata::plan::{AllocateProducerIds, ProducerIdBlock};
use crate::model::ProducerId;
use crate::protocol::ErrorCode;

/// The producer ids that a shard may give out.
#[derive(Default)]
pub struct ProducerIds {
    block: Cell<Option<ProducerIdBlock>>,
}

impl ProducerIds {
    /// The next id; asks the controller for a block if the last one is used up.
    async fn next(&self, server: &Server) -> Result<ProducerId, Refusal> {
        loop {
            if let Some(block) = self.block.get().filter(|block| block.len > 0) {
                let rest = ProducerIdBlock { first: ProducerId(block.first.0 + 1), len: block.len - 1 };
                self.block.set(Some(rest));
                return Ok(block.first);
            }
            let broker = server.broker_id();
            let fresh = server.controller().submit(AllocateProducerIds { broker }).await?;
            // Another request may have fetched a block meanwhile; ids of the one not kept are never used.
            if self.block.get().is_none_or(|block| block.len == 0) {
                self.block.set(Some(fresh));
            }
        }
    }
}

/// Gives an idempotent producer an id, or an epoch later than the one it names.
pub async fn handle(server: &Rc<Server>, request: InitProducerIdRequest) -> InitProducerIdResponse {
    if request.transactional_id.is_some() {
        return refused(ErrorCode::InvalidRequest);
    }
    // Either both are given or neither (KIP-360).
    if (request.producer_id.0 == -1) != (request.producer_epoch == -1) {
        return refused(ErrorCode::InvalidRequest);
    }
    // Without a transactional id the producer's own id and epoch are not looked at: it gets a new id (KIP-360).
    match server.producer_ids.next(server).await {
        Ok(id) => InitProducerIdResponse::default().with_producer_id(WireId(id.0)).with_producer_epoch(0),
        Err(refusal) => {
            // Clients wait and ask again, whatever kept the controller from answering.
            tracing::warn!("no producer id can be given out: {refusal}");
            let (code, _) = errors::of_refusal(&refusal);
            refused(if code.is_retriable() { ErrorCode::CoordinatorLoadInProgress } else { code })
        }
    }
}

fn refused(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(code.code())
        .with_producer_id(WireId(-1))
        .with_producer_epoch(-1)
}
