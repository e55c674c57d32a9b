//! Starting and stopping.

use std::io::Read;
use std::time::Duration;

use crate::support::{Broker, free_address, serve_command};

#[test]
fn a_taken_port_and_a_taken_data_directory_are_errors() {
    let broker = Broker::start(&[]);
    let other = tempfile::tempdir().unwrap();
    let attempts =
        [(other.path(), broker.address, "taken"), (broker.data(), free_address(), "in use by process")];
    for (data, address, expected) in attempts {
        let mut child = serve_command(data, address, free_address()).spawn().unwrap();
        let status = child.wait().unwrap();
        let mut error = String::new();
        child.stderr.as_mut().unwrap().read_to_string(&mut error).unwrap();
        assert!(!status.success());
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn sigterm_ends_the_broker_in_time_and_leaves_the_logs_clean() {
    let mut broker = Broker::start(&[]);
    let mut connection = broker.connect();
    crate::requests::create(&mut connection, "clean");
    let request = crate::requests::produce("clean", 0, crate::requests::batch(&["a"]), -1);
    connection.ask(&request, crate::requests::PRODUCE);
    let (took, well) = broker.stop();
    assert!(well);
    assert!(took < Duration::from_secs(5), "{took:?}");
    let segment = broker.data().join("clean-0/00000000000000000000.log");
    let batch = std::fs::read(segment).unwrap();
    let header = corelog::record::BatchHeader::parse_whole(&batch).unwrap();
    assert_eq!(u64::from(header.size_bytes), batch.len() as u64, "nothing follows the last batch");
}
