//! Calls without types: arguments and replies as JSON, by the description of a service. Needs the feature `dynamic`.
//!
//! A [`DynamicClient`] calls services that this program was not built with. [`encode`] and [`decode`](fn@decode) are what it is made of:
//! they write and read the same bytes as the typed code does.
//!
//! # What a value is in JSON
//!
//! As [serde](https://serde.rs) has it, as far as that goes:
//!
//! | type | JSON |
//! |---|---|
//! | numbers of up to 64 bits | a number. Of `NaN` and the infinities the texts `"NaN"`, `"inf"`, `"-inf"` |
//! | `i128`, `u128` | a number if it fits into 64 bits, else a text of digits; both are taken |
//! | `bool`, `String` | themselves |
//! | `char` | a text of one |
//! | `Duration` | `{"secs": 1, "nanos": 500000000}`; a number of seconds is taken, too |
//! | `()`, `PhantomData`, a struct without fields | `null` |
//! | `Option<T>` | `null` or the value. If the value can be `null` itself, as in `Option<Option<T>>`, `{"Some": value}` |
//! | `Result<T, E>` | `{"Ok": value}` or `{"Err": error}` |
//! | `Vec<T>`, arrays, sets, tuples | an array. For a `Vec<u8>` a text is taken, too: its bytes |
//! | maps | an object if the keys are texts, `char`s, integers, `bool`s or enums without fields; else an array of `[key, value]`, which is taken for any map |
//! | `Box<T>`, a tuple struct of one field | what is in it |
//! | a struct | an object; a field that is an `Option` may be left out. A tuple struct an array |
//! | an enum | `"Variant"`, or `{"Variant": value}` with the fields as those of a struct |
//!
//! Descriptors, streams and objects to call back exist in processes only: a value that has one is an error.
//!
//! ```
//! use ipc_rpc::describe::Description;
//! use ipc_rpc::dynamic::{decode, encode};
//! use ipc_rpc::{Message, service};
//! use serde_json::json;
//!
//! #[derive(Message)]
//! pub struct Query { pub text: String, pub limit: u32, pub area: Option<Area> }
//! #[derive(Message)]
//! pub enum Area { Everywhere, Circle { radius: f32 } }
//!
//! #[service]
//! pub trait Search {
//!     fn find(&self, query: &Query) -> Vec<String>;
//! }
//!
//! let description = Description::of_client::<SearchClient>();
//! let query = description.services[0].methods[0].params[0].ty;
//! let value = json!({"text": "memory", "limit": 3, "area": {"Circle": {"radius": 1.5}}});
//! let bytes = encode(&description, query, &value)?;
//! assert_eq!(decode(&description, query, &bytes)?, value);
//!
//! let wrong = json!({"text": "memory", "limit": "x"});
//! let error = encode(&description, query, &wrong).unwrap_err();
//! assert_eq!(error.to_string(), r#"limit: expected u32, found "x""#);
//! # Ok::<(), ipc_rpc::dynamic::DynamicError>(())
//! ```

mod client;
mod decode;
mod encode;
mod layout;
mod path;
mod ping;
mod raw;

use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

use crate::describe::{Description, MethodInfo};

pub use client::{DynamicCallError, DynamicClient};

/// Values inside of values, on the way from the root of a message: what the stack of a thread has room for.
const MAX_NESTING: u32 = 512;

/// Why a value is none of its type, or bytes are no message of one.
///
/// The example at [`dynamic`](crate::dynamic) gets one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DynamicError {
    /// Where in the value: `query.limit`, `hits[3].line`. Empty: the value itself.
    pub path: String,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for DynamicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => f.write_str(&self.reason),
            false => write!(f, "{}: {}", self.path, self.reason),
        }
    }
}

impl std::error::Error for DynamicError {}

/// Writes a value as a message of a type of the description: the bytes that the typed code would write, at an address that is
/// 8 modulo 16.
///
/// The example at [`dynamic`](crate::dynamic) calls it.
///
/// # Errors
///
/// The value is none of the type, or is too large or too deep for a message.
pub fn encode(description: &Description, ty: u32, value: &Value) -> Result<Vec<u8>, DynamicError> {
    encode::Encoder::new(description).root(ty, value)
}

