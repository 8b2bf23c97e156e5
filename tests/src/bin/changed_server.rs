//! Serves services that share their names with those of the tests, but were built from other versions of their traits.

use ipc_rpc::{Message, Server, service};
use ipc_rpc_tests::helper;

/// `b` was an `i64`.
#[service]
trait Calc {
    fn add(&self, a: i64, b: i32) -> i64;
}

#[derive(Message)]
struct WorkError {
    code: i64,
    reason: String,
}

/// One method is the same, one has another type deep in its result, the others are missing or new.
#[service]
trait Work {
    fn brand_new(&self) -> u8;
    fn fail(&self, code: i32) -> Result<String, WorkError>;
    fn runs(&self) -> u64;
}

struct Changed;

impl Calc for Changed {
    fn add(&self, a: i64, b: i32) -> i64 {
        a.wrapping_add(b.into())
    }
}

impl Work for Changed {
    fn brand_new(&self) -> u8 {
        1
    }
    fn fail(&self, code: i32) -> Result<String, WorkError> {
        Err(WorkError { code: code.into(), reason: String::new() })
    }
    fn runs(&self) -> u64 {
        4711
    }
}

fn main() {
    let name = std::env::args().nth(1).expect("a name");
    let server = Server::builder().service(CalcDispatcher::new(Changed)).service(WorkDispatcher::new(Changed));
    let server = server.bind(&name).expect("a free name");
    helper::live_no_longer_than_the_test(|_| {});
    println!("bound");
    server.run().expect("a serving server");
}
