//! Every mistake of a trait is reported in one compile, and code that uses the service adds none.
use ipc_rpc::service;

#[service(retries = 3)]
pub unsafe trait Store: Send {
    const LIMIT: u32;
    fn put<T>(&self, key: &str, value: T);
    fn get(&self, key: &str) -> &[u8];
    fn swap(&mut self, (key, value): (String, Vec<u8>)) -> Vec<u8>;
    fn len(&self) -> u64;
    fn view(&self, at: usize) -> impl Iterator<Item = u8>;
}

struct Server;

unsafe impl Store for Server {
    const LIMIT: u32 = 1;
    fn put<T>(&self, _: &str, _: T) {}
    fn get(&self, _: &str) -> &[u8] {
        &[]
    }
    fn swap(&mut self, (_, value): (String, Vec<u8>)) -> Vec<u8> {
        value
    }
    fn len(&self) -> u64 {
        0
    }
    fn view(&self, _: usize) -> impl Iterator<Item = u8> {
        std::iter::empty()
    }
}

fn main() {
    let _ = StoreDispatcher::new(Server);
    let client = StoreClient::connect("store").unwrap();
    let _: u64 = client.len().unwrap();
    let _ = client.view().len();
    let _ = client.clone().with_timeout(std::time::Duration::from_millis(1));
}
