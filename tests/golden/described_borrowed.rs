use ipc_rpc::{Message, service};
use std::collections::HashMap;
use std::time::Duration;

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
    fn archived(&self, x: &Record) -> (bool, bool, u128, String, Vec<u16>, f32, u64);

    /// In place, recursive.
    fn depth(&self, x: &Tree) -> u32;

    /// All that may be there or not.
    fn options(
        &self,
        text: Option<&str>,
        bytes: Option<&[u8]>,
        record: Option<&Record>,
        tree: Option<&Tree>,
    ) -> (Option<String>, Option<Vec<u8>>, Option<Record>, Option<i32>);

    /// A result with an error of its own.
    fn either(&self, x: &str, fail: bool) -> Result<Label, Shape>;
}

/// Plain: its bytes travel as they are.
#[derive(Message, Debug)]
pub struct Point {
    /// Right.
    pub x: f32,
    /// Up.
    pub y: f32,
}

/// A tuple struct.
#[derive(Message, Debug)]
pub struct Label(pub u8, pub String);

/// Fields of many kinds, with padding between them.
#[derive(Message, Debug)]
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
    pub labels: HashMap<String, Label>,
    /// Nothing at all.
    pub nothing: Nothing,
    /// A span of time.
    pub took: Duration,
}

/// A struct without fields.
#[derive(Message, Debug)]
pub struct Nothing;

/// Recursion through a list.
#[derive(Message, Debug)]
pub struct Tree {
    /// Here.
    pub value: i32,
    /// Below.
    pub children: Vec<Tree>,
}

/// An enum with every kind of variant.
#[derive(Message, Debug)]
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

/// An enum without data.
#[derive(Message, Debug)]
pub enum Colour {
    /// One.
    Red,
    /// Two.
    Green,
    /// Three.
    Blue,
}
