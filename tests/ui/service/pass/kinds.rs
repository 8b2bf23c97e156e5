//! Every kind of argument, with an implementation and with calls.

use ipc_rpc::{Archived, CallError, Reply, service};

#[service]
trait Kinds {
    fn nothing(&self);
    fn value(&self, a: u32, b: String) -> Vec<u8>;
    fn by_ref(&self, a: &u64, b: &Vec<String>, c: &Option<u8>) -> (u8, u16);
    fn text(&self, a: &str) -> String;
    fn slices(&self, a: &[u8], b: &[String]) -> [u8; 4];
    fn archived(&self, a: &Archived<Vec<u8>>) -> usize64;
    fn opt(&self, a: Option<u8>, b: Option<&u64>, c: Option<&str>, d: Option<&[f32]>, e: Option<&Archived<Vec<u8>>>);
    fn fallible(&self, a: u8) -> Result<u8, String>;
    fn fallible_long(&self, a: u8) -> ::std::result::Result<(), Vec<u8>>;
    #[allow(clippy::too_many_arguments)]
    fn twelve(
        &self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8,
    ) -> u8;
}

#[allow(non_camel_case_types)]
type usize64 = u64;

struct Server;

impl Kinds for Server {
    fn nothing(&self) {}
    fn value(&self, _: u32, _: String) -> Vec<u8> {
        Vec::new()
    }
    fn by_ref(&self, _: &u64, _: &Vec<String>, _: &Option<u8>) -> (u8, u16) {
        (0, 0)
    }
    fn text(&self, a: &str) -> String {
        a.into()
    }
    fn slices(&self, _: &[u8], _: &[String]) -> [u8; 4] {
        [0; 4]
    }
    fn archived(&self, a: &Archived<Vec<u8>>) -> u64 {
        a.len() as u64
    }
    fn opt(&self, _: Option<u8>, _: Option<&u64>, _: Option<&str>, _: Option<&[f32]>, _: Option<&Archived<Vec<u8>>>) {}
    fn fallible(&self, a: u8) -> Result<u8, String> {
        Ok(a)
    }
    fn fallible_long(&self, _: u8) -> Result<(), Vec<u8>> {
        Ok(())
    }
    fn twelve(&self, a: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8) -> u8 {
        a
    }
}

fn use_client(client: &KindsClient) -> Result<(), CallError> {
    let () = client.nothing()?;
    let _: Vec<u8> = client.value(1, String::new())?;
    let _: (u8, u16) = client.by_ref(&1, &vec![], &None)?;
    let _: String = client.text("a")?;
    let _: [u8; 4] = client.slices(b"a", &["a".into()])?;
    let _: u64 = client.archived(&vec![1, 2])?;
    client.opt(None, Some(&1), Some("a"), Some(&[1.0]), Some(&vec![1]))?;
    let _: Result<u8, CallError<String>> = client.fallible(1);
    let _: Result<(), CallError<Vec<u8>>> = client.fallible_long(1);
    let _: Reply<Vec<u8>> = client.view().value(1, String::new())?;
    let _: Result<Reply<u8>, CallError<String>> = client.view().fallible(1);
    let _: u8 = client.twelve(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)?;
    let slow = client.clone().with_timeout(std::time::Duration::from_millis(5));
    slow.nothing()
}

fn shared<T: Send + Sync + Clone + std::fmt::Debug>() {}

fn main() {
    let dispatcher = KindsDispatcher::new(Server);
    assert_eq!(format!("{dispatcher:?}"), "KindsDispatcher { .. }");
    shared::<KindsClient>();
    shared::<KindsClient<ipc_rpc::__private::Viewing>>();
    if let Ok(client) = KindsClient::connect("ipc-rpc-ui-test-no-such-server") {
        let _ = use_client(&client);
    }
    let _ = KindsClient::connect_with("ipc-rpc-ui-test-no-such-server", &Default::default());
}
