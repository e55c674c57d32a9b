//! Finds the process that listens on an address of this host, so that its CPU time can be told.
//!
//! Key invariant: `None` unless exactly one process holds a listening socket there: processes of other users cannot be
//! looked into without privilege, and brokers on other hosts not at all.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// The state of listening sockets in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// The process that listens on `address` (`host:port`) of this host, if it can be found.
pub fn listening_process(address: &str) -> Option<u32> {
    let places: Vec<SocketAddr> = address.to_socket_addrs().ok()?.collect();
    let mut inodes = BTreeSet::new();
    for (table, bytes) in [("/proc/net/tcp", 4), ("/proc/net/tcp6", 16)] {
        // Without IPv6 there is no second table.
        let Ok(text) = std::fs::read_to_string(table) else { continue };
        for (place, inode) in text.lines().filter_map(|line| parse_line(line, bytes)) {
            if places.iter().any(|wanted| reaches(*wanted, place)) {
                inodes.insert(inode);
            }
        }
    }
    // Another address of this host would reach it too, but one of another host never stands in its tables, except as
    // the unspecified address, on which brokers commonly listen.
    let local = places.iter().any(|place| is_local(place.ip()));
    if inodes.is_empty() || !local {
        return None;
    }
    let mut holders = processes().filter(|pid| holds(*pid, &inodes));
    let found = holders.next()?;
    holders.next().is_none().then_some(found)
}

/// Whether an address belongs to this host: only then can a socket be bound to it.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || std::net::UdpSocket::bind((ip, 0)).is_ok()
}

/// Whether a connection to `wanted` ends at a socket that listens on `place`.
fn reaches(wanted: SocketAddr, place: SocketAddr) -> bool {
    let same = wanted.ip().to_canonical() == place.ip().to_canonical();
    // A socket on `::` usually takes IPv4 connections too.
    let any = place.ip().is_unspecified() && (place.is_ipv6() || wanted.is_ipv4());
    wanted.port() == place.port() && (same || any)
}

/// The local address and the inode of a listening socket from a line of `/proc/net/tcp` or `tcp6`.
fn parse_line(line: &str, address_bytes: usize) -> Option<(SocketAddr, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let (ip, port) = fields.nth(1)?.split_once(':')?;
    if fields.nth(1)? != LISTENING {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((SocketAddr::new(parse_ip(ip, address_bytes)?, port), inode))
}

/// Words of 32 bits in hexadecimal, each in the byte order of the host.
fn parse_ip(text: &str, bytes: usize) -> Option<IpAddr> {
    if !text.is_ascii() || text.len() != 2 * bytes {
        return None;
    }
    let mut octets = vec![];
    for word in 0..bytes / 4 {
        let word = u32::from_str_radix(&text[8 * word..8 * word + 8], 16).ok()?;
        octets.extend(word.to_ne_bytes());
    }
    match <[u8; 16]>::try_from(&octets[..]) {
        Ok(octets) => Some(Ipv6Addr::from(octets).into()),
        Err(_) => <[u8; 4]>::try_from(&octets[..]).ok().map(|octets| Ipv4Addr::from(octets).into()),
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Whether a process has one of these sockets open.
fn holds(pid: u32, inodes: &BTreeSet<u64>) -> bool {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|target| {
        let inode = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'));
        inode.and_then(|inode| inode.parse().ok()).is_some_and(|inode| inodes.contains(&inode))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_of_this_process_is_found_until_it_is_gone() {
        for bound in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(bound).unwrap();
            let address = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
            assert_eq!(listening_process(&address), Some(std::process::id()), "{bound}");
            drop(listener);
            assert_eq!(listening_process(&address), None);
        }
    }

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let line = "   0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 7777 1 0";
        assert_eq!(parse_line(line, 4), Some(("127.0.0.1:9092".parse().unwrap(), 7_777)));
        let six = "   0: 00000000000000000000000001000000:2384 0:0 0A 0:0 0:0 0 1000 0 5 1 0";
        assert_eq!(parse_line(six, 16), Some(("[::1]:9092".parse().unwrap(), 5)));
        assert_eq!(parse_line(&line.replace(" 0A ", " 01 "), 4), None, "it is a connection");
        for wrong in ["", "sl local_address rem_address st", "0: xyz:1 0:0 0A"] {
            assert_eq!(parse_line(wrong, 4), None);
        }
    }

    #[test]
    fn addresses_of_other_hosts_have_no_process_here() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        // TEST-NET-1, which is nobody's.
        assert_eq!(listening_process(&format!("192.0.2.1:{}", listener.local_addr().unwrap().port())), None);
    }
}
