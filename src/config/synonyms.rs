//! Which broker settings are the default of a topic setting, and which broker settings are one setting in several units.
//!
//! Key invariant: synonyms are listed in order of precedence, the first that is set wins.

/// How a broker setting's value becomes the topic setting's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Same,
    /// Milliseconds of which any negative number means no limit.
    Milliseconds,
    Minutes,
    Hours,
}

impl Unit {
    /// Milliseconds in one unit; 1 for values that are taken as they are.
    pub(super) const fn millis(self) -> i64 {
        match self {
            Self::Same | Self::Milliseconds => 1,
            Self::Minutes => 60_000,
            Self::Hours => 3_600_000,
        }
    }
}

/// A broker setting that gives a topic setting its default.
pub(super) type BrokerSynonym = (&'static str, Unit);

const ROLL: &[BrokerSynonym] = &[("log.roll.ms", Unit::Same), ("log.roll.hours", Unit::Hours)];
const ROLL_JITTER: &[BrokerSynonym] =
    &[("log.roll.jitter.ms", Unit::Same), ("log.roll.jitter.hours", Unit::Hours)];
const RETENTION: &[BrokerSynonym] = &[
    ("log.retention.ms", Unit::Milliseconds),
    ("log.retention.minutes", Unit::Minutes),
    ("log.retention.hours", Unit::Hours),
];
const FLUSH: &[BrokerSynonym] =
    &[("log.flush.interval.ms", Unit::Same), ("log.flush.scheduler.interval.ms", Unit::Same)];

/// The broker settings behind a topic setting; empty for those that exist for topics only.
pub(super) fn of_topic_setting(name: &str) -> &'static [BrokerSynonym] {
    macro_rules! same {
        ($broker:literal) => {
            &[($broker, Unit::Same)]
        };
    }
    match name {
        "segment.bytes" => same!("log.segment.bytes"),
        "segment.ms" => ROLL,
        "segment.jitter.ms" => ROLL_JITTER,
        "segment.index.bytes" => same!("log.index.size.max.bytes"),
        "flush.messages" => same!("log.flush.interval.messages"),
        "flush.ms" => FLUSH,
        "retention.bytes" => same!("log.retention.bytes"),
        "retention.ms" => RETENTION,
        "max.message.bytes" => same!("message.max.bytes"),
        "index.interval.bytes" => same!("log.index.interval.bytes"),
        "delete.retention.ms" => same!("log.cleaner.delete.retention.ms"),
        "min.compaction.lag.ms" => same!("log.cleaner.min.compaction.lag.ms"),
        "max.compaction.lag.ms" => same!("log.cleaner.max.compaction.lag.ms"),
        "file.delete.delay.ms" => same!("log.segment.delete.delay.ms"),
        "min.cleanable.dirty.ratio" => same!("log.cleaner.min.cleanable.ratio"),
        "cleanup.policy" => same!("log.cleanup.policy"),
        "unclean.leader.election.enable" => same!("unclean.leader.election.enable"),
        "min.insync.replicas" => same!("min.insync.replicas"),
        "compression.type" => same!("compression.type"),
        "compression.gzip.level" => same!("compression.gzip.level"),
        "compression.lz4.level" => same!("compression.lz4.level"),
        "compression.zstd.level" => same!("compression.zstd.level"),
        "preallocate" => same!("log.preallocate"),
        "message.timestamp.type" => same!("log.message.timestamp.type"),
        "message.timestamp.before.max.ms" => same!("log.message.timestamp.before.max.ms"),
        "message.timestamp.after.max.ms" => same!("log.message.timestamp.after.max.ms"),
        "local.retention.ms" => same!("log.local.retention.ms"),
        "local.retention.bytes" => same!("log.local.retention.bytes"),
        _ => &[],
    }
}

/// The names under which a broker setting may be given, most significant first.
///
/// `listener.name.<listener>.<setting>` overrides `<setting>` for one listener.
pub(super) fn of_broker_setting(name: &str) -> Vec<&str> {
    let family = match name {
        "log.roll.ms" | "log.roll.hours" => ROLL,
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => ROLL_JITTER,
        "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => RETENTION,
        "log.flush.interval.ms" => FLUSH,
        _ => match listener_override(name) {
            Some(base) => return vec![name, base],
            None => return vec![name],
        },
    };
    family.iter().map(|(name, _)| *name).collect()
}

/// The setting that `listener.name.<listener>.<setting>` overrides.
pub(super) fn listener_override(name: &str) -> Option<&str> {
    let (_, base) = name.strip_prefix("listener.name.")?.split_once('.')?;
    Some(base).filter(|base| !base.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{broker_scope, topic_scope};

    #[test]
    fn every_synonym_is_a_broker_setting_of_the_same_type_and_default() {
        let mut with_synonym = 0;
        for topic in topic_scope().all() {
            for (name, unit) in of_topic_setting(topic.name) {
                let broker = broker_scope().get(name).expect(name);
                if *unit == Unit::Same && broker.default.is_some() {
                    assert_eq!((broker.kind, broker.default), (topic.kind, topic.default), "{}", topic.name);
                }
            }
            with_synonym += usize::from(!of_topic_setting(topic.name).is_empty());
        }
        assert_eq!(with_synonym, 28);
    }

    #[test]
    fn listener_overrides_name_their_base() {
        assert_eq!(listener_override("listener.name.internal.max.connections"), Some("max.connections"));
        assert_eq!(listener_override("listener.name.internal."), None);
        assert_eq!(listener_override("listeners"), None);
    }
}
