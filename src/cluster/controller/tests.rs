//! Tests of the controller: what is answered, in what order with durability and publication.

use super::*;
use crate::metadata::ClusterId;
use crate::metadata::plan::{AllocateProducerIds, CreateTopics, InitCluster, NewTopic, StartBroker};
use crate::model::{BrokerId, ProducerId};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

const NODE: BrokerId = BrokerId(1);

/// A listener that remembers what it was told, and how it answers.
#[derive(Clone, Default)]
struct Listener {
    told: Rc<RefCell<Vec<Arc<Image>>>>,
    silent: bool,
}

impl ImageSink for Listener {
    fn publish(&self, image: Arc<Image>) -> Published {
        self.told.borrow_mut().push(image);
        if self.silent { Box::pin(std::future::pending()) } else { Box::pin(async { true }) }
    }
}

fn controller(directory: &Path) -> (Controller, ControllerHandle) {
    let (store, image) = Store::open(directory, NODE).expect("the store opens");
    let mut id = u128::from(store.term()) << 64;
    let new_id = Box::new(move || {
        id += 1;
        uuid::Uuid::from_u128(id)
    });
    let (mut controller, handle) = Controller::new(ControllerParts {
        store,
        image,
        settings: Arc::new(BrokerSettings::default()),
        new_id,
    });
    let init = InitCluster { cluster_id: ClusterId(uuid::Uuid::from_u128(3)), features: Default::default() };
    controller.submit_at_start(init).expect("the store works").expect("it is accepted");
    let start = StartBroker { broker: NODE, endpoints: Vec::new(), rack: None };
    controller.submit_at_start(start).expect("the store works").expect("it is accepted");
    (controller, handle)
}

fn create(name: &str) -> CreateTopics {
    CreateTopics { topics: vec![NewTopic::with_defaults(name)], validate_only: false }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().expect("a runtime can be built").block_on(work)
}

#[test]
fn a_change_is_durable_and_published_before_it_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let (controller, handle) = controller(directory.path());
    let listener = Listener::default();
    let told = Rc::clone(&listener.told);
    run(async {
        let work = async {
            let created = handle.submit(create("a")).await.expect("the request is taken");
            assert!(created[0].1.is_ok());
            assert!(told.borrow().last().is_some_and(|image| image.topic("a").is_some()));
            assert!(handle.image().topic("a").is_some());
            drop(handle);
        };
        tokio::join!(controller.run(vec![Box::new(listener)], std::future::pending()), work);
    });
    let (_, image) = Store::open(directory.path(), NODE).expect("the store opens");
    assert!(image.topic("a").is_some());
}

#[test]
fn many_requests_share_a_commit_and_see_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let (controller, handle) = controller(directory.path());
    let listener = Listener::default();
    let told = Rc::clone(&listener.told);
    run(async {
        let work = async {
            let block = || handle.submit(AllocateProducerIds { broker: NODE });
            let (a, again, one, two) =
                tokio::join!(handle.submit(create("a")), handle.submit(create("a")), block(), block());
            assert!(a.unwrap()[0].1.is_ok());
            assert_eq!(again.unwrap()[0].1.as_ref().unwrap_err().reason, Reason::TopicAlreadyExists);
            let firsts = [one.unwrap().first, two.unwrap().first];
            assert_eq!(firsts, [ProducerId(0), ProducerId(1000)]);
            drop(handle);
        };
        tokio::join!(work, controller.run(vec![Box::new(listener)], std::future::pending()));
    });
    assert_eq!(told.borrow().len(), 1, "one image was published for all of them");
}

#[test]
fn requests_that_change_nothing_publish_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (controller, handle) = controller(directory.path());
    let listener = Listener::default();
    let told = Rc::clone(&listener.told);
    run(async {
        let work = async {
            let request = CreateTopics { validate_only: true, ..create("a") };
            assert!(handle.submit(request).await.unwrap()[0].1.is_ok());
            drop(handle);
        };
        tokio::join!(work, controller.run(vec![Box::new(listener)], std::future::pending()));
    });
    assert_eq!(told.borrow().len(), 0);
}

