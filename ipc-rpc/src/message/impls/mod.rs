//! The types of the standard library that are messages.

mod boxed;
mod collection;
mod descriptor;
mod loan;
mod option;
mod primitive;
mod sequence;
mod text;
mod tuple;

pub use descriptor::Descriptor;
