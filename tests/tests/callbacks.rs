//! Objects of a client that its server calls.

use std::sync::Arc;
use std::time::Duration;

use ipc_rpc::{CallError, ClientConfig, Server, Trust, testing};
use ipc_rpc_tests::callbacks::{
    Bar, Climber, Desk, DownClient, DownDispatcher, JobsClient, JobsDispatcher, ProgressDispatcher, UpDispatcher,
};
use ipc_rpc_tests::helper::{Helper, Place, settled, until};
use ipc_rpc_tests::proc;

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_test_client");

/// An object that counts, and the dispatcher that lends it.
fn object() -> (Arc<Bar>, ProgressDispatcher<Bar>) {
    let bar = Arc::new(Bar::default());
    (bar.clone(), ProgressDispatcher::from_arc(bar))
}

/// Nobody but the test and its dispatcher has the object.
fn is_free(bar: &Arc<Bar>) -> bool {
    Arc::strong_count(bar) == 2
}

struct Scene {
    place: Place,
    server: Helper,
    descriptors: Vec<String>,
}

impl Scene {
    fn set(test: &'static str, options: &[&str]) -> Self {
        let place = Place::new(test);
        let server = place.serve(SERVER, options);
        // Its first callback starts the thread that listens for callers, which stays.
        let jobs = JobsClient::connect(place.socket()).unwrap();
        assert_eq!(jobs.run(1, &object().1).unwrap(), 1);
        drop(jobs);
        let descriptors = settled(&place, &server);
        Scene { place, server, descriptors }
    }

    fn jobs(&self) -> JobsClient {
        JobsClient::connect(self.place.socket()).unwrap()
    }

    /// Nothing of its clients is left in the server.
    fn end(self) {
        let pid = self.server.pid();
        until(|| proc::segments(pid) == 0 && proc::descriptors(pid) == self.descriptors);
    }
}

#[test]
fn a_server_calls_while_it_serves() {
    let scene = Scene::set("a_server_calls_while_it_serves", &["workers=1"]);
    let jobs = scene.jobs();
    let (bar, object) = object();
    for round in 1..=50 {
        assert_eq!(jobs.run(10, &object).unwrap(), round * 10);
        assert_eq!(bar.sum(), round * 55);
        // The server has dropped its handle, and no message was needed to say so.
        assert!(is_free(&bar));
    }
    drop(jobs);
    scene.end();
}

#[test]
fn every_trust_level_works_both_ways() {
    let scene = Scene::set("every_trust_level_works_both_ways", &["workers=1"]);
    let (bar, object) = object();
    for trust in [Trust::InPlace, Trust::Snapshot] {
        let config = ClientConfig { trust: Some(trust), ..ClientConfig::default() };
        let jobs = JobsClient::connect_with(scene.place.socket(), &config).unwrap();
        for len in [0, 1, 1000, 1 << 20] {
            let bytes = vec![7; len];
            assert_eq!(jobs.echo(&bytes, &object).unwrap(), bytes);
        }
        let builder = Server::builder().trust(trust).service(JobsDispatcher::new(Desk::default()));
        let path = scene.place.join("own.sock");
        let server = builder.bind(&path).unwrap();
        let handle = server.handle();
        std::thread::scope(|scope| {
            scope.spawn(|| server.run().unwrap());
            let jobs = JobsClient::connect_with(&path, &config).unwrap();
            assert_eq!(jobs.echo(&[1; 5000], &object).unwrap(), [1; 5000]);
            assert!(jobs.both(&object, &object).unwrap() > 0);
            handle.shutdown();
        });
    }
    assert!(is_free(&bar));
    scene.end();
}

#[test]
fn a_kept_handle_lives_until_the_server_drops_it() {
    let scene = Scene::set("a_kept_handle_lives_until_the_server_drops_it", &["workers=1"]);
    let jobs = scene.jobs();
    let (bar, object) = object();
    for _ in 0..3 {
        jobs.keep(&object).unwrap();
    }
    assert_eq!(jobs.kept().unwrap(), 3);
    assert_eq!(Arc::strong_count(&bar), 5);
    for n in 1..=20 {
        assert_eq!(jobs.tell(7).unwrap(), (3, vec![]));
        assert_eq!(bar.sum(), n * 21);
    }
    jobs.forget().unwrap();
    until(|| is_free(&bar));
    // A panic loses nothing: the handle was kept before.
    assert!(matches!(jobs.keep_and_panic(&object), Err(CallError::Panicked { .. })));
    assert_eq!(Arc::strong_count(&bar), 3);
    assert_eq!(jobs.tell(1).unwrap(), (1, vec![]));
    jobs.forget().unwrap();
    until(|| is_free(&bar));
    drop(jobs);
    scene.end();
}

