//! Calls without types to the services of another process.

use std::time::Duration;

use ipc_rpc::describe::{Description, Primitive, TypeInfo};
use ipc_rpc::dynamic::{DynamicCallError, DynamicClient};
use ipc_rpc::{CallError, ClientConfig, ConnectError};
use ipc_rpc_tests::files::FilesClient;
use ipc_rpc_tests::flows::FlowsClient;
use ipc_rpc_tests::helper::{Helper, Place};
use ipc_rpc_tests::large::LargeClient;
use ipc_rpc_tests::services::{CalcClient, WorkClient};
use ipc_rpc_tests::zoo::{BorrowedClient, ZooClient};
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");

struct Server {
    place: Place,
    process: Helper,
}

impl Server {
    fn new(test: &'static str) -> Self {
        let place = Place::new(test);
        let process = place.serve::<&str>(SERVER, &[]);
        Server { place, process }
    }

    /// A client of a service whose description comes as bytes.
    fn client<C: ipc_rpc::Handle>(&self) -> DynamicClient {
        let bytes = Description::of_client::<C>().to_bytes().unwrap();
        let description = Description::from_bytes(&bytes).unwrap();
        let name = description.services[0].name.clone();
        DynamicClient::connect(self.place.socket(), &description, &name, &ClientConfig::default()).unwrap()
    }
}

/// Some value of a type.
fn sample(description: &Description, ty: u32, depth: u32) -> Value {
    let of = |ty: &u32| sample(description, *ty, depth + 1);
    let fields = |fields: &[ipc_rpc::describe::FieldInfo]| match fields {
        [] => Value::Null,
        [one] if one.name == "0" => of(&one.ty),
        [first, ..] if first.name == "0" => fields.iter().map(|field| of(&field.ty)).collect(),
        _ => Value::Object(fields.iter().map(|field| (field.name.clone(), of(&field.ty))).collect()),
    };
    match description.kind(ty).unwrap() {
        TypeInfo::Primitive(primitive) => match primitive {
            Primitive::F32 | Primitive::F64 => json!(0.1),
            Primitive::Bool => json!(true),
            Primitive::Char => json!("ß"),
            Primitive::Text => json!("a text of more than eight bytes"),
            Primitive::Interval => json!({"secs": 3, "nanos": 14}),
            Primitive::Unit | Primitive::Phantom => json!(null),
            Primitive::I128 => json!(i128::MIN.to_string()),
            _ => json!(100),
        },
        TypeInfo::Optional(part) => match description.kind(*part).unwrap() {
            TypeInfo::Optional(_) => json!({"Some": of(part)}),
            _ => of(part),
        },
        TypeInfo::Fallible(value, _) => json!({"Ok": of(value)}),
        TypeInfo::List(part) | TypeInfo::Set(part) if depth < 6 => json!([of(part)]),
        TypeInfo::List(_) | TypeInfo::Set(_) => json!([]),
        TypeInfo::Boxed(part) => of(part),
        TypeInfo::Map(key, value) => {
            let key = of(key);
            let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
            json!({key: of(value)})
        }
        TypeInfo::Tuple(parts) => parts.iter().map(of).collect(),
        TypeInfo::Array(part, len) => (0..*len).map(|_| of(part)).collect(),
        TypeInfo::Struct(info) => fields(&info.fields),
        // The first variants have no fields.
        TypeInfo::Enum(info) if depth >= 6 => json!(info.variants[0].name),
        TypeInfo::Enum(info) => {
            let variant = &info.variants[(depth as usize * 2 + 1) % info.variants.len()];
            match fields(&variant.fields) {
                Value::Null => json!(variant.name),
                value => json!({variant.name.clone(): value}),
            }
        }
        other => panic!("no sample of {other:?}"),
    }
}

#[test]
fn every_type_goes_there_and_back() {
    let server = Server::new("every_type_goes_there_and_back");
    let zoo = server.client::<ZooClient>();
    let description = Description::of_client::<ZooClient>();
    for method in &zoo.service().methods {
        let value = sample(&description, method.params[0].ty, 0);
        let back = zoo.call(&method.name, &json!({"x": value}));
        assert_eq!(back.map_err(|error| error.to_string()), Ok(value), "{}", method.name);
    }
}

