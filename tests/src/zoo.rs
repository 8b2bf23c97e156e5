//! Messages of every kind, and a service with a method for every type that can travel.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use ipc_rpc::{Archived, Message, service};

use crate::proc::is_shared;

/// Plain: its bytes travel as they are.
#[derive(Message, Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Right.
    pub x: f32,
    /// Up.
    pub y: f32,
}

/// A struct without fields.
#[derive(Message, Debug, Clone, Copy, PartialEq)]
pub struct Nothing;

/// A tuple struct.
#[derive(Message, Debug, Clone, PartialEq)]
pub struct Label(pub u8, pub String);

/// Fields of many kinds, with padding between them.
#[derive(Message, Debug, Clone, PartialEq)]
pub struct Record {
    /// A byte before a wide number.
    pub flag: bool,
    /// The wide number.
    pub id: u128,
    /// Text.
    pub name: String,
    /// A list in an option.
    pub scores: Option<Vec<u16>>,
    /// A nested message.
    pub at: Point,
    /// A map of messages.
    pub labels: BTreeMap<String, Label>,
    /// Nothing at all.
    pub nothing: Nothing,
    /// A span of time.
    pub took: Duration,
}

/// An enum without data.
#[derive(Message, Debug, Clone, Copy, PartialEq)]
pub enum Colour {
    /// One.
    Red,
    /// Two.
    Green,
    /// Three.
    Blue,
}

/// An enum with every kind of variant.
#[derive(Message, Debug, Clone, PartialEq)]
pub enum Shape {
    /// No data.
    Empty,
    /// One value.
    Circle(f64),
    /// Several, of different sizes.
    Named(u8, String, Colour),
    /// Named fields.
    Rect {
        /// Width.
        width: u32,
        /// Height.
        height: u64,
    },
    /// A list of plain structs.
    Polygon(Vec<Point>),
    /// Itself.
    Twice(Box<Shape>, Box<Shape>),
}

/// Recursion through a list.
#[derive(Message, Debug, Clone, PartialEq)]
pub struct Tree {
    /// Here.
    pub value: i32,
    /// Below.
    pub children: Vec<Tree>,
}

/// Recursion through a box.
#[derive(Message, Debug, Clone, PartialEq)]
pub enum List {
    /// The end.
    End,
    /// An item, and the rest.
    Item(u64, Box<List>),
}

/// A generic struct.
#[derive(Message, Debug, Clone, PartialEq)]
pub struct Both<A, B> {
    /// One.
    pub a: A,
    /// Many.
    pub b: Vec<B>,
}

/// Declares the service `Zoo`, whose methods give back what they get, its implementation, and a list of them.
macro_rules! zoo {
    ($($name:ident: $ty:ty,)*) => {
        /// A method for every type; each gives back what it got.
        #[service]
        pub trait Zoo {
            $(
                #[doc = concat!("Gives a `", stringify!($ty), "` back.")]
                fn $name(&self, x: $ty) -> $ty;
            )*
        }

        impl Zoo for Keeper {
            $(fn $name(&self, x: $ty) -> $ty { x })*
        }
    };
}

/// Serves [`Zoo`] and [`Borrowed`].
#[derive(Debug)]
pub struct Keeper;

zoo! {
    an_i8: i8,
    an_i16: i16,
    an_i32: i32,
    an_i64: i64,
    an_i128: i128,
    a_u8: u8,
    a_u16: u16,
    a_u32: u32,
    a_u64: u64,
    a_u128: u128,
    an_f32: f32,
    an_f64: f64,
    a_bool: bool,
    a_char: char,
    a_string: String,
    a_unit: (),
    a_duration: Duration,
    bytes: Vec<u8>,
    wide: Vec<u128>,
    floats: Vec<f32>,
    bools: Vec<bool>,
    chars: Vec<char>,
    strings: Vec<String>,
    lists: Vec<Vec<Vec<u16>>>,
    an_array: [u32; 7],
    text_array: [String; 3],
    nested_array: [[u8; 3]; 2],
    one: (u8,),
    two: (u8, String),
    mixed: (bool, u128, char, i16, f64, String, Option<u8>, [u16; 3]),
    twelve: (u8, u16, u32, u64, i8, i16, i32, i64, bool, char, f32, f64),
    maybe_number: Option<u64>,
    maybe_text: Option<String>,
    maybe_maybe: Option<Option<bool>>,
    boxed: Box<u64>,
    boxed_text: Box<String>,
    hash_map: HashMap<String, u64>,
    hash_map_of_lists: HashMap<u32, Vec<String>>,
    hash_set: HashSet<i64>,
    tree_map: BTreeMap<String, Vec<u8>>,
    tree_map_of_maps: BTreeMap<i32, BTreeMap<u8, String>>,
    tree_set: BTreeSet<String>,
    a_point: Point,
    a_nothing: Nothing,
    a_label: Label,
    a_record: Record,
    a_colour: Colour,
    a_shape: Shape,
    a_tree: Tree,
    a_list: List,
    points: Vec<Point>,
    shapes: Vec<Shape>,
    both: Both<String, u8>,
    both_both: Both<Both<u8, Point>, Option<Shape>>,
    a_result: Option<Result<u32, String>>,
}