#[test]
fn a_silent_shard_delays_an_answer_but_not_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let (mut controller, handle) = controller(directory.path());
    controller.ack_wait = Duration::from_millis(50);
    let silent = Listener { silent: true, ..Listener::default() };
    run(async {
        let work = async {
            let before = tokio::time::Instant::now();
            assert!(handle.submit(create("a")).await.unwrap()[0].1.is_ok());
            assert!(before.elapsed().as_millis() >= 50);
            drop(handle);
        };
        tokio::join!(work, controller.run(vec![Box::new(silent)], std::future::pending()));
    });
}

#[test]
fn a_full_queue_is_a_refusal_that_may_be_retried() {
    let directory = tempfile::tempdir().unwrap();
    let (controller, handle) = controller(directory.path());
    run(async {
        let mut waiting: Vec<_> = (0..QUEUED_REQUESTS_MAX)
            .map(|_| Box::pin(handle.submit(AllocateProducerIds { broker: NODE })))
            .collect();
        for request in &mut waiting {
            assert!(futures_lite::future::poll_once(request).await.is_none(), "it waits");
        }
        let refusal = handle.submit(create("a")).await.unwrap_err();
        assert_eq!((refusal.reason, refusal.reason.is_retriable()), (Reason::Busy, true));
        drop(controller);
        for request in waiting {
            assert_eq!(request.await.unwrap_err().reason, Reason::Stopping);
        }
        assert_eq!(handle.submit(create("a")).await.unwrap_err().reason, Reason::Stopping);
    });
}

#[test]
fn the_controller_stops_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let (controller, handle) = controller(directory.path());
    run(controller.run(Vec::new(), std::future::ready(())));
    assert_eq!(run(handle.submit(create("a"))).unwrap_err().reason, Reason::Stopping);
}

#[test]
fn each_start_raises_the_leader_epochs() {
    let directory = tempfile::tempdir().unwrap();
    for start in 0..3 {
        let (controller, handle) = controller(directory.path());
        if start == 0 {
            run(async {
                let work = async {
                    handle.submit(create("a")).await.expect("the request is taken");
                    drop(handle);
                };
                tokio::join!(work, controller.run(Vec::new(), std::future::pending()));
            });
        } else {
            let epoch = handle.image().topic("a").expect("it was created").partitions[0].leader_epoch;
            assert_eq!(epoch.get(), start);
        }
    }
}

#[test]
fn after_a_failed_write_nothing_is_accepted_or_published() {
    let device = crate::cluster::store::simulated::Device::default();
    let database = redb::Builder::new().create_with_backend(device.clone()).expect("a new database opens");
    let (store, image) = Store::over(database, Path::new("simulated"), NODE).expect("a new store opens");
    let settings = Arc::new(BrokerSettings::default());
    let new_id = Box::new(|| uuid::Uuid::from_u128(7));
    let (mut controller, handle) = Controller::new(ControllerParts { store, image, settings, new_id });
    let start = StartBroker { broker: NODE, endpoints: Vec::new(), rack: None };
    controller.submit_at_start(start).expect("the store works").expect("it is accepted");
    let listener = Listener::default();
    let told = Rc::clone(&listener.told);
    device.fail();
    run(async {
        let work = async {
            for name in ["a", "b"] {
                let refusal = handle.submit(create(name)).await.expect_err("nothing can be written");
                assert_eq!(refusal.reason, Reason::StoreFailed);
            }
            assert_eq!(handle.image().topic_count(), 0, "what is not durable is not seen");
            drop(handle);
        };
        tokio::join!(work, controller.run(vec![Box::new(listener)], std::future::pending()));
    });
    assert_eq!(told.borrow().len(), 0);
}
