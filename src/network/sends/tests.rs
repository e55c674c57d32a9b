//! Sends over pairs of sockets, with the ring and without: who gets what, and what comes back.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use bytes::Bytes;

use super::*;
use crate::handlers::Outcome;

fn batch(parts: &[&[u8]]) -> Batch {
    let mut batch = Batch::default();
    for part in parts {
        assert!(batch.add(Outcome::Respond(Bytes::copy_from_slice(part).into())).is_none());
    }
    batch
}

fn pairs(count: usize) -> Vec<(UnixStream, UnixStream)> {
    (0..count).map(|_| UnixStream::pair().expect("a pair of sockets")).collect()
}

/// Everything that arrives until the sender closes.
fn received((ours, mut theirs): (UnixStream, UnixStream)) -> Vec<u8> {
    drop(ours);
    let mut all = vec![];
    theirs.read_to_end(&mut all).expect("bytes of a local socket");
    all
}

/// Runs with a shard's sends, once with the ring and once without.
fn with_sends<W: Future<Output = ()>>(test: impl Fn(Rc<Sends>) -> W) {
    for has_ring in [true, false] {
        glommio::LocalExecutor::default().run(async {
            let sends = Rc::new(Sends::new());
            assert!(sends.ring.borrow().is_some(), "this system has io_uring, or glommio would not run");
            if !has_ring {
                *sends.ring.borrow_mut() = None;
            }
            let running = glommio::spawn_local({
                let sends = sends.clone();
                async move { sends.run().await }
            });
            test(sends).await;
            running.cancel().await;
        });
    }
}

/// Sends a batch to each socket in tasks of their own, and waits for all.
async fn send_each(
    sends: &Rc<Sends>,
    sockets: &[(UnixStream, UnixStream)],
    batches: Vec<Batch>,
) -> Vec<(Batch, Sent)> {
    let send = |(socket, batch): (&(UnixStream, UnixStream), Batch)| {
        let (sends, socket) = (sends.clone(), socket.0.try_clone().expect("a further descriptor"));
        glommio::spawn_local(async move { sends.send(socket.as_fd(), &Rc::default(), batch).await })
    };
    let tasks: Vec<_> = sockets.iter().zip(batches).map(send).collect();
    let mut sent = vec![];
    for task in tasks {
        sent.push(task.await);
    }
    sent
}

#[test]
fn each_socket_gets_its_own_batch_however_many_there_are() {
    for count in [1, 2, TOGETHER_MAX, 2 * TOGETHER_MAX + 3] {
        with_sends(|sends| async move {
            let sockets = pairs(count);
            let text = |index: usize| format!("to connection {index}");
            let batches =
                (0..count).map(|index| batch(&[text(index).as_bytes(), b"", b", all of it"])).collect();
            let sent = send_each(&sends, &sockets, batches).await;
            for (index, (sent, socket)) in sent.into_iter().zip(sockets).enumerate() {
                let expected = text(index) + ", all of it";
                assert_eq!(sent.1, Ok(expected.len()));
                assert_eq!(received(socket), expected.as_bytes());
            }
        });
    }
}

#[test]
fn a_full_socket_and_a_closed_one_are_told_apart_and_hold_nobody_up() {
    with_sends(|sends| async move {
        let mut sockets = pairs(3);
        sockets[0].0.set_nonblocking(true).expect("a mode of a socket");
        while sockets[0].0.write(&[0; 4096]).is_ok() {}
        sockets[1].1 = pairs(1).remove(0).0;
        let sent = send_each(&sends, &sockets, (0..3).map(|_| batch(&[b"answer"])).collect()).await;
        let results: Vec<Sent> = sent.iter().map(|(_, sent)| *sent).collect();
        assert_eq!(results, [Err(Errno::AGAIN), Err(Errno::PIPE), Ok(6)]);
        assert!(sent.iter().all(|(batch, _)| batch.bytes() == 6), "what was not sent is given back");
    });
}

#[test]
fn a_socket_takes_what_it_has_room_for() {
    with_sends(|sends| async move {
        let sockets = pairs(2);
        let large = vec![7; 8 << 20];
        let sent = send_each(&sends, &sockets, vec![batch(&[&large]), batch(&[b"small"])]).await;
        let taken = sent[0].1.expect("an empty socket takes something");
        assert!(taken > 0 && taken < large.len(), "{taken}");
        assert_eq!(sent[1].1, Ok(5));
    });
}

#[test]
fn what_is_given_up_before_its_turn_is_not_sent() {
    with_sends(|sends| async move {
        let sockets = pairs(3);
        let outgoing = Rc::default();
        let mut given_up =
            Box::pin(sends.send(sockets[0].0.as_fd(), &outgoing, batch(&[b"nobody wants this"])));
        assert!(futures_lite::future::poll_once(given_up.as_mut()).await.is_none());
        drop(given_up);
        let sent = send_each(&sends, &sockets[1..], vec![batch(&[b"one"]), batch(&[b"two"])]).await;
        assert_eq!(sent.iter().map(|(_, sent)| *sent).collect::<Vec<_>>(), [Ok(3), Ok(3)]);
        // Who gave up may send again.
        let (_, sent) = sends.send(sockets[0].0.as_fd(), &outgoing, batch(&[b"but this"])).await;
        assert_eq!(sent, Ok(8));
        let contents: Vec<Vec<u8>> = sockets.into_iter().map(received).collect();
        assert_eq!(contents, [&b"but this"[..], b"one", b"two"]);
    });
}
