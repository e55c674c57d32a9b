//! What the runtime needs to host share states.
//!
//! Key invariant: as in `coordinator::hosted`. Nothing here waits for time.

use super::{ShareActions, ShareStates};
use crate::coordinator::group::Turn;
use crate::coordinator::records::RecordError;
use crate::coordinator::records::share_state::ShareRecord;
use crate::coordinator::{Carried, GroupAnswer, Hosted};
use crate::model::TimestampMs;

impl Hosted for ShareStates {
    type Actions = ShareActions;
    /// Never made: no request waits here.
    type Answer = GroupAnswer;

    fn replay(&mut self, key: &[u8], value: Option<&[u8]>) {
        match ShareRecord::decode(key, value) {
            Ok(Some(record)) => Self::replay(self, record),
            Ok(None) => {}
            Err(error) => tracing::warn!("a record of __share_group_state is passed over: {error}"),
        }
    }

    fn on_loaded(&mut self, turn: &Turn<'_>, actions: &mut ShareActions) {
        Self::on_metadata(self, turn.image, actions);
    }

    fn on_metadata(&mut self, turn: &Turn<'_>, actions: &mut ShareActions) {
        Self::on_metadata(self, turn.image, actions);
    }

    fn on_time(&mut self, _turn: &Turn<'_>, _actions: &mut ShareActions) {}

    fn next_deadline(&self) -> Option<TimestampMs> {
        None
    }

    fn carry(actions: ShareActions) -> Result<Carried<GroupAnswer>, RecordError> {
        let records = actions.records.iter().map(ShareRecord::encode).collect::<Result<_, _>>()?;
        Ok(Carried { records, answers: vec![] })
    }
}