#[test]
fn one_way_calls_arrive_before_the_object_is_taken_back() {
    let scene = Scene::set("one_way_calls_arrive_before_the_object_is_taken_back", &["workers=1"]);
    let jobs = scene.jobs();
    let (bar, object) = object();
    for round in 1..=20 {
        jobs.notes(10, &object).unwrap();
        assert_eq!(bar.sum(), round * 55);
        assert!(is_free(&bar));
    }
    for _ in 0..10 {
        jobs.keep(&object).unwrap();
    }
    jobs.tell_last(1000).unwrap();
    until(|| is_free(&bar));
    assert_eq!(bar.sum(), 20 * 55 + 10 * 1000);
    drop(jobs);
    scene.end();
}

#[test]
fn calls_back_and_forth_need_one_thread_on_each_side() {
    let scene = Scene::set("calls_back_and_forth_need_one_thread_on_each_side", &["workers=1"]);
    let down = DownClient::connect(scene.place.socket()).unwrap();
    for depth in [0, 1, 2, 3, 8, 20] {
        assert_eq!(down.down(depth, &UpDispatcher::new(Climber(down.clone()))).unwrap(), 2 * depth);
    }
    drop(down);
    scene.end();
    // As a pair in one process, and from several threads at once.
    let (down, _server) = testing::pair(DownDispatcher::new(Desk::default())).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for depth in 0..6 {
                    assert_eq!(down.down(depth, &UpDispatcher::new(Climber(down.clone()))).unwrap(), 2 * depth);
                }
            });
        }
    });
}

#[test]
fn many_objects_at_once() {
    let scene = Scene::set("many_objects_at_once", &[]);
    let jobs = scene.jobs();
    let kept: Vec<_> = (0..200).map(|_| object()).collect();
    for (_, object) in &kept {
        jobs.keep(object).unwrap();
    }
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let jobs = jobs.clone();
                let ((a, first), (b, second)) = (object(), object());
                for round in 1..=100 {
                    assert_eq!(jobs.both(&first, &second).unwrap(), 2 * round);
                    assert!(is_free(&a) && is_free(&b));
                }
                assert_eq!((a.sum(), b.sum()), (100, 200));
            });
        }
    });
    assert_eq!(jobs.tell(5).unwrap(), (200, vec![]));
    assert!(kept.iter().all(|(bar, _)| bar.sum() == 5));
    jobs.forget().unwrap();
    until(|| kept.iter().all(|(bar, _)| is_free(bar)));
    drop(jobs);
    scene.end();
}

#[test]
fn a_call_that_fails_takes_its_object_back() {
    let scene = Scene::set("a_call_that_fails_takes_its_object_back", &["workers=1"]);
    let jobs = scene.jobs();
    let (bar, object) = object();
    // It times out while the server has its handle, and keeps it in vain.
    let gate = scene.place.join("gate");
    let error = jobs.with_timeout(Duration::from_millis(100)).keep_and_wait(&gate, &object).unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }), "{error}");
    assert!(is_free(&bar));
    std::fs::write(&gate, "").unwrap();
    until(|| jobs.kept().unwrap() == 1);
    let (done, failed) = jobs.tell(1).unwrap();
    assert_eq!((done, failed.len(), bar.sum()), (0, 1, 0));
    assert!(failed[0].contains("Progress::done: the object is not lent any more"), "{failed:?}");
    jobs.forget().unwrap();
    // It is not sent: no block is free.
    let config = ClientConfig { blocks: 1, ..ClientConfig::default() };
    let small = JobsClient::connect_with(scene.place.socket(), &config).unwrap();
    let held = small.view().kept().unwrap();
    let error = small.with_timeout(Duration::from_millis(20)).keep(&object).unwrap_err();
    assert!(matches!(error, CallError::Busy { .. }), "{error}");
    assert!(is_free(&bar));
    drop((held, small, jobs));
    scene.end();
}

#[test]
fn a_server_that_is_killed_in_a_callback() {
    let mut scene = Scene::set("a_server_that_is_killed_in_a_callback", &["workers=1"]);
    let jobs = scene.jobs();
    let (bar, kept) = object();
    jobs.keep(&kept).unwrap();
    assert_eq!(Arc::strong_count(&bar), 3);
    let gate = scene.place.join("gate");
    let (other, object) = object();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| jobs.pass(&gate, &object).unwrap_err());
        until(|| std::path::Path::new(&format!("{gate}.begun")).exists());
        scene.server.kill();
        // The callback goes on, the call is over.
        let error = call.join().unwrap();
        assert!(matches!(error, CallError::MayHaveRun { .. }), "{error}");
        std::fs::write(&gate, "").unwrap();
    });
    until(|| is_free(&bar) && is_free(&other));
    assert!(matches!(jobs.keep(&kept), Err(CallError::NotStarted { .. })));
    assert!(is_free(&bar));
}

