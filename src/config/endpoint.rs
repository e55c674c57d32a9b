//! Host and port of a listener, as operators write them.
//!
//! Key invariant: the host of an `Endpoint` has no brackets and no scheme; printing puts brackets around an IPv6
//! address again. Resolving names is left to `network`.

use std::fmt;
use std::str::FromStr;

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
}
