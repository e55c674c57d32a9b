//! Tests of what members may bring: each is bounded, and so is the group.

use bytes::Bytes;

use super::super::join::GROUP_BYTES_MAX;
use super::super::record::RECORD_BYTES_MAX;
use super::{Bench, dynamic, fixed, joins, leaving, with_protocols};
use crate::coordinator::group::classic::{JoinRequest, State};

/// A member that brings so many bytes for each of eight protocols, one of which all have.
fn heavy(request: JoinRequest, bytes: usize) -> JoinRequest {
    let names = ["range", "1", "2", "3", "4", "5", "6", "7"];
    let mut request = with_protocols(request, &names);
    for (_, metadata) in &mut request.protocols {
        *metadata = Bytes::from(vec![0; bytes]);
    }
    request
}

#[test]
fn what_one_member_brings_is_bounded() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let mut request = dynamic("");
    request.protocols[0].1 = Bytes::from(vec![0; RECORD_BYTES_MAX + 1]);
    let (ticket, actions) = bench.join(request);
    assert_eq!(joins(&actions), [(ticket, "too large")]);
    assert_eq!(bench.state(), State::Stable, "nobody else notices");
    assert_eq!(bench.heartbeat(ids[0].as_str(), 1), Ok(()));
}

#[test]
fn what_all_members_bring_is_bounded() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let (ticket, actions) = bench.join(heavy(dynamic(""), GROUP_BYTES_MAX / 8));
    assert_eq!(joins(&actions), [(ticket, "full")]);
    assert_eq!(bench.state(), State::Stable, "nobody else notices");
    let (first, actions) = bench.join(heavy(fixed("i", ""), GROUP_BYTES_MAX / 10));
    assert!(actions.joined.is_empty());
    let (ticket, actions) = bench.join(heavy(dynamic(""), GROUP_BYTES_MAX / 20));
    assert_eq!(joins(&actions), [(ticket, "full")]);
    // Who is in comes back with what it brought, also as a static member without its id.
    let (again, actions) = bench.join(heavy(fixed("i", ""), GROUP_BYTES_MAX / 10));
    assert_eq!(joins(&actions), [(first, "fenced")]);
    let (old, actions) = bench.join(dynamic(ids[0].as_str()));
    assert_eq!(joins(&actions), [(old, "ok"), (again, "ok")]);
    // And makes room when it goes.
    let id = bench.group().static_member("i").unwrap().clone();
    bench.leave(vec![leaving(id.as_str())]);
    let (_, actions) = bench.join(heavy(dynamic(""), GROUP_BYTES_MAX / 20));
    assert!(actions.joined.is_empty());
}

#[test]
fn ids_that_are_given_out_are_bounded_in_bytes() {
    let mut bench = Bench::new();
    let long = || {
        let client_id = "c".repeat(30_000);
        JoinRequest { client_id, requires_known_member: true, ..dynamic("") }
    };
    let mut given = 0;
    while joins(&bench.join(long()).1)[0].1 == "id required" {
        given += 1;
    }
    assert_eq!(given, GROUP_BYTES_MAX / 30_037 - 1);
    let short = || JoinRequest { requires_known_member: true, ..dynamic("") };
    assert_eq!(joins(&bench.join(short()).1)[0].1, "id required");
    bench.pass(i64::from(super::SESSION_MS));
    assert_eq!(joins(&bench.join(long()).1)[0].1, "id required");
}
