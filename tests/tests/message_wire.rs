//! What lies in memory: the archive of every supported type is rkyv's, borrowed arguments give the bytes of owned ones,
//! and errors are typed.
#![allow(unsafe_code)]
// Unsafe code is needed here to hand raw buffers to the encoder and to read them.

#[path = "support/codec.rs"]
mod codec;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use codec::{Archive, there_and_back, to_archive};
use ipc_rpc::__private::{self as p, MAX_DEPTH, MAX_SIZE, Message};
use ipc_rpc::{EncodeError, MessageErrorKind};

#[test]
fn standard_types_travel() {
    there_and_back(&());
    there_and_back(&true);
    there_and_back(&'ü');
    there_and_back(&(-5i8));
    there_and_back(&u128::MAX);
    there_and_back(&(i128::MIN, 1u8, i128::MAX));
    there_and_back(&1.5f32);
    there_and_back(&f64::MIN_POSITIVE);
    there_and_back(&String::new());
    there_and_back(&"eight by".to_owned());
    there_and_back(&"longer than eight bytes".to_owned());
    there_and_back(&vec![1u64, 2, 3]);
    there_and_back(&Vec::<u64>::new());
    there_and_back(&vec!["a".to_owned(), "quite a bit longer".to_owned()]);
    there_and_back(&vec![vec![1u8], vec![], vec![2, 3]]);
    there_and_back(&[Some(1u32), None, Some(3)]);
    there_and_back(&[[1u8; 3]; 2]);
    there_and_back(&[String::from("one of two in an array"), String::new()]);
    there_and_back(&Some(Some("x".to_owned())));
    there_and_back(&Result::<u32, String>::Err("an error of some length".to_owned()));
    there_and_back(&Result::<u32, String>::Ok(7));
    there_and_back(&Box::new(Box::new(5u16)));
    there_and_back(&Duration::new(3, 999_999_999));
    there_and_back(&std::marker::PhantomData::<std::rc::Rc<u8>>);
    there_and_back(&(
        1u8,
        "two".to_owned(),
        3u32,
        vec![4u16],
        5i64,
        'x',
        true,
        8.0f64,
        (),
        Some(10u8),
        [11u8; 2],
        12u128,
    ));
    there_and_back(&HashMap::from([(1u32, "one".to_owned()), (2, "two, with a long text".to_owned())]));
    there_and_back(&BTreeMap::from([("k".to_owned(), vec![1u8]), ("l".to_owned(), vec![])]));
    there_and_back(&HashSet::from(["x".to_owned(), "y".to_owned()]));
    there_and_back(&BTreeSet::from([(1u8, 2u64), (1, 3)]));
}

/// The archive that rkyv itself makes of `value`, with 16-byte alignment.
macro_rules! same_as_rkyv {
    ($($value:expr),* $(,)?) => {$({
        let value = $value;
        let theirs = rkyv::to_bytes::<rkyv::rancor::Error>(&value).unwrap();
        assert_eq!(to_archive(&value).bytes(), &theirs[..], "{value:?}");
    })*};
}

#[test]
fn bytes_are_those_of_rkyv() {
    same_as_rkyv!(
        0x0102_0304u32,
        u128::MAX / 3,
        'x',
        "short".to_owned(),
        "a string that lies out of line".to_owned(),
        vec![1u16, 2, 3],
        vec![Some(1u64), None],
        vec![vec!["nested text, long".to_owned()], vec![]],
        [Ok::<u8, String>(1), Err("an error of some length".to_owned())],
        (1u8, 2u64, "x".to_owned(), vec![3u32]),
        Box::new((1u8, Some(2u32))),
        Duration::new(1, 2),
        vec![(1u8, 2u32), (3, 4)],
        vec![[1.5f32, 2.5], [3.5, 4.5]],
    );
}

#[test]
fn borrowed_arguments_give_the_bytes_of_owned_ones() {
    let text = "a text that lies out of line".to_owned();
    let numbers = vec![1.0f32, 2.0];
    let words = vec![text.clone(), "b".to_owned()];
    type Owned = (String, Vec<f32>, Vec<String>, Option<String>, (u32, [String; 1]), Result<Vec<u8>, String>);
    let owned: Owned =
        (text.clone(), numbers.clone(), words.clone(), Some(text.clone()), (1, [text.clone()]), Ok(vec![1, 2]));
    let borrowed =
        (&*text, &*numbers, &[&*text, "b"][..], Some(&*text), &(&1u32, [&*text]), Ok::<&[u8], &str>(&[1, 2]));
    assert_eq!(Archive::of::<Owned>(&borrowed).unwrap().bytes(), to_archive(&owned).bytes());
}

#[test]
fn buffers_may_start_at_any_multiple_of_eight_and_grow() {
    let value = (1u8, vec![u128::MAX, 5], vec!["a string that lies out of line".to_owned(); 40]);
    let expected = to_archive(&value);
    for first_size in [0, 1, 15, 16, 100, 900] {
        let archive = Archive::with_first_size::<(u8, Vec<u128>, Vec<String>)>(&value, first_size).unwrap();
        assert_eq!(archive.bytes(), expected.bytes(), "first buffer of {first_size} bytes");
    }
    let shifted = Archive::at_eight::<(u8, Vec<u128>, Vec<String>)>(&value).unwrap();
    assert_eq!(shifted.read::<(u8, Vec<u128>, Vec<String>)>().unwrap(), value);
}

