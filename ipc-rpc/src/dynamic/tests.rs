use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::*;
use crate::Message;
use crate::message::bytes::{from_bytes, to_bytes};
use crate::service::{MethodDesc, ServiceDesc};

/// All that a struct can hold, with padding.
#[derive(crate::Message, Debug, Clone, PartialEq)]
#[message(crate = crate)]
struct Record {
    flag: bool,
    wide: u128,
    deep: i128,
    name: String,
    short: Option<Vec<u16>>,
    shape: Shape,
    labels: BTreeMap<String, Label>,
    numbers: BTreeMap<i64, u8>,
    places: BTreeMap<(u8, String), f32>,
    colours: BTreeMap<Colour, char>,
    keys: BTreeSet<Newtype>,
    nothing: (),
    empty: Empty,
    took: Duration,
    one: (u8,),
    pair: (f64, i8),
    array: [u32; 3],
    texts: [String; 2],
    twice: Option<Option<bool>>,
    boxed: Box<u64>,
    outcome: Result<u32, String>,
    bytes: Vec<u8>,
}

#[derive(crate::Message, Debug, Clone, PartialEq)]
#[message(crate = crate)]
struct Label(u8, String);

#[derive(crate::Message, Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[message(crate = crate)]
struct Newtype(u32);

#[derive(crate::Message, Debug, Clone, Copy, PartialEq)]
#[message(crate = crate)]
struct Empty;

#[derive(crate::Message, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[message(crate = crate)]
enum Colour {
    Red,
    Green,
}

#[derive(crate::Message, Debug, Clone, PartialEq)]
#[message(crate = crate)]
enum Shape {
    Empty,
    Circle(f64),
    Named(u8, String, Colour),
    Rect { width: u16, height: u64 },
    Twice(Box<Shape>, Box<Shape>),
    Many(Vec<Shape>),
}

/// The description of a type, and its number.
fn described<T: Message>() -> (Description, u32) {
    let methods = vec![MethodDesc {
        name: "method",
        docs: "",
        params: &[],
        result: T::desc,
        oneway: false,
        idempotent: false,
        long: false,
        asynchronous: false,
    }];
    let service =
        ServiceDesc { name: "Service", docs: "", methods: methods.leak(), callbacks: &[], fingerprints: None };
    let description = Description::of(&[Box::leak(Box::new(service))]);
    let ty = description.services[0].methods[0].result;
    (description, ty)
}

fn shape() -> impl Strategy<Value = Shape> {
    let colour = prop_oneof![Just(Colour::Red), Just(Colour::Green)];
    let leaf = prop_oneof![
        Just(Shape::Empty),
        any::<f64>().prop_map(Shape::Circle),
        (any::<u8>(), any::<String>(), colour).prop_map(|(a, b, c)| Shape::Named(a, b, c)),
        (any::<u16>(), any::<u64>()).prop_map(|(width, height)| Shape::Rect { width, height }),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Shape::Twice(a.into(), b.into())),
            vec(inner, 0..4).prop_map(Shape::Many),
        ]
    })
}

fn record() -> impl Strategy<Value = Record> {
    let label = (any::<u8>(), any::<String>()).prop_map(|(a, b)| Label(a, b));
    let colours = btree_map(prop_oneof![Just(Colour::Red), Just(Colour::Green)], any::<char>(), 0..3);
    let numbers = (any::<bool>(), any::<u128>(), any::<i128>(), any::<(f64, i8)>(), any::<[u32; 3]>());
    let texts = (any::<String>(), any::<[String; 2]>(), any::<Result<u32, String>>(), any::<Vec<u8>>());
    let options = (any::<Option<Vec<u16>>>(), any::<Option<Option<bool>>>(), any::<u64>(), 0..1_000_000_000u32);
    let maps = (
        btree_map(any::<String>(), label, 0..4),
        btree_map(any::<i64>(), any::<u8>(), 0..4),
        btree_map(any::<(u8, String)>(), any::<f32>(), 0..4),
        colours,
        btree_set(any::<u32>().prop_map(Newtype), 0..4),
    );
    (numbers, texts, options, maps, shape()).prop_map(|(numbers, texts, options, maps, shape)| Record {
        flag: numbers.0,
        wide: numbers.1,
        deep: numbers.2,
        name: texts.0,
        short: options.0,
        shape,
        labels: maps.0,
        numbers: maps.1,
        places: maps.2,
        colours: maps.3,
        keys: maps.4,
        nothing: (),
        empty: Empty,
        took: Duration::new(options.2, options.3),
        one: (numbers.4[0] as u8,),
        pair: numbers.3,
        array: numbers.4,
        texts: texts.1,
        twice: options.1,
        boxed: options.2.into(),
        outcome: texts.2,
        bytes: texts.3,
    })
}

