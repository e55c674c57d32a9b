//! What the broker itself asks for: the cluster's first command, its own start, and blocks of producer ids.
//!
//! Key invariant: a block of producer ids is given away once; a broker that stops in the middle of one wastes the rest.

use std::collections::BTreeMap;

use super::{Mutation, PlanInputs, Planned};
use crate::metadata::{ClusterId, Command, Endpoint, Image, Reason, Refusal};
use crate::model::{BrokerId, ProducerId};

/// Producer ids in one block.
pub const PRODUCER_ID_BLOCK_LEN: i64 = 1_000;

/// Initialises the cluster, unless it is; the outcome is its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitCluster {
    pub cluster_id: ClusterId,
    pub features: BTreeMap<String, i16>,
}

impl Mutation for InitCluster {
    type Outcome = ClusterId;

    fn plan(self, image: &Image, _inputs: &mut PlanInputs<'_>) -> Result<Planned<ClusterId>, Refusal> {
        let present = image.cluster_id();
        if present != ClusterId::default() {
            return Ok(Planned { commands: Vec::new(), outcome: present });
        }
        let command = Command::InitCluster { cluster_id: self.cluster_id, features: self.features };
        Ok(Planned { commands: vec![command], outcome: self.cluster_id })
    }
}

/// A broker starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartBroker {
    pub broker: BrokerId,
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<String>,
}

impl Mutation for StartBroker {
    type Outcome = ();

    fn plan(self, _image: &Image, inputs: &mut PlanInputs<'_>) -> Result<Planned<()>, Refusal> {
        let incarnation = (inputs.new_id)();
        let Self { broker, endpoints, rack } = self;
        Ok(Planned {
            commands: vec![Command::StartBroker { broker, incarnation, endpoints, rack }],
            outcome: (),
        })
    }
}

/// Asks for a block of producer ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocateProducerIds {
    pub broker: BrokerId,
}

/// The producer ids from `first` on, `len` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    pub first: ProducerId,
    pub len: i64,
}

impl Mutation for AllocateProducerIds {
    type Outcome = ProducerIdBlock;

    fn plan(self, image: &Image, _inputs: &mut PlanInputs<'_>) -> Result<Planned<ProducerIdBlock>, Refusal> {
        if image.broker(self.broker).is_none() {
            return Err(Reason::BrokerIdNotRegistered.into());
        }
        let first = image.next_producer_id();
        let Some(next) = first.get().checked_add(PRODUCER_ID_BLOCK_LEN) else {
            return Err(Refusal::new(Reason::PolicyViolation, "All producer ids are used up."));
        };
        let command = Command::SetProducerIds { broker: self.broker, next: ProducerId(next) };
        Ok(Planned {
            commands: vec![command],
            outcome: ProducerIdBlock { first, len: PRODUCER_ID_BLOCK_LEN },
        })
    }
}