/// Reads a message of a type of the description. The bytes may be any.
///
/// The example at [`dynamic`](crate::dynamic) calls it.
///
/// # Errors
///
/// They are no message of the type.
pub fn decode(description: &Description, ty: u32, bytes: &[u8]) -> Result<Value, DynamicError> {
    decode::Decoder::new(description, bytes).root(ty)
}

/// Writes the arguments of a method as its request: an object with a value for each name, an array with a value for each in
/// order, or `null` for none. Arguments that are an `Option` may be left out of an object.
///
/// ```
/// use ipc_rpc::{describe::Description, dynamic, service};
/// use serde_json::json;
///
/// #[service]
/// pub trait Calc { fn add(&self, a: i64, b: i64) -> i64; }
///
/// let description = Description::of_client::<CalcClient>();
/// let add = &description.services[0].methods[0];
/// let request = dynamic::encode_arguments(&description, add, &json!({"a": 2, "b": 3}))?;
/// assert_eq!(request, dynamic::encode_arguments(&description, add, &json!([2, 3]))?);
/// assert_eq!(dynamic::decode_arguments(&description, add, &request)?, json!({"a": 2, "b": 3}));
/// let error = dynamic::encode_arguments(&description, add, &json!({"a": 2, "c": 3})).unwrap_err();
/// assert_eq!(error.to_string(), "add has no argument \"c\", but a, b");
/// # Ok::<(), dynamic::DynamicError>(())
/// ```
///
/// # Errors
///
/// A value is none of its argument's type, is missing, or belongs to no argument.
pub fn encode_arguments(
    description: &Description,
    method: &MethodInfo,
    arguments: &Value,
) -> Result<Vec<u8>, DynamicError> {
    let wrong = |reason: String| DynamicError { path: String::new(), reason };
    let params = &method.params;
    let name = &method.name;
    let mut all = Vec::new();
    match arguments {
        Value::Array(values) if values.len() == params.len() => {
            all.extend(params.iter().zip(values).map(|(param, value)| (param.name.as_str(), param.ty, value)));
        }
        Value::Array(values) => {
            let s = if params.len() == 1 { "" } else { "s" };
            let reason = format!("{name} takes {} argument{s}, found {}", params.len(), values.len());
            return Err(wrong(reason));
        }
        Value::Object(values) => {
            if let Some(unknown) = values.keys().find(|key| !params.iter().any(|param| param.name == **key)) {
                let known: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
                let known = if known.is_empty() { "takes none".into() } else { format!("but {}", known.join(", ")) };
                return Err(wrong(format!("{name} has no argument {unknown:?}, {known}")));
            }
            for param in params {
                let value = match values.get(&param.name) {
                    Some(value) => value,
                    None if matches!(description.kind(param.ty), Some(crate::describe::TypeInfo::Optional(_))) => {
                        &Value::Null
                    }
                    None => return Err(wrong(format!("{name} needs the argument {:?}", param.name))),
                };
                all.push((param.name.as_str(), param.ty, value));
            }
        }
        Value::Null if params.is_empty() => {}
        other => {
            let found = shown(other);
            return Err(wrong(format!("the arguments of {name} are an object or an array, found {found}")));
        }
    }
    encode::Encoder::new(description).arguments(&all)
}

/// Reads a request of a method: an object with a value for each of its arguments. The bytes may be any.
///
/// The example at [`encode_arguments`](fn@encode_arguments) calls it.
///
/// # Errors
///
/// They are no request of the method.
pub fn decode_arguments(description: &Description, method: &MethodInfo, bytes: &[u8]) -> Result<Value, DynamicError> {
    let params = method.params.iter().map(|param| (param.name.as_str(), param.ty));
    decode::Decoder::new(description, bytes).arguments(params)
}

/// What a value is, for an error: all of a short one.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("an array of {}", values.len()),
        Value::Object(object) => match object.keys().next() {
            None => "an object without fields".into(),
            Some(first) => format!("an object with {:?}", cut(first)),
        },
        Value::String(text) => format!("{:?}", cut(text)),
        other => other.to_string(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(40) {
        None => text.into(),
        Some((end, _)) => format!("{}..", &text[..end]),
    }
}

/// Refuses keys that are there twice, as whoever decodes them would.
fn unique<'v>(keys: impl Iterator<Item = &'v Value>, path: &path::Path<'_>) -> Result<(), DynamicError> {
    let mut met = HashSet::new();
    for key in keys {
        if !met.insert(key.to_string()) {
            return Err(path.error(format!("{} is there twice", shown(key))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
