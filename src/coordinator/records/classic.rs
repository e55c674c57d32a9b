//! Classic groups: `GroupMetadataKey` (version 2) and `GroupMetadataValue`.
//!
//! Key invariant: written when a generation is complete, so a reader finds members with their assignments.

use bytes::Bytes;

use super::wire::{Reader, RecordError, Writer};
use crate::coordinator::{InstanceId, MemberId};
use crate::model::TimestampMs;

/// A generation of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicGroupValue {
    /// `consumer`, `connect` or whatever else the members speak; empty of a group without members that had none.
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<MemberId>,
    /// When the group entered its present state; offsets of an empty group expire from then on.
    pub state_since: TimestampMs,
    pub members: Vec<ClassicMemberValue>,
}

/// A member of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberValue {
    pub id: MemberId,
    pub instance_id: Option<InstanceId>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// What the member sent for the chosen protocol; opaque.
    pub subscription: Bytes,
    /// What the leader gave it; opaque.
    pub assignment: Bytes,
}

/// Version 1 adds the rebalance timeout, 2 the time of the last change, 3 instance ids, 4 tagged fields.
const VERSION_MAX: i16 = 4;
const FLEXIBLE_FROM: i16 = 4;

impl ClassicGroupValue {
    /// Version 3, as Kafka 4.2 writes it.
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::value(3);
        writer.text(&self.protocol_type);
        writer.i32(self.generation);
        writer.optional_text(self.protocol.as_deref());
        writer.optional_text(self.leader.as_ref().map(MemberId::as_str));
        writer.i64(self.state_since.get());
        writer.list(&self.members, |writer, member| {
            writer.text(member.id.as_str());
            writer.optional_text(member.instance_id.as_ref().map(InstanceId::as_str));
            writer.text(&member.client_id);
            writer.text(&member.client_host);
            writer.i32(member.rebalance_timeout_ms);
            writer.i32(member.session_timeout_ms);
            writer.blob(&member.subscription);
            writer.blob(&member.assignment);
        });
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8], kind: i16) -> Result<Self, RecordError> {
        let (mut reader, version) = Reader::value(bytes, kind, VERSION_MAX, FLEXIBLE_FROM)?;
        let value = Self {
            protocol_type: reader.text()?.to_owned(),
            generation: reader.i32()?,
            protocol: reader.optional_text()?.map(str::to_owned),
            leader: reader.optional_text()?.map(MemberId::from),
            state_since: if version >= 2 { TimestampMs(reader.i64()?) } else { TimestampMs::NONE },
            members: reader.list(|reader| ClassicMemberValue::read(reader, version))?,
        };
        reader.end()?;
        Ok(value)
    }
}

impl ClassicMemberValue {
    fn read(reader: &mut Reader<'_>, version: i16) -> Result<Self, RecordError> {
        let id = reader.text()?.into();
        let instance_id = if version >= 3 { reader.optional_text()?.map(InstanceId::from) } else { None };
        let client_id = reader.text()?.to_owned();
        let client_host = reader.text()?.to_owned();
        let rebalance_timeout_ms = if version >= 1 { Some(reader.i32()?) } else { None };
        let session_timeout_ms = reader.i32()?;
        let member = Self {
            id,
            instance_id,
            client_id,
            client_host,
            // Members of that time gave their session timeout for both.
            rebalance_timeout_ms: rebalance_timeout_ms.unwrap_or(session_timeout_ms),
            session_timeout_ms,
            subscription: reader.blob()?,
            assignment: reader.blob()?,
        };
        reader.end()?;
        Ok(member)
    }
}
