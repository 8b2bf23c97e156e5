//! Messages of every kind.
#![allow(dead_code)]
// Each test binary uses a part of this file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::marker::PhantomData;
use std::time::Duration;

use ipc_rpc::Message;

#[derive(Message, Clone, Debug, PartialEq)]
pub struct Query {
    /// What to look for.
    pub text: String,
    pub limit: u32,
    pub tags: Vec<String>,
    pub opt: Option<String>,
    pub res: Result<u32, String>,
    pub took: Duration,
    pub xs: Vec<f32>,
    pub color: Color,
    pub at: Point,
    pub id: Id,
    pub shape: Shape,
    pub counts: BTreeMap<String, u32>,
}

pub fn query() -> Query {
    Query {
        text: "a text that lies out of line".to_owned(),
        limit: 7,
        tags: vec!["x".to_owned(), "y".to_owned()],
        opt: Some("z".to_owned()),
        res: Err("bad".to_owned()),
        took: Duration::from_millis(5),
        xs: vec![1.5, 2.5],
        color: Color::Green,
        at: Point(1.0, 2.0),
        id: Id(9),
        shape: Shape::Circle { r: 2.0 },
        counts: BTreeMap::from([("k".to_owned(), 1)]),
    }
}

#[derive(Message, Clone, Copy, Debug, PartialEq)]
pub struct Point(pub f32, pub f32);

#[derive(Message, Clone, Copy, Debug, PartialEq)]
pub struct Nothing;

#[derive(Message, Clone, Copy, Debug, PartialEq)]
pub struct Empty {}

#[derive(Message, Clone, Copy, Debug, PartialEq)]
pub struct Id(pub u64);

#[derive(Message, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Color {
    Red,
    Green,
    Blue,
}

/// Numbers of the user's own: they do not travel.
#[derive(Message, Clone, Copy, Debug, PartialEq)]
#[repr(u16)]
pub enum Numbered {
    A = 500,
    B = 3,
}

#[derive(Message, Clone, Debug, PartialEq)]
pub enum Shape {
    Unit,
    Circle { r: f32 },
    Named(String),
    Pair(u8, Option<Color>),
    Nil(),
    Braces {},
}

pub fn shapes() -> Vec<Shape> {
    vec![
        Shape::Unit,
        Shape::Circle { r: 1.5 },
        Shape::Named("a text that lies out of line".to_owned()),
        Shape::Pair(1, Some(Color::Blue)),
        Shape::Pair(2, None),
        Shape::Nil(),
        Shape::Braces {},
    ]
}

#[derive(Message, Clone, Debug, PartialEq)]
pub struct Page<T: Clone, U = (), const N: usize = 2>
where
    U: Copy,
{
    pub items: Vec<T>,
    pub slots: [T; N],
    pub of: PhantomData<U>,
}

#[derive(Message, Clone, Debug, PartialEq)]
pub enum Either<L, R> {
    Left(L),
    Right(R),
}

#[derive(Message, Clone, Debug, PartialEq)]
pub enum Only {
    One { x: u8 },
}

#[derive(Message, Clone, Debug, PartialEq)]
pub struct Odd {
    pub r#type: u8,
    pub r#match: String,
}

pub trait Item {
    type Out;
}

impl Item for u8 {
    type Out = f32;
}

#[derive(Message, Debug, PartialEq)]
pub enum Strange<T: Item> {
    V(T::Out),
    W(<T as Item>::Out),
}

/// A key of a hash map: its form needs neither `Hash` nor `Eq`.
#[derive(Message, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub name: String,
    pub number: u8,
}

#[derive(Message, Clone, Debug, PartialEq)]
pub struct Everything {
    pub a: u8,
    pub b: i128,
    pub c: bool,
    pub d: char,
    pub e: (u8, String, (u64,)),
    pub f: [Option<String>; 2],
    pub g: Result<Vec<Option<u16>>, ()>,
    pub h: Box<Color>,
    pub i: Either<Point, Vec<Shape>>,
    pub j: Vec<Vec<Id>>,
    pub k: Option<Nothing>,
    pub l: PhantomData<u8>,
}

pub fn everything() -> Everything {
    Everything {
        a: 1,
        b: -2,
        c: true,
        d: 'ß',
        e: (3, "a text that lies out of line".to_owned(), (4,)),
        f: [None, Some("and another one out of line".to_owned())],
        g: Ok(vec![Some(5), None]),
        h: Box::new(Color::Blue),
        i: Either::Right(shapes()),
        j: vec![vec![Id(6)], vec![]],
        k: Some(Nothing),
        l: PhantomData,
    }
}

