//! What the broker relies on in the patched runtime (`vendor/glommio`, `docs/decisions/0010`): no timer and no message is lost on
//! the way into sleep, and a sleeping executor does nothing.
//!
//! Key invariant: each test fails by itself; a lost wake-up is found by a bound far beyond what a busy host needs.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::channels::channel_mesh::{Full, MeshBuilder};
use glommio::{LocalExecutorBuilder, Placement};

/// After this long something was lost.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// Runs `work` on a thread of its own; fails if it does not come to its end.
fn ends<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(LOST_AFTER).unwrap_or_else(|_| panic!("{what}: lost"))
}

fn on_executor<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let builder = LocalExecutorBuilder::new(Placement::Unbound).io_memory(1 << 20);
    builder.spawn(move || work()).expect("an executor").join().expect("it ends")
}

/// CPU time of this thread.
fn thread_cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), spent.tv_nsec as u32)
}

#[test]
fn timers_that_are_due_on_the_way_into_sleep_fire() {
    let slept = ends("a timer", || {
        on_executor(async || {
            let mut slept = 0;
            for round in 0..20_000_u64 {
                // From due at once to a little more than the way into sleep takes.
                glommio::timer::sleep(Duration::from_nanos(round * 37 % 60_000)).await;
                slept += 1;
            }
            slept
        })
    });
    assert_eq!(slept, 20_000);
}

#[test]
fn timers_of_different_lengths_each_keep_their_time() {
    ends("a timer", || {
        on_executor(async || {
            let begun = Instant::now();
            let tasks: Vec<_> = (0..200_u64)
                .map(|n| {
                    glommio::spawn_local(async move {
                        let length = Duration::from_micros(n * n % 40_000);
                        glommio::timer::sleep(length).await;
                        assert!(begun.elapsed() >= length);
                    })
                })
                .collect();
            for task in tasks {
                task.await;
            }
        });
    });
}

#[test]
fn what_a_socket_brings_is_read_while_long_timers_wait() {
    const ROUNDS: usize = 300;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut bytes = [0; 100];
        while std::io::Read::read_exact(&mut stream, &mut bytes).is_ok() {
            // Long enough for the other side to be asleep.
            std::thread::sleep(Duration::from_millis(2));
            std::io::Write::write_all(&mut stream, &bytes).expect("it is read");
        }
    });
    let rounds = ends("an answer", move || {
        on_executor(async move || {
            let mut stream = glommio::net::TcpStream::connect(address).await.expect("it listens");
            for round in 0..ROUNDS {
                let exchange = async {
                    stream.write_all(&[round as u8; 100]).await?;
                    let mut answer = [0; 100];
                    stream.read_exact(&mut answer).await?;
                    Ok(answer[0])
                };
                let length = Duration::from_secs(30 - round as u64 % 20);
                let answer: Result<u8, glommio::GlommioError<()>> =
                    glommio::timer::timeout(length, exchange).await;
                assert_eq!(answer.expect("in time"), round as u8);
            }
            ROUNDS
        })
    });
    assert_eq!(rounds, ROUNDS);
    echo.join().expect("it ends with its connection");
}

#[test]
fn no_message_between_sleeping_executors_is_lost() {
    const MESSAGES: u64 = 20_000;
    let mesh = MeshBuilder::full(2, 8);
    let leaked = mesh.clone();
    std::mem::forget(leaked);
    let peer = |mesh: MeshBuilder<u64, Full>| {
        on_executor(async move || {
            let (senders, mut receivers) = mesh.join().await.expect("both join");
            let (_, receiver) = receivers.streams().pop().expect("one peer");
            let other = 1 - senders.peer_id();
            if senders.peer_id() == 0 {
                senders.send_to(other, 0).await.expect("the peer is there");
            }
            let mut last = 0;
            // Each message goes back and forth, so both sleep at each.
            while let Some(message) = receiver.recv().await {
                last = message;
                if message >= MESSAGES || senders.send_to(other, message + 1).await.is_err() {
                    break;
                }
            }
            last
        })
    };
    let other = mesh.clone();
    let last = ends("a message", move || {
        let thread = std::thread::spawn(move || peer(other));
        let mine = peer(mesh);
        mine.max(thread.join().expect("the peer ends"))
    });
    assert_eq!(last, MESSAGES);
}

#[test]
fn an_executor_that_has_nothing_to_do_sleeps() {
    let (elapsed, spent) = ends("the end of a sleep", || {
        on_executor(async || {
            let (begun, before) = (Instant::now(), thread_cpu());
            for _ in 0..4 {
                glommio::timer::sleep(Duration::from_millis(250)).await;
            }
            (begun.elapsed(), thread_cpu() - before)
        })
    });
    assert!(spent < elapsed / 4, "{spent:?} of CPU in {elapsed:?}");
}
