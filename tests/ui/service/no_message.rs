//! Types that are no messages: rustc says so, at the type.
use ipc_rpc::service;

#[service]
trait Clock {
    fn set(&self, to: std::time::Instant);
}

fn main() {}