#[test]
fn a_client_that_is_killed_in_a_callback() {
    let place = Place::new("a_client_that_is_killed_in_a_callback");
    let desk = Arc::new(Desk::default());
    let server = Server::builder().workers(1).service(JobsDispatcher::from_arc(desk.clone())).bind(place.socket());
    let server = server.unwrap();
    let handle = server.handle();
    std::thread::scope(|scope| {
        scope.spawn(|| server.run().unwrap());
        let mut keeper = place.start(CLIENT, &["lend", &place.socket(), "2"]);
        assert_eq!(keeper.line(), "lent");
        let gate = place.join("gate");
        let mut client = place.start(CLIENT, &["pass", &place.socket(), &gate]);
        until(|| std::path::Path::new(&format!("{gate}.begun")).exists());
        client.kill();
        until(|| !desk.passed().is_empty());
        let passed = desk.passed();
        assert!(passed[0].contains("ended while it worked on Progress::pass"), "{passed:?}");
        // Handles of a client that is gone fail at once; those of others do not.
        let jobs = JobsClient::connect(place.socket()).unwrap();
        let (bar, object) = object();
        jobs.keep(&object).unwrap();
        assert_eq!(jobs.tell(1).unwrap(), (3, vec![]));
        keeper.kill();
        until(|| jobs.tell(1).unwrap().0 == 1);
        let (_, failed) = jobs.tell(1).unwrap();
        assert!(failed.len() == 2 && failed[0].contains("Progress::done has not run"), "{failed:?}");
        jobs.forget().unwrap();
        until(|| is_free(&bar));
        handle.shutdown();
    });
}

#[test]
fn nothing_is_scheduled_while_objects_are_lent_and_not_called() {
    let scene = Scene::set("nothing_is_scheduled_while_objects_are_lent_and_not_called", &[]);
    let mut client = scene.place.start(CLIENT, &["lend", &scene.place.socket(), "3"]);
    assert_eq!(client.line(), "lent");
    std::thread::sleep(Duration::from_secs(1));
    let switches = || [scene.server.pid(), client.pid()].map(proc::switches);
    let before = switches();
    assert!(before.iter().all(|threads| !threads.is_empty()));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(switches(), before);
    client.kill();
    let jobs = scene.jobs();
    jobs.forget().unwrap();
    drop(jobs);
    scene.end();
}

#[test]
fn a_pair_calls_back_too() {
    let (jobs, server) = testing::pair(JobsDispatcher::new(Desk::default())).unwrap();
    let (bar, object) = object();
    assert_eq!(jobs.run(10, &object).unwrap(), 10);
    jobs.keep(&object).unwrap();
    assert_eq!(jobs.tell(3).unwrap(), (1, vec![]));
    assert_eq!(bar.sum(), 58);
    // The server goes with its handles.
    drop(server);
    until(|| is_free(&bar));
}

#[test]
fn a_clone_that_is_dropped_elsewhere_releases() {
    struct Thrower;
    impl ipc_rpc_tests::callbacks::Down for Thrower {
        fn down(&self, depth: u32, up: &ipc_rpc_tests::callbacks::UpClient) -> Result<u32, String> {
            let up = up.clone();
            let later = std::thread::spawn(move || (0..depth).map(|n| up.up(n).unwrap()).sum());
            // Both ways: gone before the answer, and gone after it.
            if depth.is_multiple_of(2) { Ok(later.join().unwrap()) } else { Ok(0) }
        }
    }
    let (down, _server) = testing::pair(DownDispatcher::new(Thrower)).unwrap();
    struct Echo;
    impl ipc_rpc_tests::callbacks::Up for Echo {
        fn up(&self, depth: u32) -> Result<u32, String> {
            Ok(depth)
        }
    }
    let object = Arc::new(Echo);
    for depth in 0..40 {
        let sum = down.down(depth, &UpDispatcher::from_arc(object.clone())).unwrap();
        assert_eq!(sum, if depth.is_multiple_of(2) { (0..depth).sum() } else { 0 });
    }
    until(|| Arc::strong_count(&object) == 1);
}