#[derive(Message, Clone, Debug, PartialEq)]
pub struct Collections {
    pub hash: HashMap<Key, Vec<Key>>,
    pub tree: BTreeMap<Color, Shape>,
    pub set: BTreeSet<Key>,
}

#[derive(Message, Clone, Debug, PartialEq)]
pub struct Chain {
    pub next: Option<Box<Chain>>,
}

/// A chain that nests `depth` boxes.
pub fn chain(depth: usize) -> Chain {
    (0..depth).fold(Chain { next: None }, |next, _| Chain { next: Some(Box::new(next)) })
}

#[derive(Message, Clone, Debug, PartialEq)]
pub enum Expr {
    Nothing,
    Num(f64),
    Neg(Box<Self>),
    Add(Box<Expr>, Box<Expr>),
    Sum(Vec<Expr>),
}

#[derive(Message, Clone, Debug, PartialEq)]
pub struct Tree<T> {
    pub value: T,
    pub kids: Vec<Tree<T>>,
}

#[derive(Message, Clone, Debug, PartialEq)]
pub struct Folder {
    pub files: Vec<File>,
}

#[derive(Message, Clone, Debug, PartialEq)]
pub struct File {
    pub name: String,
    pub inside: Option<Box<Folder>>,
}

#[derive(Message, Clone, Debug, PartialEq)]
#[message(no_debug)]
pub struct Secret {
    pub key: u64,
}

#[derive(Message, Clone, Copy, Debug, PartialEq)]
#[message(plain)]
#[repr(C)]
pub struct Pixel {
    pub at: [u16; 2],
    pub color: Color,
    pub on: bool,
    pub weight: u16,
}

#[derive(Message, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Padded {
    pub a: u8,
    pub b: u32,
}

#[derive(Message, Clone, Copy, Debug, PartialEq)]
#[message(plain)]
#[repr(C)]
pub struct Vec2<T> {
    pub x: T,
    pub y: T,
}

#[derive(Message, Clone, Debug, PartialEq)]
#[message(archived = StoredPicture)]
pub struct Picture {
    pub pixels: Vec<Pixel>,
    pub first: Pixel,
}

/// The same name once more.
pub mod other {
    #[derive(ipc_rpc::Message)]
    pub struct Nothing {
        pub x: u8,
    }
}

/// The same fields with rkyv's own derives.
pub mod rkyv_twins {
    use std::marker::PhantomData;

    use rkyv::{Archive, Serialize};

    #[derive(Archive, Serialize)]
    pub struct Point(pub f32, pub f32);

    #[derive(Archive, Serialize)]
    pub struct Nothing;

    #[derive(Archive, Serialize)]
    pub struct Id(pub u64);

    #[derive(Archive, Serialize)]
    pub enum Color {
        Red,
        Green,
        Blue,
    }

    #[derive(Archive, Serialize)]
    pub enum Shape {
        Unit,
        Circle { r: f32 },
        Named(String),
        Pair(u8, Option<Color>),
        Nil(),
        Braces {},
    }

    pub fn shapes() -> Vec<Shape> {
        vec![
            Shape::Unit,
            Shape::Circle { r: 1.5 },
            Shape::Named("a text that lies out of line".to_owned()),
            Shape::Pair(1, Some(Color::Blue)),
            Shape::Pair(2, None),
            Shape::Nil(),
            Shape::Braces {},
        ]
    }

    #[derive(Archive, Serialize)]
    pub enum Either<L, R> {
        Left(L),
        Right(R),
    }

    #[derive(Archive, Serialize)]
    pub struct Everything {
        pub a: u8,
        pub b: i128,
        pub c: bool,
        pub d: char,
        pub e: (u8, String, (u64,)),
        pub f: [Option<String>; 2],
        pub g: Result<Vec<Option<u16>>, ()>,
        pub h: Box<Color>,
        pub i: Either<Point, Vec<Shape>>,
        pub j: Vec<Vec<Id>>,
        pub k: Option<Nothing>,
        pub l: PhantomData<u8>,
    }

    pub fn everything() -> Everything {
        Everything {
            a: 1,
            b: -2,
            c: true,
            d: 'ß',
            e: (3, "a text that lies out of line".to_owned(), (4,)),
            f: [None, Some("and another one out of line".to_owned())],
            g: Ok(vec![Some(5), None]),
            h: Box::new(Color::Blue),
            i: Either::Right(shapes()),
            j: vec![vec![Id(6)], vec![]],
            k: Some(Nothing),
            l: PhantomData,
        }
    }
}
