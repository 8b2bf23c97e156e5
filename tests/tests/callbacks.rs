//! Objects of a client that its server calls.
#![allow(missing_docs)] // Services of these tests alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipc_rpc::{service, testing};

#[service]
pub trait Progress {
    fn done(&self, part: u64) -> bool;
}

#[service]
pub trait Jobs {
    fn run(&self, parts: u64, progress: &ProgressClient) -> u64;
    fn keep(&self, progress: &ProgressClient) -> u64;
    fn tell(&self, part: u64) -> u64;
    fn forget(&self);
}

#[derive(Default)]
struct Bar {
    sum: AtomicU64,
}

impl Progress for Bar {
    fn done(&self, part: u64) -> bool {
        self.sum.fetch_add(part, Ordering::Relaxed);
        true
    }
}

#[derive(Default)]
struct Worker {
    kept: Mutex<Vec<ProgressClient>>,
}

impl Jobs for Worker {
    fn run(&self, parts: u64, progress: &ProgressClient) -> u64 {
        (1..=parts).map(|part| u64::from(progress.done(part).unwrap())).sum()
    }
    fn keep(&self, progress: &ProgressClient) -> u64 {
        let mut kept = self.kept.lock().unwrap();
        kept.push(progress.clone());
        kept.len() as u64
    }
    fn tell(&self, part: u64) -> u64 {
        self.kept.lock().unwrap().iter().map(|p| u64::from(p.done(part).unwrap())).sum()
    }
    fn forget(&self) {
        self.kept.lock().unwrap().clear();
    }
}

#[test]
fn the_server_calls_while_it_serves() {
    let (client, _server) = testing::pair(JobsDispatcher::new(Worker::default())).unwrap();
    let bar = Arc::new(Bar::default());
    let object = ProgressDispatcher::from_arc(bar.clone());
    assert_eq!(client.run(10, &object).unwrap(), 10);
    assert_eq!(bar.sum.load(Ordering::Relaxed), 55);
    drop(object);
    assert_eq!(Arc::strong_count(&bar), 1);
}

#[test]
fn a_handle_is_kept_and_released() {
    let (client, _server) = testing::pair(JobsDispatcher::new(Worker::default())).unwrap();
    let bar = Arc::new(Bar::default());
    let object = ProgressDispatcher::from_arc(bar.clone());
    assert_eq!(client.keep(&object).unwrap(), 1);
    assert_eq!(client.keep(&object).unwrap(), 2);
    drop(object);
    assert_eq!(Arc::strong_count(&bar), 3);
    assert_eq!(client.tell(7).unwrap(), 2);
    assert_eq!(bar.sum.load(Ordering::Relaxed), 14);
    client.forget().unwrap();
    while Arc::strong_count(&bar) > 1 {
        std::thread::sleep(Duration::from_millis(1));
    }
}
