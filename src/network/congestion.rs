//! Congestion control of connections that do not leave the host.
//!
//! Where the system's congestion control is BBR, the kernel paces what is sent with timers, also between two processes of one host,
//! where nothing is congested: fetches from memory ran at three quarters of the rate, at 1.4 times the CPU (decision 0017). So
//! listeners have Reno, which every kernel has, and a connection from another host gets what the system is set to as soon as it
//! is accepted.
//!
//! Key invariant: it must be the listener that has it. A socket that was paced once stays so, whatever it is set to later.
//! Others than BBR are left as they are: DCTCP, for one, is negotiated by the listener.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, getsockname, socket_with, sockopt};

/// Part of every kernel, and free for every process to choose.
const WITHIN_HOST: &str = "reno";
/// BBR's versions begin so.
const PACED: &str = "bbr";

/// Who gets which congestion control.
pub(super) struct Congestion {
    /// What connections from other hosts are to have, if listeners have something else.
    elsewhere: Option<String>,
}

impl Congestion {
    /// By what the system gives a new connection.
    pub(super) fn of_system() -> Self {
        Self::of(of_new_socket())
    }

    fn of(system: Option<String>) -> Self {
        Self { elsewhere: system.filter(|name| name.starts_with(PACED)) }
    }

    /// Has what `listener` accepts begin without pacing. To be called before it listens.
    pub(super) fn prepare_listener(&self, listener: impl AsFd) {
        if self.elsewhere.is_some() {
            // Where it cannot be chosen, the connections have the system's, and are as slow as that is.
            let _ = sockopt::set_tcp_congestion(listener, WITHIN_HOST);
        }
    }

    /// Gives an accepted connection from another host what the system is set to.
    pub(super) fn prepare(&self, socket: impl AsFd, peer: SocketAddr) {
        if let Some(name) = &self.elsewhere
            && !is_within_host(&socket, peer)
        {
            // The system gave it to a socket of this process: it can be chosen.
            let _ = sockopt::set_tcp_congestion(socket, name);
        }
    }
}

/// Whether both ends of a connection have one address.
fn is_within_host(socket: impl AsFd, peer: SocketAddr) -> bool {
    let local = getsockname(socket).ok().and_then(|local| SocketAddr::try_from(local).ok());
    local.is_some_and(|local| local.ip().to_canonical() == peer.ip().to_canonical())
}

/// The name of what the system gives a new connection, if it tells.
fn of_new_socket() -> Option<String> {
    let stream = |family| -> rustix::io::Result<OwnedFd> {
        socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
    };
    let socket = stream(AddressFamily::INET).or_else(|_| stream(AddressFamily::INET6)).ok()?;
    sockopt::tcp_congestion(socket).ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A system that is set to `name`, and both ends of a connection that its listener took.
    fn accepted(name: &str) -> (Congestion, TcpStream, TcpStream) {
        let congestion = Congestion { elsewhere: Some(name.to_owned()) };
        let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
        congestion.prepare_listener(&listener);
        let client = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        let (server, _) = listener.accept().expect("a client has connected");
        (congestion, client, server)
    }

    fn name_of(socket: &TcpStream) -> String {
        sockopt::tcp_congestion(socket).expect("a connection tells")
    }

    #[test]
    fn within_the_host_nothing_is_paced_and_to_others_the_systems_choice_holds() {
        let system = of_new_socket().expect("a socket tells");
        let (congestion, client, server) = accepted(&system);
        assert_eq!(name_of(&client), system, "the client's side is its own");
        assert_eq!(name_of(&server), WITHIN_HOST);
        let local = server.local_addr().expect("it is connected");
        let port_of_another = SocketAddr::new(local.ip(), 1);
        congestion.prepare(&server, port_of_another);
        assert_eq!(name_of(&server), WITHIN_HOST);
        let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().expect("an address"), 1);
        congestion.prepare(&server, mapped);
        assert_eq!(name_of(&server), WITHIN_HOST, "the same address, in IPv6's words");
        congestion.prepare(&server, "192.0.2.1:9".parse().expect("an address"));
        assert_eq!(name_of(&server), system);
    }

    #[test]
    fn a_system_that_does_not_pace_is_left_as_it_is() {
        let changes = |name: &str| Congestion::of(Some(name.to_owned())).elsewhere.is_some();
        assert!(changes("bbr") && changes("bbr3"));
        assert!(!changes("cubic") && !changes("reno") && !changes("dctcp"));
        let congestion = Congestion::of(None);
        let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
        let before = sockopt::tcp_congestion(&listener).expect("a listener tells");
        congestion.prepare_listener(&listener);
        assert_eq!(sockopt::tcp_congestion(&listener).expect("a listener tells"), before);
    }
}
