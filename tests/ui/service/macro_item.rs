use ipc_rpc::service;

macro_rules! methods {
    ($t:ty) => {
        fn generated(&self) -> $t;
    };
}

#[service]
trait Store {
    methods!(u8);
    fn put(&self);
}

fn main() {}