/// What the typed code writes is read here, and written again it is the same bytes.
fn same_bytes<T: Message + std::fmt::Debug>(values: impl Strategy<Value = T>) {
    let (description, ty) = described::<T>();
    let mut runner = TestRunner::new(Config { cases: 32, failure_persistence: None, ..Config::default() });
    let run = runner.run(&values, |value| {
        let bytes = to_bytes(&value).unwrap();
        let json = decode(&description, ty, &bytes).unwrap();
        let text = json.to_string();
        let json: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(encode(&description, ty, &json).map_err(|e| format!("{e}: {text}")), Ok(bytes));
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{}: {error}", std::any::type_name::<T>()));
}

#[test]
fn the_bytes_are_those_of_the_typed_code() {
    same_bytes(record());
    same_bytes(vec(record(), 0..3));
    same_bytes(vec(shape(), 0..8));
    same_bytes(any::<(u8, u16, u32, u64, u128, i8, bool, i16, char, i64)>());
    same_bytes(any::<(f32, Vec<f32>, Vec<f64>)>());
    same_bytes(any::<Vec<(u8, Option<String>, u128)>>());
    same_bytes(any::<Option<Option<Option<()>>>>());
    same_bytes(any::<Vec<Vec<Vec<char>>>>());
    same_bytes(any::<Result<Vec<bool>, (u8, Box<String>)>>());
    same_bytes(btree_map(any::<bool>(), any::<Option<()>>(), 0..3));
    same_bytes(btree_map(any::<char>(), any::<[[u8; 3]; 2]>(), 0..5));
    same_bytes(btree_map(any::<u128>(), any::<String>(), 0..5));
    same_bytes(Just(()));
    same_bytes(Just(vec![String::from("more than inline"); 3]));
}

/// Whatever arrives, it is refused here exactly if the typed code refuses it, and means the same if not.
fn same_verdict<T: Message + std::fmt::Debug>(values: impl Strategy<Value = T>) {
    let (description, ty) = described::<T>();
    let mut runner = TestRunner::new(Config { cases: 32, failure_persistence: None, ..Config::default() });
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let run = runner.run(&(values, changes, 0..24usize), |(value, changes, cut)| {
        let mut bytes = to_bytes(&value).unwrap();
        for (at, change) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= change;
            }
        }
        if cut > 16 {
            bytes.drain(..8.min(bytes.len()));
        }
        let typed = from_bytes::<T>(&bytes);
        let dynamic = decode(&description, ty, &bytes);
        match (typed, dynamic) {
            (Ok(value), Ok(json)) => {
                let again = decode(&description, ty, &to_bytes(&value).unwrap()).unwrap();
                prop_assert_eq!(again, json);
            }
            (Err(_), Err(_)) => {}
            (typed, dynamic) => prop_assert!(false, "typed {:?}, dynamic {:?}", typed, dynamic),
        }
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{}: {error}", std::any::type_name::<T>()));
}

#[test]
fn the_verdict_on_any_bytes_is_that_of_the_typed_code() {
    let without_sets = || record().prop_map(|record| Record { keys: BTreeSet::new(), ..record });
    same_verdict(without_sets());
    same_verdict(vec(shape(), 0..5));
    same_verdict(any::<Vec<(Option<String>, char, bool)>>());
    same_verdict(any::<(String, Vec<String>, Box<Vec<u8>>)>());
    same_verdict(btree_map(any::<u8>(), any::<String>(), 0..5));
    same_verdict(btree_map(any::<(u8, u8)>(), any::<u8>(), 0..2));
    same_verdict(any::<Result<Duration, Option<u16>>>().boxed());
}

fn mistake<T: Message>(value: Value) -> String {
    let (description, ty) = described::<T>();
    encode(&description, ty, &value).unwrap_err().to_string()
}

#[test]
fn errors_name_the_place_and_what_is_expected() {
    type Row = Vec<Label>;
    for (error, expected) in [
        (mistake::<u8>(json!(256)), "expected u8, found 256"),
        (mistake::<u8>(json!(-1)), "expected u8, found -1"),
        (mistake::<u32>(json!(1.5)), "expected u32, found 1.5"),
        (mistake::<i128>(json!("12x")), "expected i128, found \"12x\""),
        (mistake::<f32>(json!(1e300)), "expected f32, found 1e+300, which is too large"),
        (mistake::<i64>(json!(1e20)), "expected i64, found 1e+20, which is too large"),
        (mistake::<char>(json!("ab")), "expected char, found \"ab\""),
        (mistake::<String>(json!(null)), "expected String, found null"),
        (mistake::<Duration>(json!(-1)), "expected Duration as seconds or {\"secs\": .., \"nanos\": ..}, found -1"),
        (mistake::<Row>(json!([[1, "a"], [2, 3]])), "[1][1]: expected String, found 3"),
        (mistake::<Row>(json!([[1]])), "[0]: expected Label of 2 values, found 1"),
        (mistake::<[u8; 3]>(json!([1])), "expected 3 elements, found 1"),
        (
            mistake::<Shape>(json!("Round")),
            "Shape has no variant \"Round\", but Empty, Circle, Named, Rect, Twice, Many",
        ),
        (mistake::<Shape>(json!("Circle")), "Circle: expected {\"Circle\": ..}, found \"Circle\" alone"),
        (mistake::<Shape>(json!({"Rect": {"width": 1}})), "Rect: Shape needs the field \"height\""),
        (mistake::<Shape>(json!({"Rect": {"w": 1}})), "Rect: Shape has no field \"w\", but width, height"),
        (mistake::<Shape>(json!({"Rect": {"width": 1, "height": "x"}})), "Rect.height: expected u64, found \"x\""),
        (mistake::<HashMap<u8, u8>>(json!({"a": 1})), "[\"a\"]: expected u8, found \"a\""),
        (mistake::<HashMap<u8, u8>>(json!([[1, 1], [1, 2]])), "1 is there twice"),
        (mistake::<BTreeSet<u8>>(json!([1, 1])), "1 is there twice"),
        (mistake::<Option<()>>(json!(1)), "expected null or {\"Some\": ..}, found 1"),
        (mistake::<Result<u8, u8>>(json!(1)), "expected Result<u8, u8> as {\"Ok\": ..} or {\"Err\": ..}, found 1"),
        (mistake::<std::fs::File>(json!(1)), "a File cannot be written as JSON"),
    ] {
        assert_eq!(error, expected);
    }
}

#[test]
fn other_ways_to_write_a_value() {
    fn bytes<T: Message>(value: Value) -> T {
        let (description, ty) = described::<T>();
        from_bytes(&encode(&description, ty, &value).unwrap()).unwrap()
    }
    assert_eq!(bytes::<Duration>(json!(1.5)), Duration::from_millis(1500));
    assert_eq!(bytes::<Vec<u8>>(json!("text")), b"text");
    assert_eq!(bytes::<u128>(json!("340282366920938463463374607431768211455")), u128::MAX);
    assert_eq!(bytes::<i128>(json!(-5)), -5);
    assert_eq!(bytes::<f64>(json!(3)), 3.0);
    assert!(bytes::<f32>(json!("NaN")).is_nan());
    assert_eq!(bytes::<f64>(json!("-inf")), f64::NEG_INFINITY);
    assert_eq!(bytes::<HashMap<String, u8>>(json!([["a", 1]])), HashMap::from([("a".into(), 1)]));
    assert_eq!(bytes::<Shape>(json!({"Empty": null})), Shape::Empty);
    let (description, ty) = described::<Vec<f32>>();
    let value = json!([0.1, "NaN", "inf"]);
    assert_eq!(decode(&description, ty, &encode(&description, ty, &value).unwrap()).unwrap(), value);
}

#[derive(crate::Message, Debug)]
#[message(crate = crate)]
struct Chain {
    next: Option<Box<(Chain,)>>,
}

#[test]
fn nesting_has_an_end() {
    // On the stack that a thread has if nobody says otherwise.
    let (description, ty) = described::<Chain>();
    let chain = |links: usize| (0..links).fold(json!({"next": null}), |next, _| json!({"next": [next]}));
    let longest = encode(&description, ty, &chain(127)).unwrap();
    assert_eq!(decode(&description, ty, &longest).unwrap(), chain(127));
    assert!(encode(&description, ty, &chain(200)).unwrap_err().reason.contains("too deep"));
    let (description, ty) = described::<Shape>();
    let nested = |levels: usize| (0..levels).fold(json!("Empty"), |inner, _| json!({"Many": [inner]}));
    let deepest = encode(&description, ty, &nested(128)).unwrap();
    assert_eq!(decode(&description, ty, &deepest).unwrap(), nested(128));
    from_bytes::<Shape>(&deepest).unwrap();
    assert!(encode(&description, ty, &nested(129)).unwrap_err().reason.contains("nested deeper than 128"));
}

#[test]
fn hostile_descriptions_end_in_errors() {
    use crate::describe::TypeInfo;
    let of = |types: Vec<TypeInfo>| Description { types, ..Description::default() };
    // A type that is larger than any message, one that contains itself, one of more values than there are atoms.
    let large = of(vec![TypeInfo::Array(1, u64::MAX), TypeInfo::Primitive(crate::describe::Primitive::U64)]);
    assert!(decode(&large, 0, &[0; 64]).unwrap_err().reason.contains("larger than a message"));
    let endless = of(vec![TypeInfo::Optional(0)]);
    assert!(decode(&endless, 0, &[1; 64]).unwrap_err().reason.contains("contains itself"));
    let mut doubled: Vec<_> = (1..=100).map(|next| TypeInfo::Tuple(vec![next, next])).collect();
    doubled.push(TypeInfo::Primitive(crate::describe::Primitive::Unit));
    assert!(decode(&of(doubled), 0, &[]).unwrap_err().reason.contains("too many values"));
    let nothing = of(vec![TypeInfo::Array(1, u64::MAX), TypeInfo::Primitive(crate::describe::Primitive::Unit)]);
    assert!(decode(&nothing, 0, &[]).unwrap_err().reason.contains("too many values"));
    let missing = of(vec![TypeInfo::List(7)]);
    assert!(decode(&missing, 0, &[0; 8]).unwrap_err().reason.contains("no type number 7"));
}

#[test]
fn long_names_are_not_written_without_end() {
    let (mut description, ty) = described::<Vec<Label>>();
    let mut label = |len: usize| {
        let own = description.types.iter_mut().find_map(|info| match info {
            crate::describe::TypeInfo::Struct(info) => Some(info),
            _ => None,
        });
        let own = own.unwrap();
        own.fields.truncate(1);
        own.fields[0].name = "n".repeat(len);
        description.clone()
    };
    let bytes = to_bytes(&vec![0_u8; 1000]).unwrap();
    assert_eq!(decode(&label(1000), ty, &bytes).unwrap().as_array().map(Vec::len), Some(1000));
    assert!(decode(&label(1 << 20), ty, &bytes).unwrap_err().reason.contains("names"));
}
