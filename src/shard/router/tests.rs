//! Calls between two real executors: order, answers, dropped askers, and full queues both ways.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

use super::*;

struct Peer {
    router: Router<Peer>,
    seen: RefCell<Vec<u32>>,
    done: Cell<bool>,
}

fn router(peer: &Peer) -> &Router<Peer> {
    &peer.router
}

/// Runs `body` on each of two shards that are joined by a mesh.
fn on_two_shards<F, W>(body: F)
where
    F: Fn(Rc<Peer>) -> W + Clone + Send + 'static,
    W: Future<Output = ()> + 'static,
{
    let threads: Vec<_> = mesh::<Peer>(2)
        .into_iter()
        .map(|mesh| {
            let body = body.clone();
            LocalExecutorBuilder::new(Placement::Unbound)
                .spawn(move || async move {
                    let ends = mesh.join().await.unwrap();
                    let me = ShardId(ends.0.peer_id() as u16);
                    let peer = Rc::new(Peer {
                        router: Router::new(me, 2),
                        seen: RefCell::default(),
                        done: Cell::new(false),
                    });
                    Router::run(&peer, router, ends);
                    body(peer.clone()).await;
                    // Stay until the other shard has its answers too.
                    peer.router.note(ShardId(1 - me.0), |other| other.done.set(true));
                    while !peer.done.get() {
                        glommio::timer::sleep(Duration::from_millis(1)).await;
                    }
                    glommio::timer::sleep(Duration::from_millis(20)).await;
                })
                .unwrap()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn calls_start_in_order_and_answers_find_their_askers() {
    on_two_shards(|peer| async move {
        let other = ShardId(1 - peer.router.me.0);
        let mut answers = vec![];
        for n in 0..3 * CALLS_OPEN_MAX as u32 {
            let credit = peer.router.credit(other).await.unwrap();
            let answer = peer.router.start(credit, move |shard: Rc<Peer>| {
                shard.seen.borrow_mut().push(n);
                async move { n * 2 }
            });
            if n % 3 != 0 {
                answers.push((n, answer)); // Every third asker goes away.
            }
        }
        for (n, answer) in answers {
            assert_eq!(answer.await, Ok(n * 2));
        }
        glommio::timer::sleep(Duration::from_millis(20)).await;
        assert!(peer.seen.borrow().is_sorted());
        assert!(peer.router.open.borrow().is_empty());
    });
}

#[test]
fn slow_work_does_not_hold_up_what_comes_after_it() {
    on_two_shards(|peer| async move {
        let other = ShardId(1 - peer.router.me.0);
        let credit = peer.router.credit(other).await.unwrap();
        let slow =
            peer.router.start(credit, |_| async { glommio::timer::sleep(Duration::from_millis(50)).await });
        let credit = peer.router.credit(other).await.unwrap();
        let quick = peer.router.start(credit, |_| async { 7 });
        assert_eq!(quick.await, Ok(7));
        assert_eq!(slow.await, Ok(()));
    });
}
