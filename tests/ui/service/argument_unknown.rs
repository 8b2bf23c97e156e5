use ipc_rpc::service;

#[service(version = 2, retry, crate = ::ipc_rpc, timeout(5))]
trait Store {
    fn put(&self, value: u8);
}

#[service(crate = "ipc_rpc")]
trait Quoted {
    fn put(&self, value: u8);
}

#[service(crate)]
trait Bare {
    fn put(&self, value: u8);
}

#[service(crate = ipc_rpc, crate = ipc_rpc)]
trait Twice {
    fn put(&self, value: u8);
}

#[service]
#[rpc(name = "store")]
trait Misplaced {
    fn put(&self, value: u8);
}

fn main() {}
