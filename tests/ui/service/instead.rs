//! What services have for streams, futures and closures.
use std::future::Future;

use ipc_rpc::service;

#[service]
trait Files {
    fn lines(&self, path: &str) -> impl Iterator<Item = String>;
    fn read(&self, path: &str) -> impl Future<Output = Vec<u8>> + Send;
    fn later(&self, path: &str) -> Box<dyn Future<Output = Vec<u8>>>;
    fn write(&self, lines: impl IntoIterator<Item = String>);
    fn each(&self, then: impl Fn(String));
    fn all(&self, then: &dyn Fn(String), other: Box<dyn FnMut(u8)>);
}

fn main() {}
