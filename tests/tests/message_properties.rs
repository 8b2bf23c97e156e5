//! Property tests: any value of any supported type comes back as it was, whatever the buffer, and no bytes make the
//! receiver panic.
#![allow(unsafe_code)]
// Unsafe code is needed in the codec that hands raw buffers to the encoder.

#[path = "support/codec.rs"]
mod codec;
#[path = "support/zoo.rs"]
mod zoo;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::marker::PhantomData;
use std::time::Duration;

use codec::{Archive, there_and_back, to_archive};
use ipc_rpc::__private as p;
use proptest::collection::{btree_map, btree_set, hash_map, hash_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::result;
use zoo::*;

fn color() -> impl Strategy<Value = Color> {
    prop_oneof![Just(Color::Red), Just(Color::Green), Just(Color::Blue)]
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Unit),
        any::<i32>().prop_map(|r| Shape::Circle { r: r as f32 }),
        any::<String>().prop_map(Shape::Named),
        (any::<u8>(), option::of(color())).prop_map(|(a, b)| Shape::Pair(a, b)),
        Just(Shape::Nil()),
        Just(Shape::Braces {}),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    (any::<String>(), any::<u8>()).prop_map(|(name, number)| Key { name, number })
}

fn any_duration() -> impl Strategy<Value = Duration> {
    (any::<u64>(), 0..1_000_000_000u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![Just(Expr::Nothing), any::<i32>().prop_map(|x| Expr::Num(f64::from(x)))];
    leaf.prop_recursive(8, 64, 5, |inner| {
        prop_oneof![
            inner.clone().prop_map(|x| Expr::Neg(Box::new(x))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Expr::Add(Box::new(a), Box::new(b))),
            vec(inner, 0..5).prop_map(Expr::Sum),
        ]
    })
}

fn everything() -> impl Strategy<Value = Everything> {
    let first = (any::<u8>(), any::<i128>(), any::<bool>(), any::<char>(), any::<(u8, String, (u64,))>());
    let second = (any::<[Option<String>; 2]>(), result::maybe_ok(vec(any::<Option<u16>>(), 0..5), Just(())), color());
    let either = prop_oneof![
        any::<[i16; 2]>().prop_map(|[x, y]| Either::Left(Point(x.into(), y.into()))),
        vec(shape(), 0..5).prop_map(Either::Right)
    ];
    let third = (either, vec(vec(any::<u64>().prop_map(Id), 0..3), 0..4), any::<bool>());
    (first, second, third).prop_map(|((a, b, c, d, e), (f, g, h), (i, j, some))| Everything {
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h: Box::new(h),
        i,
        j,
        k: some.then_some(Nothing),
        l: PhantomData,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn numbers(
        a in any::<(u8, u16, u32, u64, u128)>(),
        b in any::<(i8, i16, i32, i64, i128)>(),
        c in any::<(bool, char)>(),
        d in any::<(i32, i64)>().prop_map(|(x, y)| (x as f32 / 3.0, y as f64 / 3.0)),
    ) {
        there_and_back(&a);
        there_and_back(&b);
        there_and_back(&c);
        there_and_back(&d);
        there_and_back(&vec![(a, b); 3]);
        there_and_back(&[(c, d); 2]);
    }

    #[test]
    fn floats_keep_their_bits(a in any::<u32>(), b in any::<u64>()) {
        let value = (f32::from_bits(a), vec![f64::from_bits(b)]);
        let back = to_archive(&value).read::<(f32, Vec<f64>)>().unwrap();
        prop_assert_eq!(back.0.to_bits(), a);
        prop_assert_eq!(back.1[0].to_bits(), b);
    }

    #[test]
    fn text_and_sequences(
        a in any::<String>(),
        b in vec(vec(any::<String>(), 0..4), 0..4),
        c in any::<Option<Option<Box<String>>>>(),
        d in result::maybe_ok(vec(any::<u16>(), 0..20), any::<String>()),
        e in any_duration(),
    ) {
        there_and_back(&a);
        there_and_back(&b);
        there_and_back(&c);
        there_and_back(&d);
        there_and_back(&vec![e; 2]);
        there_and_back(&(a, (b, c), d, e));
    }

    #[test]
    fn collections(
        a in hash_map(key(), vec(key(), 0..3), 0..6),
        b in btree_map(color(), shape(), 0..4),
        c in btree_set(key(), 0..6),
        d in hash_set(any::<(u8, String)>(), 0..6),
    ) {
        there_and_back::<HashMap<_, _>>(&a);
        there_and_back::<BTreeMap<_, _>>(&b);
        there_and_back::<BTreeSet<_>>(&c);
        there_and_back::<HashSet<_>>(&d);
        there_and_back(&Collections { hash: a, tree: b, set: c });
    }

    #[test]
    fn derived(a in everything(), b in expr(), c in vec(shape(), 0..8), d in vec(color(), 0..20)) {
        there_and_back(&a);
        there_and_back(&b);
        there_and_back(&c);
        there_and_back(&d);
        there_and_back(&Page { items: vec![b.clone()], slots: [b.clone(), b], of: PhantomData::<u8> });
    }

    #[test]
    fn buffers_of_any_size_give_the_same_bytes(value in everything(), size in 0..2000usize) {
        let whole = to_archive(&value);
        let grown = Archive::with_first_size::<Everything>(&value, size).unwrap();
        prop_assert_eq!(whole.bytes(), grown.bytes());
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let archive = Archive::from_bytes(&bytes);
        let _ = archive.read::<Query>();
        let _ = archive.read::<Everything>();
        let _ = archive.read::<Collections>();
        let _ = archive.read::<Expr>();
        let _ = archive.read::<Vec<String>>();
    }

    #[test]
    fn changed_bytes_never_panic(value in everything(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = to_archive(&value).bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let archive = Archive::from_bytes(&bytes);
        if let Ok(form) = archive.form::<Everything>() {
            // What the check accepts can be read in every way and sent again.
            let _ = format!("{form:?}");
            if let Ok(value) = p::decode::<Everything>(form) {
                // Not compared as values: changed floats may have become NaN.
                let back = to_archive(&value).read::<Everything>().unwrap();
                prop_assert_eq!(format!("{back:?}"), format!("{value:?}"));
            }
        }
    }
}