#[test]
fn handlers_read_what_is_sent() {
    let server = Server::new("handlers_read_what_is_sent");
    assert_eq!(server.client::<CalcClient>().call("add", &json!([2, -3])).unwrap(), json!(-1));
    let borrowed = server.client::<BorrowedClient>();
    let reply = borrowed.call("floats", &json!({"y": [0.5], "x": [1, 2.5]})).unwrap();
    assert_eq!(reply, json!([true, [1.0, 2.5], [0.5]]));
    let reply = borrowed.call("options", &json!({"bytes": "ab", "text": "x"})).unwrap();
    assert_eq!(reply, json!(["x", [97, 98], null, null]));
    assert_eq!(borrowed.call("either", &json!(["abc", false])).unwrap(), json!([3, "abc"]));
    match borrowed.call("either", &json!({"x": "abc", "fail": true})) {
        Err(DynamicCallError::Call(CallError::Handler(error))) => {
            assert_eq!(error, json!({"Named": [1, "abc", "Blue"]}))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn large_messages_travel_as_any() {
    let server = Server::new("large_messages_travel_as_any");
    let work = server.client::<WorkClient>();
    let text = "0123456789abcdef".repeat(1 << 17);
    let sum: u64 = ipc_rpc_tests::services::checksum(text.as_bytes());
    assert_eq!(work.call("checksum", &json!({"bytes": text})).unwrap(), json!(sum));
    let made = work.call("make", &json!([1 << 20, 7])).unwrap();
    assert!(made.as_array().is_some_and(|bytes| bytes.len() == 1 << 20 && bytes.iter().all(|byte| *byte == 7)));
}

#[test]
fn what_goes_wrong_is_said() {
    let server = Server::new("what_goes_wrong_is_said");
    let work = server.client::<WorkClient>();
    let said = |result: Result<Value, DynamicCallError>| result.unwrap_err().to_string();
    assert!(said(work.call("rest", &json!([]))).starts_with("Work has no method \"rest\", but "));
    assert_eq!(said(work.call("sleep", &json!(["x"]))), "milliseconds: expected u64, found \"x\"");
    assert!(matches!(work.call("panic", &json!(["so"])), Err(DynamicCallError::Call(CallError::Panicked { .. }))));
    let hasty = work.with_timeout(Duration::from_millis(20));
    assert!(matches!(hasty.call("sleep", &json!([60_000])), Err(DynamicCallError::Call(CallError::TimedOut { .. }))));
    let flows = server.client::<FlowsClient>();
    let streams = flows.service().methods[0].name.clone();
    assert!(said(flows.call(&streams, &json!([]))).contains("cannot be called without types"));
    let files = server.client::<FilesClient>();
    let unsupported = |method: &&ipc_rpc::describe::MethodInfo| {
        matches!(files.call(&method.name, &json!([])), Err(DynamicCallError::Unsupported { .. }))
    };
    assert!(files.service().methods.iter().filter(unsupported).count() > 0);
    drop(server.client::<LargeClient>());
}

#[test]
fn a_description_of_other_methods_is_refused() {
    let server = Server::new("a_description_of_other_methods_is_refused");
    let mut description = Description::of_client::<CalcClient>();
    description.services[0].methods[0].fingerprint ^= 1;
    let connect = |description: &Description, service: &str| {
        DynamicClient::connect(server.place.socket(), description, service, &ClientConfig::default()).unwrap_err()
    };
    match connect(&description, "Calc") {
        ConnectError::Incompatible { mismatch, .. } => {
            let said = "Calc::add the signature: that of the description here, another one there";
            assert_eq!(mismatch.to_string(), said);
        }
        other => panic!("{other}"),
    }
    assert!(connect(&description, "Clock").to_string().contains("no service \"Clock\", but Calc"));
}

#[test]
fn a_server_that_is_killed_is_noticed_and_the_next_one_is_called() {
    let mut server = Server::new("a_server_that_is_killed_is_noticed");
    let calc = server.client::<CalcClient>();
    assert_eq!(calc.call("add", &json!([1, 1])).unwrap(), json!(2));
    server.process.kill();
    let work = calc.with_timeout(Duration::from_millis(300));
    assert!(matches!(work.call("add", &json!([1, 1])), Err(DynamicCallError::Call(_))));
    server.process = server.place.serve::<&str>(SERVER, &[]);
    assert_eq!(calc.call("add", &json!([2, 1])).unwrap(), json!(3));
}
