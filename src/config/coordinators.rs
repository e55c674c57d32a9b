//! The settings of groups as the coordinators read them: the broker's, and what one group has of its own.
//!
//! Key invariant: built from settings that were checked, so every number lies within the bounds of its table.

use super::Overrides;
use super::broker::BrokerSettings;
use super::definition::group_scope;
use super::group::default_of;
use super::layers::Layers;
use super::value::Value;

/// Which way a group may change between the classic and the consumer protocol; `group.consumer.migration.policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    Disabled,
    Upgrade,
    Downgrade,
    Bidirectional,
}

impl MigrationPolicy {
    /// Whether a classic group may become a consumer group.
    pub const fn upgrades(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    /// Whether a consumer group may become a classic group.
    pub const fn downgrades(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

/// Classic groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassicGroupSettings {
    /// `group.min.session.timeout.ms`
    pub session_ms_min: i32,
    /// `group.max.session.timeout.ms`
    pub session_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`
    pub members_max: u32,
}

/// Consumer groups (KIP-848).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupSettings {
    /// `group.consumer.session.timeout.ms`; a group may have its own.
    pub session_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`; a group may have its own.
    pub heartbeat_ms: i32,
    /// `group.consumer.max.size`
    pub members_max: u32,
    /// `group.consumer.assignors`; the first is the default.
    pub assignors: Vec<String>,
    /// `group.consumer.migration.policy`
    pub migration: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`
    pub regex_refresh_ms: i32,
}

/// Share groups (KIP-932).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareGroupSettings {
    /// `group.share.session.timeout.ms`; a group may have its own.
    pub session_ms: i32,
    /// `group.share.heartbeat.interval.ms`; a group may have its own.
    pub heartbeat_ms: i32,
    /// `group.share.max.size`
    pub members_max: u32,
    /// `group.share.record.lock.duration.ms`; a group may have its own.
    pub lock_ms: i32,
    /// `group.share.delivery.count.limit`
    pub deliveries_max: i16,
    /// `group.share.partition.max.record.locks`
    pub locks_per_partition_max: u32,
    /// `group.share.max.share.sessions`
    pub sessions_max: u32,
    /// `share.coordinator.snapshot.update.records.per.snapshot`
    pub updates_per_snapshot: u32,
}

/// Committed offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetSettings {
    /// `offset.metadata.max.bytes`
    pub metadata_bytes_max: u32,
    /// `offsets.retention.minutes`, in ms.
    pub retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub check_interval_ms: i64,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    pub classic: ClassicGroupSettings,
    pub consumer: ConsumerGroupSettings,
    pub share: ShareGroupSettings,
    pub offsets: OffsetSettings,
}

impl GroupSettings {
    /// Those of a broker.
    pub fn of(broker: &BrokerSettings) -> Self {
        let read = Reader(broker.layers());
        Self {
            classic: ClassicGroupSettings {
                session_ms_min: read.int("group.min.session.timeout.ms"),
                session_ms_max: read.int("group.max.session.timeout.ms"),
                initial_rebalance_delay_ms: read.int("group.initial.rebalance.delay.ms"),
                members_max: read.size("group.max.size"),
            },
            consumer: ConsumerGroupSettings {
                session_ms: read.int("group.consumer.session.timeout.ms"),
                heartbeat_ms: read.int("group.consumer.heartbeat.interval.ms"),
                members_max: read.size("group.consumer.max.size"),
                assignors: read.list("group.consumer.assignors"),
                migration: read.migration(),
                regex_refresh_ms: read.int("group.consumer.regex.refresh.interval.ms"),
            },
            share: ShareGroupSettings {
                session_ms: read.int("group.share.session.timeout.ms"),
                heartbeat_ms: read.int("group.share.heartbeat.interval.ms"),
                members_max: read.size("group.share.max.size"),
                lock_ms: read.int("group.share.record.lock.duration.ms"),
                deliveries_max: i16::try_from(read.int("group.share.delivery.count.limit")).unwrap_or(5),
                locks_per_partition_max: read.size("group.share.partition.max.record.locks"),
                sessions_max: read.size("group.share.max.share.sessions"),
                updates_per_snapshot: read.size("share.coordinator.snapshot.update.records.per.snapshot"),
            },
            offsets: OffsetSettings {
                metadata_bytes_max: read.size("offset.metadata.max.bytes"),
                retention_ms: broker.layers().integer("offsets.retention.minutes").saturating_mul(60_000),
                check_interval_ms: broker.layers().integer("offsets.retention.check.interval.ms"),
            },
        }
    }
}

/// A setting of one group in force: its own, the broker's, or the table's default. `None` for a name that is none, or a value
/// that is not of this type.
pub fn group_integer(name: &str, overrides: &Overrides, broker: &BrokerSettings) -> Option<i64> {
    match group_value(name, overrides, broker)? {
        Value::Integer(value) => Some(value),
        _ => None,
    }
}

/// The same for a setting that is text.
pub fn group_text(name: &str, overrides: &Overrides, broker: &BrokerSettings) -> Option<String> {
    match group_value(name, overrides, broker)? {
        Value::Text(value) => Some(value),
        _ => None,
    }
}

fn group_value(name: &str, overrides: &Overrides, broker: &BrokerSettings) -> Option<Value> {
    let definition = group_scope().get(name)?;
    let own = overrides.get(name).and_then(|raw| definition.parse(raw).ok());
    own.or_else(|| default_of(definition, broker))
}

struct Reader<'a>(&'a Layers);

impl Reader<'_> {
    fn int(&self, name: &str) -> i32 {
        i32::try_from(self.0.integer(name)).unwrap_or(i32::MAX)
    }

    fn size(&self, name: &str) -> u32 {
        u32::try_from(self.0.integer(name)).unwrap_or(0)
    }

    fn list(&self, name: &str) -> Vec<String> {
        let text = self.0.text(name).unwrap_or_default();
        text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    }

    fn migration(&self) -> MigrationPolicy {
        let text = self.0.text("group.consumer.migration.policy").unwrap_or_default();
        match text.to_ascii_lowercase().as_str() {
            "disabled" => MigrationPolicy::Disabled,
            "upgrade" => MigrationPolicy::Upgrade,
            "downgrade" => MigrationPolicy::Downgrade,
            _ => MigrationPolicy::Bidirectional,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_kafkas() {
        let settings = GroupSettings::of(&BrokerSettings::default());
        assert_eq!(settings.classic.initial_rebalance_delay_ms, 3_000);
        assert_eq!(settings.consumer.assignors, ["uniform", "range"]);
        assert_eq!(settings.consumer.migration, MigrationPolicy::Bidirectional);
        assert_eq!(settings.share.deliveries_max, 5);
        assert_eq!(settings.offsets.retention_ms, 7 * 24 * 3_600_000);
    }

    #[test]
    fn a_groups_own_setting_wins_over_the_brokers() {
        let broker = BrokerSettings::default();
        let name = "consumer.heartbeat.interval.ms";
        assert_eq!(group_integer(name, &Overrides::new(), &broker), Some(5_000));
        let own = Overrides::from([(name.to_owned(), "6000".to_owned())]);
        assert_eq!(group_integer(name, &own, &broker), Some(6_000));
        assert_eq!(
            group_text("share.auto.offset.reset", &own, &broker).as_deref(),
            Some("latest"),
            "the table's default"
        );
        assert_eq!(group_integer("no.such.setting", &own, &broker), None);
    }
}
