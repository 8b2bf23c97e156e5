use ipc_rpc::{Message, service};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// A method for every type; each gives back what it got.
#[service]
pub trait Zoo {
    fn an_i8(&self, x: i8) -> i8;
    fn an_i16(&self, x: i16) -> i16;
    fn an_i32(&self, x: i32) -> i32;
    fn an_i64(&self, x: i64) -> i64;
    fn an_i128(&self, x: i128) -> i128;
    fn a_u8(&self, x: u8) -> u8;
    fn a_u16(&self, x: u16) -> u16;
    fn a_u32(&self, x: u32) -> u32;
    fn a_u64(&self, x: u64) -> u64;
    fn a_u128(&self, x: u128) -> u128;
    fn an_f32(&self, x: f32) -> f32;
    fn an_f64(&self, x: f64) -> f64;
    fn a_bool(&self, x: bool) -> bool;
    fn a_char(&self, x: char) -> char;
    fn a_string(&self, x: &str) -> String;
    fn a_unit(&self, x: ());
    fn a_duration(&self, x: Duration) -> Duration;
    fn bytes(&self, x: &[u8]) -> Vec<u8>;
    fn wide(&self, x: &[u128]) -> Vec<u128>;
    fn floats(&self, x: &[f32]) -> Vec<f32>;
    fn bools(&self, x: &[bool]) -> Vec<bool>;
    fn chars(&self, x: &[char]) -> Vec<char>;
    fn strings(&self, x: &[String]) -> Vec<String>;
    fn lists(&self, x: &[Vec<Vec<u16>>]) -> Vec<Vec<Vec<u16>>>;
    fn an_array(&self, x: [u32; 7]) -> [u32; 7];
    fn text_array(&self, x: [String; 3]) -> [String; 3];
    fn nested_array(&self, x: [[u8; 3]; 2]) -> [[u8; 3]; 2];
    fn one(&self, x: (u8,)) -> (u8,);
    fn two(&self, x: (u8, String)) -> (u8, String);
    fn mixed(
        &self,
        x: (bool, u128, char, i16, f64, String, Option<u8>, [u16; 3]),
    ) -> (bool, u128, char, i16, f64, String, Option<u8>, [u16; 3]);
    fn twelve(
        &self,
        x: (u8, u16, u32, u64, i8, i16, i32, i64, bool, char, f32, f64),
    ) -> (u8, u16, u32, u64, i8, i16, i32, i64, bool, char, f32, f64);
    fn maybe_number(&self, x: Option<u64>) -> Option<u64>;
    fn maybe_text(&self, x: Option<&str>) -> Option<String>;
    fn maybe_maybe(&self, x: Option<Option<bool>>) -> Option<Option<bool>>;
    fn boxed(&self, x: Box<u64>) -> Box<u64>;
    fn boxed_text(&self, x: Box<String>) -> Box<String>;
    fn hash_map(&self, x: &HashMap<String, u64>) -> HashMap<String, u64>;
    fn hash_map_of_lists(&self, x: &HashMap<u32, Vec<String>>) -> HashMap<u32, Vec<String>>;
    fn hash_set(&self, x: &HashSet<i64>) -> HashSet<i64>;
    fn tree_map(&self, x: &HashMap<String, Vec<u8>>) -> HashMap<String, Vec<u8>>;
    fn tree_map_of_maps(
        &self,
        x: &HashMap<i32, HashMap<u8, String>>,
    ) -> HashMap<i32, HashMap<u8, String>>;
    fn tree_set(&self, x: &HashSet<String>) -> HashSet<String>;
    fn a_point(&self, x: &Point) -> Point;
    fn a_nothing(&self, x: &Nothing) -> Nothing;
    fn a_label(&self, x: &Label) -> Label;
    fn a_record(&self, x: &Record) -> Record;
    fn a_colour(&self, x: Colour) -> Colour;
    fn a_shape(&self, x: &Shape) -> Shape;
    fn a_tree(&self, x: &Tree) -> Tree;
    fn a_list(&self, x: &List) -> List;
    fn points(&self, x: &[Point]) -> Vec<Point>;
    fn shapes(&self, x: &[Shape]) -> Vec<Shape>;
    fn both(&self, x: &Both<String, u8>) -> Both<String, u8>;
    fn both_both(
        &self,
        x: &Both<Both<u8, Point>, Option<Shape>>,
    ) -> Both<Both<u8, Point>, Option<Shape>>;
    fn a_result(&self, x: Option<Result<u32, String>>) -> Option<Result<u32, String>>;
}

/// Plain: its bytes travel as they are.
#[derive(Message, Debug)]
pub struct Point {
    /// Right.
    pub x: f32,
    /// Up.
    pub y: f32,
}

/// A struct without fields.
#[derive(Message, Debug)]
pub struct Nothing;

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

/// Recursion through a list.
#[derive(Message, Debug)]
pub struct Tree {
    /// Here.
    pub value: i32,
    /// Below.
    pub children: Vec<Tree>,
}

/// Recursion through a box.
#[derive(Message, Debug)]
pub enum List {
    /// The end.
    End,
    /// An item, and the rest.
    Item(u64, Box<List>),
}

/// A generic struct.
#[derive(Message, Debug)]
pub struct Both<T, U> {
    /// One.
    pub a: T,
    /// Many.
    pub b: Vec<U>,
}
