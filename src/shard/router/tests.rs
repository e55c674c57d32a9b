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

/// A shard whose calls nobody carries.
fn alone() -> Rc<Peer> {
    Rc::new(Peer { router: Router::new(ShardId(0), 2), seen: RefCell::default(), done: Cell::new(false) })
}

/// Runs the call that was made last, on the shard that made it, and brings its answer back.
async fn carry(peer: &Rc<Peer>) {
    let calls = peer.router.peers[1].outbox.take();
    for call in calls {
        let Envelope::Call { id, job } = call else { panic!("only calls were made") };
        job.start(peer, Asker { router, shard: ShardId(1), id });
    }
    glommio::timer::sleep(Duration::from_millis(1)).await;
    for answer in peer.router.peers[1].outbox.take() {
        Router::deliver(peer, router, ShardId(1), answer);
    }
}

#[test]
fn a_call_is_forgotten_whenever_its_asker_goes_away() {
    glommio::LocalExecutor::default().run(async {
        let peer = alone();
        let credit = async || peer.router.credit(ShardId(1)).await.unwrap();
        let call = |credit| peer.router.start(credit, |_: Rc<Peer>| async { 7 });
        let free = || peer.router.peers[1].credits.available();
        // Before the answer, after it, and never.
        drop(call(credit().await));
        assert_eq!((peer.router.open.borrow().len(), free()), (1, CALLS_OPEN_MAX - 1));
        carry(&peer).await;
        assert_eq!((peer.router.open.borrow().len(), free()), (0, CALLS_OPEN_MAX));
        let reply = call(credit().await);
        carry(&peer).await;
        assert_eq!((peer.router.open.borrow().len(), free()), (1, CALLS_OPEN_MAX));
        drop(reply);
        assert!(peer.router.open.borrow().is_empty());
        let reply = call(credit().await);
        carry(&peer).await;
        assert_eq!(reply.await, Ok(7));
        assert!(peer.router.open.borrow().is_empty());
    });
}

#[test]
fn an_asker_learns_that_its_shard_ends() {
    glommio::LocalExecutor::default().run(async {
        let peer = alone();
        let credit = peer.router.credit(ShardId(1)).await.unwrap();
        let reply = peer.router.start(credit, |_: Rc<Peer>| async { 7 });
        let asker = glommio::spawn_local(reply);
        glommio::timer::sleep(Duration::from_millis(1)).await;
        drop(peer);
        assert_eq!(asker.await, Err(ShardGone));
    });
}
