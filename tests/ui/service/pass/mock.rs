//! A mock does what its closures do, and says which closure is missing.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use ipc_rpc::service;

#[service(mock)]
trait Store: Send {
    fn get(&self, key: &str, list: &[u8]) -> Option<String>;
    fn r#match(&self);
    #[cfg(any())]
    fn gone(&self, missing: NoSuchType);
    async fn put(&self, key: &str, value: String) -> Result<u64, String>;
    fn forgotten(&self, n: u8) -> u8 {
        n
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("not ready"),
    }
}

fn main() {
    let mock = StoreMock::new()
        .on_get(|key, list| (list.len() == 1).then(|| key.to_owned()))
        .on_put(|key, value| if key.is_empty() { Err(value) } else { Ok(value.len() as u64) })
        .on_match(|| {});
    assert_eq!(mock.get("a", b"x"), Some("a".to_owned()));
    assert_eq!(mock.get("a", b""), None);
    assert_eq!(now(mock.put("a", "abc".to_owned())), Ok(3));
    assert_eq!(now(mock.put("", "abc".to_owned())), Err("abc".to_owned()));
    mock.r#match();
    let unset = catch_unwind(AssertUnwindSafe(|| mock.forgotten(1))).unwrap_err();
    let said = unset.downcast_ref::<&str>().unwrap();
    assert_eq!(*said, "`forgotten` was called, but `StoreMock` was given nothing to do for it: use `on_forgotten`");
    assert_eq!(format!("{:?}", StoreMock::default()), "StoreMock { .. }");
    let _ = StoreDispatcher::new(mock);
}
