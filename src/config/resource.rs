//! The kinds of resources that have settings.
//!
//! Key invariant: the numbers are those of Kafka's ConfigResource types.

/// What a DescribeConfigs or AlterConfigs request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum ResourceKind {
    Topic,
    /// A broker by its id, or with an empty name the default of all brokers.
    Broker,
    /// The log levels of one broker (KIP-412).
    BrokerLogger,
    /// A client metrics subscription (KIP-714).
    ClientMetrics,
    /// A group of any type (KIP-848).
    Group,
}

impl ResourceKind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Topic, Self::Broker, Self::BrokerLogger, Self::ClientMetrics, Self::Group];

    /// The number on the wire.
    pub const fn wire(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }

    /// The kind of a number from the wire; `None` for a number that Kafka calls UNKNOWN.
    pub fn from_wire(wire: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.wire() == wire)
    }
}
