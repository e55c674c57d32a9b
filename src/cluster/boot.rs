//! Taking a data directory into use: its lock and superblock, the metadata store, the cluster's first commands.
//!
//! Key invariant: when [`open`] returns, the directory is this process's, and this start's leader epochs are durable:
//! no partition may be opened for appends before.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::controller::{Controller, ControllerParts};
use super::handle::ControllerHandle;
use super::store::{Store, StoreError};
use super::superblock::{Superblock, SuperblockError, SuperblockFacts};
use crate::config::BrokerSettings;
use crate::metadata::plan::{InitCluster, StartBroker};
use crate::metadata::{ClusterId, ClusterIdError, Endpoint, Refusal};
use crate::model::TopicId;

/// The directory, within the data directory, that holds the metadata store.
const METADATA_DIRECTORY: &str = "metadata";

/// What starts a broker's metadata.
pub struct Boot {
    pub settings: Arc<BrokerSettings>,
    /// Where clients reach this broker.
    pub endpoints: Vec<Endpoint>,
    /// The feature levels that a new cluster begins with.
    pub features: BTreeMap<String, i16>,
}

/// A data directory in use.
pub struct Booted {
    pub superblock: Superblock,
    pub controller: Controller,
    pub handle: ControllerHandle,
}

/// Why a data directory cannot be taken into use.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    #[error(transparent)]
    Superblock(#[from] SuperblockError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("corelog.cluster.id: {0}")]
    ClusterId(#[from] ClusterIdError),
    #[error(
        "the data directory {path} belongs to cluster {stored}, but corelog.cluster.id is {wanted}; change the setting or \
         choose another directory"
    )]
    OtherCluster { path: PathBuf, stored: ClusterId, wanted: ClusterId },
    #[error(
        "the metadata in {path} is of cluster {found}, but the data directory is of cluster {stored}; restore both \
             from the same backup"
    )]
    Mixed { path: PathBuf, stored: ClusterId, found: ClusterId },
    #[error("the metadata refused this broker's start: {0}")]
    Refused(#[from] Refusal),
}

/// Takes the data directory of `boot.settings` into use, creating it where absent.
pub fn open(boot: Boot) -> Result<Booted, BootError> {
    let node = boot.settings.node.id;
    let wanted: Option<ClusterId> = boot.settings.node.cluster_id.as_deref().map(str::parse).transpose()?;
    let fresh = SuperblockFacts::fresh(wanted.unwrap_or_else(|| ClusterId(new_id())), node, new_id());
    let superblock = Superblock::open(&boot.settings.data_dir, fresh)?;
    let stored = superblock.facts().cluster_id;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != stored) {
        let path = boot.settings.data_dir.clone();
        return Err(BootError::OtherCluster { path, stored, wanted });
    }
    let (store, image) = Store::open(&boot.settings.data_dir.join(METADATA_DIRECTORY), node)?;
    let rack = boot.settings.node.rack.clone();
    let parts = ControllerParts { store, image, settings: boot.settings, new_id: Box::new(new_id) };
    let (mut controller, handle) = Controller::new(parts);
    let init = InitCluster { cluster_id: stored, features: boot.features };
    let found = controller.submit_at_start(init)??;
    if found != stored {
        let path = superblock.directory().to_owned();
        return Err(BootError::Mixed { path, stored, found });
    }
    controller.submit_at_start(StartBroker { broker: node, endpoints: boot.endpoints, rack })??;
    Ok(Booted { superblock, controller, handle })
}

/// A random id whose text does not begin with a dash, which command lines would take for an option.
fn new_id() -> uuid::Uuid {
    loop {
        let id = uuid::Uuid::new_v4();
        if !TopicId(id).to_string().starts_with('-') {
            return id;
        }
    }
}

#[cfg(test)]
mod tests;
