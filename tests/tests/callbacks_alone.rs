//! What clients that lend leave behind in their own process. These tests look at the whole process, so they take turns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipc_rpc::Server;
use ipc_rpc_tests::callbacks::{Bar, Desk, JobsClient, JobsDispatcher, Progress, ProgressDispatcher};
use ipc_rpc_tests::helper::{Helper, Place, settled, until};
use ipc_rpc_tests::proc;

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_test_client");

static TURN: Mutex<()> = Mutex::new(());

/// Does a thread of this process run that could be called back on? They end by themselves, some time after their client.
fn is_called() -> bool {
    proc::threads(std::process::id()).iter().any(|t| t.name.starts_with("ipc-rpc worker"))
}

/// The descriptors of this process.
fn own_descriptors() -> Vec<String> {
    proc::descriptors(std::process::id())
}

/// How many threads of this process have this name.
fn threads(name: &str) -> usize {
    proc::threads(std::process::id()).iter().filter(|t| t.name.starts_with(name)).count()
}

struct Scene {
    place: Place,
    server: Helper,
    descriptors: Vec<String>,
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    fn set(test: &'static str, options: &[&str]) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let place = Place::new(test);
        let server = place.serve(SERVER, options);
        // Its first callback starts the thread that listens for callers, which stays.
        let jobs = JobsClient::connect(place.socket()).unwrap();
        assert_eq!(jobs.run(1, &ProgressDispatcher::new(Bar::default())).unwrap(), 1);
        drop(jobs);
        let descriptors = settled(&place, &server);
        Scene { place, server, descriptors, _turn: turn }
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

/// Holds the client that lends it, and drops it when it is called.
struct Suicide(Mutex<Option<JobsClient>>);

impl Progress for Suicide {
    fn done(&self, _part: u64) -> u64 {
        *self.0.lock().unwrap() = None;
        1
    }
    fn note(&self, _part: u64) {}
    fn pass(&self, _gate: &str) {}
    fn echo(&self, _bytes: &[u8]) -> Vec<u8> {
        Vec::new()
    }
}

#[test]
fn a_client_may_go_on_a_thread_of_its_own_callbacks() {
    let scene = Scene::set("a_client_may_go_on_a_thread_of_its_own_callbacks", &["workers=1"]);
    until(|| !is_called());
    let before = own_descriptors();
    for _ in 0..20 {
        let jobs = scene.jobs();
        let object = Arc::new(Suicide(Mutex::new(None)));
        jobs.keep(&ProgressDispatcher::from_arc(object.clone())).unwrap();
        *object.0.lock().unwrap() = Some(jobs);
        let other = scene.jobs();
        // What it answers may or may not arrive.
        let (done, failed) = other.tell(1).unwrap();
        assert_eq!(done + failed.len() as u64, 1);
        assert!(object.0.lock().unwrap().is_none());
        other.forget().unwrap();
        drop(other);
        until(|| Arc::strong_count(&object) == 1);
    }
    until(|| !is_called() && own_descriptors() == before);
    scene.end();
}

#[test]
fn a_client_that_is_dropped_takes_its_objects_along() {
    let scene = Scene::set("a_client_that_is_dropped_takes_its_objects_along", &[]);
    until(|| !is_called());
    let before = own_descriptors();
    let bar = Arc::new(Bar::default());
    let object = ProgressDispatcher::from_arc(bar.clone());
    let jobs = scene.jobs();
    jobs.keep(&object).unwrap();
    drop(jobs);
    assert_eq!(Arc::strong_count(&bar), 2);
    let jobs = scene.jobs();
    until(|| {
        jobs.tell(1).unwrap()
            == (0, vec!["the server of Progress is gone; Progress::done has not run: repeat the call later".into()])
    });
    jobs.forget().unwrap();
    drop(jobs);
    until(|| !is_called() && own_descriptors() == before);
    scene.end();
}

#[test]
fn handles_that_are_released_wait_for_a_silent_client_in_one_thread() {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let place = Place::new("handles_that_are_released_wait_for_a_silent_client_in_one_thread");
    let desk = Arc::new(Desk::default());
    let server = Server::builder().service(JobsDispatcher::from_arc(desk.clone())).bind(place.socket()).unwrap();
    let handle = server.handle();
    std::thread::scope(|scope| {
        scope.spawn(|| server.run().unwrap());
        let mut client = place.start(CLIENT, &["lend", &place.socket(), "400"]);
        assert_eq!(client.line(), "lent");
        assert_eq!(handle.usage().callbacks, 400);
        client.stop();
        // More than there are blocks.
        JobsClient::connect(place.socket()).unwrap().forget().unwrap();
        assert_eq!(handle.usage().callbacks, 0);
        // A thread has its name only once it runs.
        until(|| threads("ipc-rpc release") > 0);
        assert_eq!(threads("ipc-rpc release"), 1);
        client.go_on();
        until(|| threads("ipc-rpc release") == 0);
        // It goes on answering.
        let other = JobsClient::connect(place.socket()).unwrap();
        assert_eq!(other.run(3, &ProgressDispatcher::new(Bar::default())).unwrap(), 3);
        handle.shutdown();
    });
    drop(turn);
}
