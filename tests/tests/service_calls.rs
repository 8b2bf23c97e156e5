//! Expansions of `#[service]` at work: each kind of argument and result goes out as one value and arrives as the same.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::time::Duration;

use ipc_rpc::__private::{Dispatch, MethodDesc};
use ipc_rpc::testing::{PairServer, pair};
use ipc_rpc::{Archived, CallError, View, service};

#[service]
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

fn client() -> (KindsClient, PairServer) {
    pair(KindsDispatcher::new(Server)).expect("a pair needs nothing but memory")
}

#[test]
fn values_and_references_arrive() {
    let (client, _server) = client();
    client.nothing().unwrap();
    assert_eq!(client.sub(5, 3).unwrap(), 2);
    assert_eq!(client.owned(vec!["a".into()], (1, -2)).unwrap(), ["a", "(1, -2)"]);
    let map = BTreeMap::from([("a".into(), 1), ("b".into(), 20)]);
    assert_eq!(client.by_ref(&("a".into(), "b".into()), &map).unwrap(), 21);
    assert_eq!(client.doubled(21).unwrap(), 42);
}

#[test]
fn borrowed_arguments_arrive() {
    let (client, _server) = client();
    assert_eq!(client.text("x", "y").unwrap(), "x<y>");
    assert_eq!(client.slices(&[1.0, 0.5], &["a".into(), "b".into()], b"\x01\x02").unwrap(), (1.5, "ab".into(), 3));
    assert_eq!(client.archived(&vec![1, 2, 3]).unwrap(), 6);
}

#[test]
fn options_arrive() {
    let (client, _server) = client();
    assert_eq!(
        client.options(Some(1), Some(&2), Some("three"), Some(&[4, -5]), Some(&["six".into()]), Some(&7)).unwrap(),
        r#"Some(1) Some(2) Some("three") Some([4, -5]) Some(["six"]) Some(7)"#
    );
    assert_eq!(client.options(None, None, None, None, None, None).unwrap(), "None None None None None None");
}

#[test]
fn errors_of_the_service_are_flattened() {
    let (client, _server) = client();
    assert_eq!(client.fallible(false).unwrap(), 7);
    assert!(matches!(client.fallible(true), Err(CallError::Handler(reason)) if reason == "asked to"));
    assert!(matches!(client.view().fallible(true), Err(CallError::Handler(reason)) if reason == "asked to"));
}

#[test]
fn results_are_read_in_place() {
    let (client, _server) = client();
    assert_eq!(client.view().fallible(false).unwrap().get(), 7);
    assert_eq!(client.view().sub(9, 4).unwrap().get(), 5);
    assert_eq!(client.view().text("x", "y").unwrap().get(), "x<y>");
}

/// The parameters of a method and its result.
fn described(method: &MethodDesc) -> Vec<String> {
    let params = method.params.iter().map(|param| format!("{}: {}", param.name, (param.desc)().name()));
    params.chain([(method.result)().name()]).collect()
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
    assert_eq!(described(&service.methods[1]), ["a: u64", "b: u64", "u64"]);
    assert_eq!(described(&service.methods[4]), ["before: String", "in: String", "String"]);
    assert_eq!(
        described(&service.methods[7])[1..],
        [
            "by_ref: Option<u64>",
            "text: Option<String>",
            "numbers: Option<Vec<i32>>",
            "words: Option<Vec<String>>",
            "form: Option<u32>",
            "String"
        ]
    );
    assert_eq!(described(&service.methods[8]), ["fail: bool", "Result<u8, String>"]);
}

#[test]
fn client_and_dispatcher_print() {
    let (client, _server) = client();
    let hasty = client.with_timeout(Duration::from_millis(5));
    for printed in [format!("{hasty:?}"), format!("{:?}", hasty.clone()), format!("{:?}", hasty.view())] {
        assert!(printed.starts_with("KindsClient { stub: Stub {"), "{printed}");
        assert!(printed.contains("5ms"), "{printed}");
    }
    assert_eq!(format!("{:?}", KindsDispatcher::new(Server)), "KindsDispatcher { .. }");
}