#[test]
fn views_are_native() {
    let archive = to_archive(&(vec![1.5f32], "text".to_owned(), Some(7u64), vec!["a".to_owned()], [1u16, 2]));
    type T = (Vec<f32>, String, Option<u64>, Vec<String>, [u16; 2]);
    let (floats, text, number, words, pair) = T::view(archive.form::<T>().unwrap());
    assert_eq!(floats, &[1.5f32]);
    assert_eq!(text, "text");
    assert_eq!(number, Some(7));
    assert_eq!(words.iter().collect::<Vec<_>>(), ["a"]);
    assert_eq!(pair, &[1u16, 2]);
    assert_eq!(format!("{words:?} {:?}", words.get(1)), r#"["a"] None"#);

    let archive = to_archive(&BTreeMap::from([("a".to_owned(), 1u32), ("b".to_owned(), 2)]));
    let map = BTreeMap::<String, u32>::view(archive.form::<BTreeMap<String, u32>>().unwrap());
    assert_eq!(map.iter().map(|(key, value)| format!("{key}{value}")).collect::<String>(), "a1b2");
}

#[test]
fn slices_of_plain_numbers_are_read_in_place() {
    let archive = to_archive(&vec![1.0f32, 2.0]);
    let slice = p::slice_arg::<f32>(archive.form::<Vec<f32>>().unwrap()).unwrap();
    assert!(slice.is_in_place());
    assert!(archive.bytes().as_ptr_range().contains(&slice.as_ptr().cast()));
    assert_eq!(&*slice, [1.0, 2.0]);

    let archive = to_archive(&vec!["a".to_owned()]);
    let slice = p::slice_arg::<String>(archive.form::<Vec<String>>().unwrap()).unwrap();
    assert!(!slice.is_in_place());
    assert_eq!(&*slice, ["a".to_owned()]);
}

#[test]
fn a_key_that_arrives_twice_is_refused() {
    let pairs = to_archive(&vec![(1u32, 2u8), (1, 3)]);
    let error = pairs.read::<HashMap<u32, u8>>().unwrap_err();
    assert_eq!(error.kind(), MessageErrorKind::DuplicateKey);
    assert_eq!(error.to_string(), "Map<u32, u8> holds the same key twice");
    let elements = to_archive(&vec![1u32, 1]);
    assert_eq!(elements.read::<BTreeSet<u32>>().unwrap_err().to_string(), "Set<u32> holds the same key twice");
}

#[test]
fn errors_of_the_receiver_say_what_is_wrong() {
    let archive = to_archive(&7u32);
    let error = archive.read::<u64>().unwrap_err();
    assert_eq!(error.kind(), MessageErrorKind::TooShort);
    assert_eq!(error.to_string(), "u64 takes at least 8 bytes, the message has 4");
    let error = to_archive(&[7u32; 3]).read::<u64>().unwrap_err();
    assert_eq!(error.kind(), MessageErrorKind::Misaligned);
    let error = to_archive(&7u8).read::<bool>().unwrap_err();
    assert_eq!(error.kind(), MessageErrorKind::Invalid);
    assert_eq!(error.to_string(), "bool set to invalid byte 7, expected either 0 or 1");
    let error = to_archive(&vec![0xffu8; 20]).read::<String>().unwrap_err();
    assert_eq!(error.kind(), MessageErrorKind::Invalid, "{error}");
}

#[test]
fn errors_of_the_sender_say_what_to_do() {
    assert_eq!(
        EncodeError::TooDeep { limit: MAX_DEPTH }.to_string(),
        "the value nests deeper than 128 levels: flatten it, for example into a list with indices"
    );
    assert_eq!(
        EncodeError::TooLarge { limit: MAX_SIZE }.to_string(),
        "the value takes more than the 1072693248 bytes a message may have: send it in parts"
    );
    assert_eq!(
        EncodeError::OutOfMemory(ipc_rpc::NoMemory::fixed(5)).to_string(),
        "no room for 5 bytes of a message: 0 are allowed; raise the limit, or send it in parts"
    );
}

#[test]
fn a_value_too_large_is_refused_before_memory_is_asked_for() {
    // Zeroed pages are not touched: the length is refused first.
    let huge = vec![0u8; MAX_SIZE + 1];
    assert_eq!(Archive::of::<Vec<u8>>(&huge).err(), Some(EncodeError::TooLarge { limit: MAX_SIZE }));
}

#[test]
fn truncated_or_changed_bytes_never_panic() {
    type T = (u8, String, Vec<Option<String>>, BTreeMap<String, Vec<u64>>, Box<(char, bool)>, Duration);
    let value: T = (
        1,
        "a string that lies out of line".to_owned(),
        vec![None, Some("x".to_owned()), Some("another long string there".to_owned())],
        BTreeMap::from([("k".to_owned(), vec![1, 2])]),
        Box::new(('x', true)),
        Duration::new(1, 5),
    );
    codec::attack::<T>(&to_archive(&value));
}