/// Arguments that the handler reads where they lie. Each method says what it read, and whether that lay in shared memory.
#[service]
pub trait Borrowed {
    /// Text.
    fn text(&self, x: &str) -> (bool, String);
    /// Bytes.
    fn bytes(&self, x: &[u8]) -> (bool, Vec<u8>);
    /// Floats.
    fn floats(&self, x: &[f32], y: &[f64]) -> (bool, Vec<f32>, Vec<f64>);
    /// Wide numbers.
    fn wide(&self, x: &[u128]) -> (bool, Vec<u128>);
    /// Plain structs.
    fn points(&self, x: &[Point]) -> (bool, Vec<Point>);
    /// Structs that are not plain: the slice is decoded.
    fn labels(&self, x: &[Label]) -> Vec<Label>;
    /// By reference, decoded.
    fn record(&self, x: &Record) -> Record;
    /// In place.
    fn archived(&self, x: &Archived<Record>) -> (bool, bool, u128, String, Vec<u16>, f32, u64);
    /// In place, recursive.
    fn depth(&self, x: &Archived<Tree>) -> u32;
    /// All that may be there or not.
    fn options(
        &self,
        text: Option<&str>,
        bytes: Option<&[u8]>,
        record: Option<&Record>,
        tree: Option<&Archived<Tree>>,
    ) -> (Option<String>, Option<Vec<u8>>, Option<Record>, Option<i32>);
    /// A result with an error of its own.
    fn either(&self, x: &str, fail: bool) -> Result<Label, Shape>;
}

fn shared<T>(slice: &[T]) -> bool {
    is_shared(slice.as_ptr().addr())
}

impl Borrowed for Keeper {
    fn text(&self, x: &str) -> (bool, String) {
        (shared(x.as_bytes()), x.to_owned())
    }
    fn bytes(&self, x: &[u8]) -> (bool, Vec<u8>) {
        (shared(x), x.to_owned())
    }
    fn floats(&self, x: &[f32], y: &[f64]) -> (bool, Vec<f32>, Vec<f64>) {
        (shared(x) && shared(y), x.to_owned(), y.to_owned())
    }
    fn wide(&self, x: &[u128]) -> (bool, Vec<u128>) {
        (shared(x), x.to_owned())
    }
    fn points(&self, x: &[Point]) -> (bool, Vec<Point>) {
        (shared(x), x.to_owned())
    }
    fn labels(&self, x: &[Label]) -> Vec<Label> {
        x.to_owned()
    }
    fn record(&self, x: &Record) -> Record {
        x.clone()
    }
    fn archived(&self, x: &Archived<Record>) -> (bool, bool, u128, String, Vec<u16>, f32, u64) {
        let here = is_shared(std::ptr::from_ref(x).addr());
        let scores = x.scores().map(<[u16]>::to_vec).unwrap_or_default();
        (here, x.flag(), x.id(), x.name().to_owned(), scores, x.at().x(), x.labels().len() as u64)
    }
    fn depth(&self, x: &Archived<Tree>) -> u32 {
        x.children().iter().map(|child| self.depth(child)).max().unwrap_or(0) + 1
    }
    fn options(
        &self,
        text: Option<&str>,
        bytes: Option<&[u8]>,
        record: Option<&Record>,
        tree: Option<&Archived<Tree>>,
    ) -> (Option<String>, Option<Vec<u8>>, Option<Record>, Option<i32>) {
        (text.map(str::to_owned), bytes.map(<[u8]>::to_vec), record.cloned(), tree.map(|t| t.value()))
    }
    fn either(&self, x: &str, fail: bool) -> Result<Label, Shape> {
        match fail {
            false => Ok(Label(x.len() as u8, x.to_owned())),
            true => Err(Shape::Named(1, x.to_owned(), Colour::Blue)),
        }
    }
}
