//! Every type that can travel, there and back between two processes, against the plain value.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use ipc_rpc::{CallError, Message, Reply};
use ipc_rpc_tests::helper::{Helper, Place};
use ipc_rpc_tests::zoo::{
    Borrowed as _, BorrowedClient, Both, Colour, Keeper, Label, List, Nothing, Point, Record, Shape, Tree, ZooClient,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");

fn connected(test: &'static str) -> (Place, Helper, ZooClient) {
    let place = Place::new(test);
    let server = place.serve::<&str>(SERVER, &[]);
    let client = ZooClient::connect(place.socket()).unwrap();
    (place, server, client)
}

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() })
}

fn for_all<T: Debug>(values: impl Strategy<Value = T>, same: impl Fn(T)) {
    let run = runner().run(&values, |value| {
        same(value);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
}

/// Calls with values of the strategy; owned and viewed results must be the value itself.
fn check<T: Message + Debug + Clone>(
    values: impl Strategy<Value = T>,
    same: impl Fn(&T, &T) -> bool,
    owned: impl Fn(T) -> Result<T, CallError>,
    viewed: impl Fn(T) -> Result<Reply<T>, CallError>,
) {
    let run = runner().run(&values, |value| {
        let back = owned(value.clone()).unwrap();
        prop_assert!(same(&back, &value), "owned: {back:?}");
        let back = viewed(value.clone()).unwrap().to_owned().unwrap();
        prop_assert!(same(&back, &value), "viewed: {back:?}");
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{}: {error}", std::any::type_name::<T>()));
}

/// `check` for methods of the service, each with a strategy for its type.
macro_rules! there_and_back {
    ($client:ident: $($method:ident of $values:expr),* $(,)?) => {
        $(check($values, |a, b| a == b, |x| $client.$method(x), |x| $client.view().$method(x));)*
    };
}

fn point() -> impl Strategy<Value = Point> {
    (-1e30f32..1e30, -1e30f32..1e30).prop_map(|(x, y)| Point { x, y })
}

fn label() -> impl Strategy<Value = Label> {
    (any::<u8>(), any::<String>()).prop_map(|(a, b)| Label(a, b))
}

fn duration() -> impl Strategy<Value = Duration> {
    (any::<u64>(), 0..1_000_000_000u32).prop_map(|(s, n)| Duration::new(s, n))
}

fn record() -> impl Strategy<Value = Record> {
    let map = btree_map(any::<String>(), label(), 0..5);
    let parts = (any::<bool>(), any::<u128>(), any::<String>(), any::<Option<Vec<u16>>>(), point(), map, duration());
    parts.prop_map(|(flag, id, name, scores, at, labels, took)| Record {
        flag,
        id,
        name,
        scores,
        at,
        labels,
        nothing: Nothing,
        took,
    })
}

fn colour() -> impl Strategy<Value = Colour> {
    prop_oneof![Just(Colour::Red), Just(Colour::Green), Just(Colour::Blue)]
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Empty),
        (-1e300..1e300).prop_map(Shape::Circle),
        (any::<u8>(), any::<String>(), colour()).prop_map(|(n, s, c)| Shape::Named(n, s, c)),
        (any::<u32>(), any::<u64>()).prop_map(|(width, height)| Shape::Rect { width, height }),
        vec(point(), 0..9).prop_map(Shape::Polygon),
    ];
    leaf.prop_recursive(5, 20, 2, |inner| {
        (inner.clone(), inner).prop_map(|(a, b)| Shape::Twice(Box::new(a), Box::new(b)))
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = any::<i32>().prop_map(|value| Tree { value, children: Vec::new() });
    leaf.prop_recursive(6, 40, 5, |inner| {
        (any::<i32>(), vec(inner, 0..5)).prop_map(|(value, children)| Tree { value, children })
    })
}

fn list() -> impl Strategy<Value = List> {
    vec(any::<u64>(), 0..60)
        .prop_map(|items| items.into_iter().fold(List::End, |rest, item| List::Item(item, Box::new(rest))))
}

#[test]
fn numbers() {
    let (_place, _server, c) = connected("numbers");
    there_and_back!(c:
        an_i8 of any::<i8>(), an_i16 of any::<i16>(), an_i32 of any::<i32>(), an_i64 of any::<i64>(),
        an_i128 of any::<i128>(), a_u8 of any::<u8>(), a_u16 of any::<u16>(), a_u32 of any::<u32>(),
        a_u64 of any::<u64>(), a_u128 of any::<u128>(), a_bool of any::<bool>(), a_char of any::<char>(),
        a_unit of Just(()), a_duration of duration(),
    );
    // Every bit of a float, also of what is not a number.
    let f32s = any::<u32>().prop_map(f32::from_bits);
    check(f32s, |a, b| a.to_bits() == b.to_bits(), |x| c.an_f32(x), |x| c.view().an_f32(x));
    let f64s = any::<u64>().prop_map(f64::from_bits);
    check(f64s, |a, b| a.to_bits() == b.to_bits(), |x| c.an_f64(x), |x| c.view().an_f64(x));
    for x in [i128::MIN, -1, 0, i128::MAX] {
        assert_eq!(c.an_i128(x).unwrap(), x);
        assert_eq!(c.view().an_i128(x).unwrap().get(), x);
    }
    assert_eq!(c.a_u64(u64::MAX).unwrap(), u64::MAX);
    assert_eq!(c.a_duration(Duration::MAX).unwrap(), Duration::MAX);
    assert_eq!(c.a_char(char::MAX).unwrap(), char::MAX);
}

#[test]
fn sequences_and_texts() {
    let (_place, _server, c) = connected("sequences_and_texts");
    there_and_back!(c:
        a_string of any::<String>(), bytes of any::<Vec<u8>>(), wide of any::<Vec<u128>>(),
        floats of vec(-1e30f32..1e30, 0..300), bools of any::<Vec<bool>>(), chars of any::<Vec<char>>(),
        strings of any::<Vec<String>>(), lists of vec(vec(any::<Vec<u16>>(), 0..4), 0..4),
        an_array of any::<[u32; 7]>(), text_array of any::<[String; 3]>(), nested_array of any::<[[u8; 3]; 2]>(),
        points of vec(point(), 0..100), shapes of vec(shape(), 0..6),
    );
    let long = "é€😀".repeat(10_000);
    assert_eq!(c.a_string(long.clone()).unwrap(), long);
    assert_eq!(c.view().a_string(long.clone()).unwrap().get(), long);
    assert_eq!(c.view().floats(vec![1.5; 9]).unwrap().get(), [1.5f32; 9]);
}

#[test]
fn tuples_options_boxes_and_results() {
    let (_place, _server, c) = connected("tuples_options_boxes_and_results");
    there_and_back!(c:
        one of any::<(u8,)>(), two of any::<(u8, String)>(),
        mixed of (any::<bool>(), any::<u128>(), any::<char>(), any::<i16>(), -1e300..1e300, any::<String>(),
            any::<Option<u8>>(), any::<[u16; 3]>()),
        maybe_number of any::<Option<u64>>(), maybe_text of any::<Option<String>>(),
        maybe_maybe of any::<Option<Option<bool>>>(), boxed of any::<Box<u64>>(), boxed_text of any::<Box<String>>(),
        a_result of any::<Option<Result<u32, String>>>(),
    );
    let twelve = (1, 2, 3, 4, -5, -6, -7, -8, true, 'x', 1.5, -2.5);
    assert_eq!(c.twelve(twelve).unwrap(), twelve);
    assert_eq!(c.view().twelve(twelve).unwrap().to_owned().unwrap(), twelve);
}

#[test]
fn maps_and_sets() {
    let (_place, _server, c) = connected("maps_and_sets");
    there_and_back!(c:
        hash_map of any::<std::collections::HashMap<String, u64>>(),
        hash_map_of_lists of proptest::collection::hash_map(any::<u32>(), vec(any::<String>(), 0..4), 0..9),
        hash_set of any::<std::collections::HashSet<i64>>(),
        tree_map of any::<BTreeMap<String, Vec<u8>>>(),
        tree_map_of_maps of btree_map(any::<i32>(), btree_map(any::<u8>(), any::<String>(), 0..5), 0..5),
        tree_set of any::<std::collections::BTreeSet<String>>(),
    );
}

#[test]
fn types_of_the_user() {
    let (_place, _server, c) = connected("types_of_the_user");
    let both = (any::<String>(), any::<Vec<u8>>()).prop_map(|(a, b)| Both { a, b });
    let inner = (any::<u8>(), vec(point(), 0..4)).prop_map(|(a, b)| Both { a, b });
    let both_both = (inner, vec(prop::option::of(shape()), 0..4)).prop_map(|(a, b)| Both { a, b });
    there_and_back!(c:
        a_point of point(), a_nothing of Just(Nothing), a_label of label(), a_record of record(),
        a_colour of colour(), a_shape of shape(), a_tree of tree(), a_list of list(), both of both,
        both_both of both_both,
    );
    let reply = c.view().a_label(Label(3, "three".into())).unwrap();
    assert_eq!((reply.get_0(), reply.get_1()), (3, "three"));
}

#[test]
fn borrowed_arguments_are_read_where_they_lie() {
    let place = Place::new("borrowed_arguments_are_read_where_they_lie");
    let _server = place.serve::<&str>(SERVER, &[]);
    let c = BorrowedClient::connect(place.socket()).unwrap();
    for_all(any::<String>(), |x| assert_eq!(c.text(&x).unwrap(), (true, x)));
    for_all(vec(any::<u8>(), 1..5000), |x| assert_eq!(c.bytes(&x).unwrap(), (true, x)));
    for_all(vec(any::<u128>(), 1..100), |x| assert_eq!(c.wide(&x).unwrap(), (true, x)));
    for_all(vec(point(), 1..500), |x| assert_eq!(c.points(&x).unwrap(), (true, x)));
    for_all(vec(label(), 0..20), |x| assert_eq!(c.labels(&x).unwrap(), x));
    for_all(record(), |x| assert_eq!(c.record(&x).unwrap(), x));
    for_all((vec(-1e30f32..1e30, 1..100), vec(-1e300..1e300, 1..100)), |(x, y)| {
        assert_eq!(c.floats(&x, &y).unwrap(), (true, x, y));
    });
    for_all(record(), |x| {
        let scores = x.scores.clone().unwrap_or_default();
        let there = c.archived(&x).unwrap();
        assert_eq!(there, (true, x.flag, x.id, x.name, scores, x.at.x, x.labels.len() as u64));
    });
    for_all(tree(), |x| assert_eq!(c.depth(&x).unwrap(), depth(&x)));
    for_all(prop::option::of((any::<String>(), any::<Vec<u8>>(), record(), tree())), |x| {
        let x = x.as_ref();
        let (text, bytes) = (x.map(|x| x.0.as_str()), x.map(|x| x.1.as_slice()));
        let there = c.options(text, bytes, x.map(|x| &x.2), x.map(|x| &x.3)).unwrap();
        let here = (x.map(|x| x.0.clone()), x.map(|x| x.1.clone()), x.map(|x| x.2.clone()), x.map(|x| x.3.value));
        assert_eq!(there, here);
    });
}

fn depth(tree: &Tree) -> u32 {
    tree.children.iter().map(depth).max().unwrap_or(0) + 1
}

#[test]
fn results_with_errors_of_the_handler() {
    let place = Place::new("results_with_errors_of_the_handler");
    let _server = place.serve::<&str>(SERVER, &[]);
    let c = BorrowedClient::connect(place.socket()).unwrap();
    for (text, fail) in [("", false), ("well", false), ("", true), (&*"long ".repeat(10_000), true)] {
        let expected = Keeper.either(text, fail);
        let there = match c.either(text, fail) {
            Ok(ok) => Ok(ok),
            Err(CallError::Handler(error)) => Err(error),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(there, expected);
        let viewed = match c.view().either(text, fail) {
            Ok(ok) => Ok(ok.to_owned().unwrap()),
            Err(CallError::Handler(error)) => Err(error),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(viewed, expected);
    }
}
