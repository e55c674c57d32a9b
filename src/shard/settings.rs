//! The broker's settings as a shard acts by them, with what was changed while it runs.
//!
//! Key invariant: what is derived from the settings is as new as they are.

use std::cell::RefCell;
use std::sync::Arc;

use crate::config::{BrokerSettings, GroupSettings};
use crate::metadata::{ConfigResource, Image};

/// See the head of this file.
pub(super) struct ShardSettings {
    /// What the operator configured.
    started_with: Arc<BrokerSettings>,
    current: RefCell<Arc<BrokerSettings>>,
    groups: RefCell<Arc<GroupSettings>>,
}

impl ShardSettings {
    pub(super) fn new(settings: Arc<BrokerSettings>) -> Self {
        let groups = Arc::new(GroupSettings::of(&settings));
        Self { started_with: settings.clone(), current: RefCell::new(settings), groups: RefCell::new(groups) }
    }

    pub(super) fn current(&self) -> Arc<BrokerSettings> {
        self.current.borrow().clone()
    }

    pub(super) fn groups(&self) -> Arc<GroupSettings> {
        self.groups.borrow().clone()
    }

    /// Takes over what `after` changes of the settings; returns them if it does.
    pub(super) fn follow(&self, before: &Image, after: &Image) -> Option<Arc<BrokerSettings>> {
        let (default, own) =
            (ConfigResource::BrokerDefault, ConfigResource::Broker(self.started_with.node.id));
        if after.config(&default) == before.config(&default) && after.config(&own) == before.config(&own) {
            return None;
        }
        let settings = Arc::new(self.started_with.with_dynamic(after.config(&default), after.config(&own)));
        self.groups.replace(Arc::new(GroupSettings::of(&settings)));
        self.current.replace(settings.clone());
        Some(settings)
    }
}
