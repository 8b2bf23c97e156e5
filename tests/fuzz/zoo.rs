//! A message with one of everything, and the way from a value to its archive and back.

pub mod attacker;
pub mod every;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ptr::NonNull;
use std::time::Duration;

use ipc_rpc::__private::{Buffer, EncodeError, Grow, access, decode, encode};
use ipc_rpc::{Archived, Message, MessageError};

/// One of everything.
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Zoo {
    /// Numbers.
    pub numbers: (u8, i16, u32, i64, u128, f32, f64),
    /// Values with forbidden bytes.
    pub narrow: (bool, char, Colour),
    /// Text.
    pub text: String,
    /// Texts of texts.
    pub names: Vec<Vec<String>>,
    /// Plain elements, in place.
    pub samples: Vec<f32>,
    /// An array.
    pub array: [u16; 3],
    /// Options and results.
    pub maybe: Option<Result<u32, String>>,
    /// A map in order.
    pub ordered: BTreeMap<String, u32>,
    /// A map without.
    pub hashed: HashMap<u8, Vec<u8>>,
    /// A set.
    pub set: HashSet<u16>,
    /// A time.
    pub took: Duration,
    /// An enum with data.
    pub shapes: Vec<Shape>,
    /// Recursion.
    pub tree: Option<Box<Tree>>,
}

/// An enum without fields.
#[derive(Message, Clone, Copy, Debug, PartialEq)]
pub enum Colour {
    /// 0
    Red,
    /// 1
    Green,
}

/// An enum with data.
#[derive(Message, Clone, Debug, PartialEq)]
pub enum Shape {
    /// No field.
    Nothing,
    /// A number.
    Circle {
        /// Its radius.
        radius: f32,
    },
    /// A text and a number.
    Named(String, u8),
}

/// A recursive struct.
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Tree {
    /// Children.
    pub children: Vec<Tree>,
    /// One more.
    pub other: Option<Box<Tree>>,
}

/// Some value.
pub fn full() -> Zoo {
    let leaf = || Tree { children: vec![], other: None };
    Zoo {
        numbers: (1, -2, 3, -4, 5, 6.5, 7.5),
        narrow: (true, 'ß', Colour::Green),
        text: "a text that lies out of line".into(),
        names: vec![vec!["a".into()], vec![], vec!["bc".into(), "a longer one, out of line".into()]],
        samples: vec![1.0, -2.0],
        array: [1, 2, 3],
        maybe: Some(Err("no".into())),
        ordered: BTreeMap::from([("k".into(), 1), ("l".into(), 2)]),
        hashed: HashMap::from([(1, vec![1]), (2, vec![])]),
        set: HashSet::from([7]),
        took: Duration::new(1, 999_999_999),
        shapes: vec![Shape::Nothing, Shape::Circle { radius: 1.0 }, Shape::Named("n".into(), 1)],
        tree: Some(Box::new(Tree { children: vec![leaf(), leaf()], other: Some(Box::new(leaf())) })),
    }
}

/// The least value.
pub fn empty() -> Zoo {
    Zoo {
        numbers: (0, 0, 0, 0, 0, 0.0, 0.0),
        narrow: (false, 'a', Colour::Red),
        text: String::new(),
        names: vec![],
        samples: vec![],
        array: [0; 3],
        maybe: None,
        ordered: BTreeMap::new(),
        hashed: HashMap::new(),
        set: HashSet::new(),
        took: Duration::ZERO,
        shapes: vec![],
        tree: None,
    }
}

/// Bytes at an address of which the fuzzer knows the rest modulo 16.
pub struct Placed {
    words: Vec<u128>,
    start: usize,
    len: usize,
}

impl Placed {
    /// A copy of `bytes` at `start` modulo 16.
    pub fn new(bytes: &[u8], start: usize) -> Self {
        let start = start % 16;
        let mut words = vec![0u128; (start + bytes.len()).div_ceil(16) + 1];
        // SAFETY: `words` has more than `start + bytes.len()` bytes.
        let to = unsafe { words.as_mut_ptr().cast::<u8>().add(start) };
        // SAFETY: as above; the memory is new.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Placed { words, start, len: bytes.len() }
    }

    /// Checks the bytes as a message.
    pub fn read<T: Message>(&self) -> Result<&Archived<T>, MessageError> {
        let data = self.words.as_ptr().cast::<u8>().wrapping_add(self.start);
        // SAFETY: `len` bytes of a private vector, unchanged while `self` is borrowed.
        unsafe { access::<T>(data, self.len) }
    }
}

struct Full;

// SAFETY: never gives any memory.
unsafe impl Grow for Full {
    fn grow(&mut self, _: usize, needed: usize) -> Result<Buffer, EncodeError> {
        Err(EncodeError::OutOfMemory(ipc_rpc::NoMemory::fixed(needed)))
    }
}

/// The archive of `value`, to lie at 8 modulo 16; `None` if it is too large for this.
pub fn archive<T: Message>(value: &T) -> Option<Vec<u8>> {
    let mut room = vec![0u128; 4097];
    let room = NonNull::from(room.as_mut_slice()).cast::<u8>();
    // SAFETY: inside the vector.
    let data = unsafe { room.add(8) };
    // SAFETY: so many bytes of the vector are behind `data`.
    let len = unsafe { encode::<T>(value, Buffer { data, len: 4096 * 16 }, &mut Full) }.ok()?;
    // SAFETY: the encoder has written them.
    Some(unsafe { std::slice::from_raw_parts(data.as_ptr(), len) }.to_vec())
}

/// Reads bytes in every way a receiver could.
pub fn read_all_ways<T: Message + std::fmt::Debug>(bytes: &[u8], start: usize) {
    let placed = Placed::new(bytes, start);
    let Ok(form) = placed.read::<T>() else { return };
    let _ = format!("{form:?}");
    let _ = T::view(form);
    let Ok(value) = decode::<T>(form) else { return };
    // What was accepted is a value, so it can be sent and arrives as it was.
    let Some(again) = archive(&value) else { return };
    let again = Placed::new(&again, 8);
    let form = again.read::<T>().expect("a value's own archive is valid");
    let back = decode::<T>(form).expect("and can be decoded");
    // NaN is not equal to itself, and hash collections have no order: lengths must do.
    assert_eq!(format!("{value:?}").len(), format!("{back:?}").len());
}
