//! Expansions of `#[service]` at work: each kind of argument and result goes out as one value and arrives as the same.
#![allow(unsafe_code, missing_docs)]
// Unsafe code is needed here because the loopback reads and writes archives in memory of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use ipc_rpc::{Archived, View, service};
use loopback::__private::{self as runtime, CallError, Dispatch};

#[path = "support/loopback.rs"]
mod loopback;

#[service(crate = crate::loopback)]
pub trait Kinds {
    fn nothing(&self);
    fn sub(&self, a: u64, b: u64) -> u64;
    #[cfg(any())]
    fn removed(&self, a: u64) -> u64;
    fn owned(&self, words: Vec<String>, pair: (u8, i64)) -> Vec<String>;
    fn by_ref(&self, words: &(String, String), map: &BTreeMap<String, u32>) -> u64;
    fn text(&self, before: &str, r#in: &str) -> String;
    fn slices(&self, numbers: &[f32], words: &[String], bytes: &[u8]) -> (f32, String, u8);
    fn archived(&self, words: &Archived<Vec<u16>>) -> u64;
    fn options(
        &self,
        value: Option<u8>,
        by_ref: Option<&u64>,
        text: Option<&str>,
        numbers: Option<&[i32]>,
        words: Option<&[String]>,
        form: Option<&Archived<u32>>,
    ) -> String;
    fn fallible(&self, fail: bool) -> Result<u8, String>;
    #[rpc(name = "twice")]
    fn doubled(&self, value: u32) -> u32 {
        value * 2
    }
}

struct Server;

impl Kinds for Server {
    fn nothing(&self) {}
    fn sub(&self, a: u64, b: u64) -> u64 {
        a - b
    }
    fn owned(&self, mut words: Vec<String>, pair: (u8, i64)) -> Vec<String> {
        words.push(format!("{pair:?}"));
        words
    }
    fn by_ref(&self, words: &(String, String), map: &BTreeMap<String, u32>) -> u64 {
        u64::from(map[&words.0] + map[&words.1])
    }
    fn text(&self, before: &str, r#in: &str) -> String {
        format!("{before}<{in}>")
    }
    fn slices(&self, numbers: &[f32], words: &[String], bytes: &[u8]) -> (f32, String, u8) {
        (numbers.iter().sum(), words.concat(), bytes.iter().sum())
    }
    fn archived(&self, words: &Archived<Vec<u16>>) -> u64 {
        let view: View<'_, Vec<u16>> = <Vec<u16> as ipc_rpc::Message>::view(words);
        view.iter().map(|&word| u64::from(word)).sum()
    }
    fn options(
        &self,
        value: Option<u8>,
        by_ref: Option<&u64>,
        text: Option<&str>,
        numbers: Option<&[i32]>,
        words: Option<&[String]>,
        form: Option<&Archived<u32>>,
    ) -> String {
        let form = form.map(<u32 as ipc_rpc::Message>::view);
        format!("{value:?} {by_ref:?} {text:?} {numbers:?} {words:?} {form:?}")
    }
    fn fallible(&self, fail: bool) -> Result<u8, String> {
        if fail { Err("asked to".into()) } else { Ok(7) }
    }
}

fn client() -> KindsClient {
    runtime::pair(KindsDispatcher::new(Server))
}

#[test]
fn values_and_references_arrive() {
    let client = client();
    assert_eq!(client.nothing(), Ok(()));
    assert_eq!(client.sub(5, 3), Ok(2));
    assert_eq!(client.owned(vec!["a".into()], (1, -2)), Ok(vec!["a".into(), "(1, -2)".into()]));
    let map = BTreeMap::from([("a".into(), 1), ("b".into(), 20)]);
    assert_eq!(client.by_ref(&("a".into(), "b".into()), &map), Ok(21));
    assert_eq!(client.doubled(21), Ok(42));
}

#[test]
fn borrowed_arguments_arrive() {
    let client = client();
    assert_eq!(client.text("x", "y"), Ok("x<y>".into()));
    assert_eq!(client.slices(&[1.0, 0.5], &["a".into(), "b".into()], b"\x01\x02"), Ok((1.5, "ab".into(), 3)));
    assert_eq!(client.archived(&vec![1, 2, 3]), Ok(6));
}

#[test]
fn options_arrive() {
    let client = client();
    assert_eq!(
        client.options(Some(1), Some(&2), Some("three"), Some(&[4, -5]), Some(&["six".into()]), Some(&7)).unwrap(),
        r#"Some(1) Some(2) Some("three") Some([4, -5]) Some(["six"]) Some(7)"#
    );
    assert_eq!(client.options(None, None, None, None, None, None).unwrap(), "None None None None None None");
}

#[test]
fn errors_of_the_service_are_flattened() {
    let client = client();
    assert_eq!(client.fallible(false), Ok(7));
    assert_eq!(client.fallible(true), Err(CallError::Service("asked to".into())));
    assert_eq!(client.view().fallible(false).unwrap().value, 7);
    assert_eq!(client.view().sub(9, 4).unwrap().value, 5);
}

#[test]
fn table_describes_what_is_left_after_cfg() {
    let dispatcher = KindsDispatcher::new(Server);
    let service = dispatcher.service();
    assert_eq!(service.name, "Kinds");
    let names: Vec<_> = service.methods.iter().map(|method| method.name).collect();
    assert_eq!(
        names,
        ["nothing", "sub", "owned", "by_ref", "text", "slices", "archived", "options", "fallible", "twice"]
    );
    assert_eq!(runtime::described(&service.methods[1]), ["a: u64", "b: u64", "u64"]);
    assert_eq!(runtime::described(&service.methods[4]), ["before: String", "in: String", "String"]);
    assert_eq!(
        runtime::described(&service.methods[7])[1..],
        [
            "by_ref: Option<u64>",
            "text: Option<String>",
            "numbers: Option<Vec<i32>>",
            "words: Option<Vec<String>>",
            "form: Option<u32>",
            "String"
        ]
    );
    assert_eq!(runtime::described(&service.methods[8]), ["fail: bool", "Result<u8, String>"]);
}

#[test]
fn unknown_method_is_refused() {
    let stub = runtime::stub(KindsDispatcher::new(Server));
    assert_eq!(stub.call::<(), ()>(10, &()), Err(CallError::UnknownMethod));
    assert_eq!(stub.call::<(), ()>(u16::MAX, &()), Err(CallError::UnknownMethod));
}

#[test]
fn clients_print_and_keep_their_timeout() {
    let client = client();
    assert_eq!(format!("{client:?}"), "KindsClient { stub: Stub(None) }");
    let hasty = client.with_timeout(Duration::from_millis(5)).clone();
    assert_eq!(format!("{hasty:?}"), "KindsClient { stub: Stub(Some(5ms)) }");
    assert_eq!(format!("{:?}", hasty.view()), "KindsClient { stub: Stub(Some(5ms)) }");
    assert_eq!(format!("{:?}", KindsDispatcher::new(Server)), "KindsDispatcher { .. }");
    assert!(KindsClient::connect("nobody").is_err());
}
