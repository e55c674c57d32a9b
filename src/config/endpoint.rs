//! Host and port of a listener, as operators write them, and the ports of shard-direct listeners.
//!
//! Key invariant: the host of an `Endpoint` has no brackets and no scheme; printing puts brackets around an IPv6
//! address again. Resolving names is left to `network`.

use std::fmt;
use std::str::FromStr;

use crate::model::ShardId;

/// Where to listen, or the address that clients are told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A name or an address; empty means every address of the machine.
    pub host: String,
    /// 0 lets the operating system choose.
    pub port: u16,
}

impl Endpoint {
    /// Whether the host stands for every address of the machine, which no client can connect to.
    pub fn is_any_address(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "::")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// Reads `host:port`, `[address]:port` or either after `PLAINTEXT://`.
    fn from_str(text: &str) -> Result<Self, String> {
        let bare = match text.split_once("://") {
            Some(("PLAINTEXT", bare)) => bare,
            Some((protocol, _)) => {
                return Err(format!("{protocol} listeners are not supported; only PLAINTEXT is"));
            }
            None => text,
        };
        let (host, port) =
            bare.rsplit_once(':').ok_or_else(|| format!("{text:?} is not of the form HOST:PORT"))?;
        let port = port.parse().map_err(|_| format!("{port:?} is not a port from 0 to 65535"))?;
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) if address.parse::<core::net::Ipv6Addr>().is_ok() => address,
            Some(address) => return Err(format!("{address:?} is not an IPv6 address")),
            None if host.contains(['[', ']', ':', '/', ' ', ',']) => {
                return Err(format!("{host:?} is not a host name; write an IPv6 address in brackets"));
            }
            None => host,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

/// The ports of shard-direct listeners: a run without gaps, one for each shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardPorts {
    first: u16,
    shards: u16,
}

impl ShardPorts {
    /// The ports of `shards` shards from `first` on; `None` if there are not so many.
    pub fn new(first: u16, shards: u16) -> Option<Self> {
        let last = first.checked_add(shards.checked_sub(1)?);
        last.filter(|_| first > 0).map(|_| Self { first, shards })
    }

    /// How many shards there are.
    pub fn shards(self) -> u16 {
        self.shards
    }

    /// The port of one shard.
    pub fn port(self, shard: ShardId) -> u16 {
        debug_assert!(shard.0 < self.shards, "shard {shard} is none of {}", self.shards);
        self.first.saturating_add(shard.0)
    }

    /// Whether one of the ports is this one.
    pub fn contains(self, port: u16) -> bool {
        port.checked_sub(self.first).is_some_and(|place| place < self.shards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_read_and_print() {
        for (text, printed) in [
            ("127.0.0.1:9092", "127.0.0.1:9092"),
            ("PLAINTEXT://kafka.example:1", "kafka.example:1"),
            ("[::1]:0", "[::1]:0"),
            (":9092", ":9092"),
        ] {
            assert_eq!(text.parse::<Endpoint>().expect(text).to_string(), printed);
        }
        for text in ["", "9092", "a:b", "a:65536", "SSL://a:1", "::1:9092", "[a]:1", "a b:1", "PLAINTEXT://a"]
        {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn shards_have_ports_as_far_as_there_are_any() {
        let ports = ShardPorts::new(9093, 2).expect("there are two");
        assert_eq!((ports.port(ShardId(0)), ports.port(ShardId(1))), (9093, 9094));
        assert_eq!([9092, 9093, 9094, 9095].map(|port| ports.contains(port)), [false, true, true, false]);
        assert!(ShardPorts::new(65_534, 2).is_some());
        assert_eq!(ShardPorts::new(65_534, 3), None);
        assert_eq!(ShardPorts::new(0, 1), None);
        assert_eq!(ShardPorts::new(1, 0), None);
    }
}
