//! Descriptions of message types, for fingerprints and for naming the first difference between two sides.
//!
//! A description is a graph: edges are functions, so that recursive types can point to themselves. Its lines hold
//! names and layout only: no documentation, and nothing that depends on module paths, crate versions or the target.

use std::any::TypeId;
use std::collections::VecDeque;
use std::fmt::Write;

/// An edge of the graph.
pub type DescFn = fn() -> &'static Desc;

/// The description of one message type.
#[derive(Debug)]
pub struct Desc {
    /// Tells types apart within this process; never shown.
    #[doc(hidden)]
    pub id: TypeId,
    /// What the type is made of.
    #[doc(hidden)]
    pub kind: Kind,
}

/// What a type is made of.
#[doc(hidden)]
#[derive(Debug)]
pub enum Kind {
    /// A type without parts.
    Primitive(&'static str),
    /// A type of the standard library with parameters: `Option<..>`, `Vec<..>`, `Map<.., ..>`.
    Standard(&'static str, &'static [DescFn]),
    /// A tuple.
    Tuple(&'static [DescFn]),
    /// An array and its length.
    Array(DescFn, usize),
    /// A struct of the user's: name, documentation, the parameters that travel, fields.
    Struct(&'static str, &'static str, &'static [DescFn], &'static [Field]),
    /// An enum of the user's: name, documentation, the parameters that travel, variants.
    Enum(&'static str, &'static str, &'static [DescFn], &'static [Variant]),
}

/// A field; tuple fields are named by their number.
#[doc(hidden)]
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its documentation.
    pub docs: &'static str,
    /// Its type.
    pub desc: DescFn,
}

/// A variant of an enum.
#[doc(hidden)]
#[derive(Debug)]
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// Its documentation.
    pub docs: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

impl Desc {
    /// The type's name as users write it, for example `Option<Query>` or `[f32; 3]`.
    pub fn name(&'static self) -> String {
        Walk::default().name_of(self)
    }
}

/// Flattens a type into canonical lines: its name, then each user-defined type it reaches, once, in the order of first
/// mention. Two types have equal lines exactly if their names and their layouts in messages are equal.
pub fn lines(desc: DescFn) -> Vec<String> {
    let mut walk = Walk::default();
    let mut lines = vec![walk.name_of(desc())];
    while let Some((name, desc)) = walk.pending.pop_front() {
        match desc.kind {
            Kind::Struct(.., fields) => {
                lines.push(format!("struct {name}"));
                walk.fields(&mut lines, &name, fields);
            }
            Kind::Enum(.., variants) => {
                lines.push(format!("enum {name}"));
                for variant in variants {
                    let name = format!("{name}::{}", variant.name);
                    lines.push(name.clone());
                    walk.fields(&mut lines, &name, variant.fields);
                }
            }
            _ => {}
        }
    }
    lines
}

/// The user-defined types met so far and the names they go by.
#[derive(Default)]
struct Walk {
    met: Vec<(TypeId, String)>,
    pending: VecDeque<(String, &'static Desc)>,
}

impl Walk {
    fn fields(&mut self, lines: &mut Vec<String>, owner: &str, fields: &'static [Field]) {
        for field in fields {
            let name = self.name_of((field.desc)());
            lines.push(format!("{owner}.{}: {name}", field.name));
        }
    }

    fn name_of(&mut self, desc: &'static Desc) -> String {
        match desc.kind {
            Kind::Primitive(name) => name.to_owned(),
            Kind::Standard(name, args) => self.with_arguments(name, args),
            Kind::Tuple([one]) => format!("({},)", self.name_of(one())),
            Kind::Tuple(parts) => format!("({})", self.list(parts)),
            Kind::Array(element, length) => format!("[{}; {length}]", self.name_of(element())),
            Kind::Struct(name, _, args, _) | Kind::Enum(name, _, args, _) => self.user_defined(desc, name, args),
        }
    }

    /// The name of a user-defined type. A second type of the same name in one graph gets a number.
    fn user_defined(&mut self, desc: &'static Desc, name: &'static str, args: &'static [DescFn]) -> String {
        if let Some((_, known)) = self.met.iter().find(|(id, _)| *id == desc.id) {
            return known.clone();
        }
        let plain = self.with_arguments(name, args);
        let mut unique = plain.clone();
        let mut number = 1;
        while self.met.iter().any(|(_, known)| *known == unique) {
            number += 1;
            unique.clear();
            // Writing to a string does not fail.
            let _ = write!(unique, "{plain}#{number}");
        }
        self.met.push((desc.id, unique.clone()));
        self.pending.push_back((unique.clone(), desc));
        unique
    }

    fn with_arguments(&mut self, name: &str, args: &'static [DescFn]) -> String {
        match args {
            [] => name.to_owned(),
            args => format!("{name}<{}>", self.list(args)),
        }
    }

    fn list(&mut self, parts: &'static [DescFn]) -> String {
        parts.iter().map(|part| self.name_of(part())).collect::<Vec<_>>().join(", ")
    }
}
