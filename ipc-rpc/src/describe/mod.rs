//! What services look like: their methods and types as data that travels, and as Rust source.
//!
//! A [`Description`] is made of the types of this program, or comes as bytes from another process, which knows services that
//! this one was not built with.
//!
//! ```
//! use ipc_rpc::describe::{Description, TypeInfo};
//! use ipc_rpc::{Message, service};
//!
//! /// A line of a file.
//! #[derive(Message)]
//! pub struct Hit { pub path: String, pub line: u32 }
//!
//! #[service]
//! pub trait Search {
//!     /// Lines that contain `word`.
//!     fn find(&self, word: &str, limit: u32) -> Vec<Hit>;
//! }
//!
//! let bytes = Description::of_client::<SearchClient>().to_bytes()?;
//! // In another process:
//! let description = Description::from_bytes(&bytes)?;
//! let search = description.service("Search").unwrap();
//! let find = &search.methods[0];
//! assert_eq!((find.name.as_str(), find.docs.as_str()), ("find", "Lines that contain `word`."));
//! assert_eq!(description.name(find.result), "Vec<Hit>");
//! let Some(TypeInfo::List(hit)) = description.kind(find.result) else { panic!() };
//! let Some(TypeInfo::Struct(hit)) = description.kind(*hit) else { panic!() };
//! assert_eq!(hit.fields[1].name, "line");
//! assert!(search.rust(&description).contains("fn find(&self, word: &str, limit: u32) -> Vec<Hit>;"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod collect;
mod rust;
mod types;

use std::fmt::Write;

use crate::callback::Handle;
use crate::message::{EncodeError, MAX_DEPTH, MessageError, bytes};
use crate::service::ServiceDesc;

// One by one: how they lie in messages is nobody's concern.
pub use types::{
    Description, EnumInfo, FieldInfo, MethodInfo, ParamInfo, Primitive, ServiceInfo, StructInfo, TypeInfo, VariantInfo,
};

impl Description {
    /// Describes services of this program.
    #[doc(hidden)]
    pub fn of(services: &[&'static ServiceDesc]) -> Self {
        collect::collect(services)
    }

    /// Describes the service that this is a client of.
    ///
    /// The example at [`describe`](crate::describe) calls it.
    pub fn of_client<C: Handle>() -> Self {
        Description::of(&[C::service()])
    }

    /// Writes it as an archive, for another process.
    ///
    /// The example at [`describe`](crate::describe) calls it.
    ///
    /// # Errors
    ///
    /// A description of so many services that it does not fit into one message.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        bytes::to_bytes(self)
    }

    /// Reads what [`to_bytes`](Description::to_bytes) has written. The bytes may be any: what this gives is consistent.
    ///
    /// The example at [`describe`](crate::describe) calls it.
    ///
    /// # Errors
    ///
    /// Bytes that are no description, or one that nobody can have made of types of Rust.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let description: Description = bytes::from_bytes(bytes)?;
        match description.mistake() {
            None => Ok(description),
            Some(mistake) => Err(MessageError::invalid(format!("the description is inconsistent: {mistake}"))),
        }
    }

    /// The service of this name.
    ///
    /// The example at [`describe`](crate::describe) calls it.
    pub fn service(&self, name: &str) -> Option<&ServiceInfo> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The type of this number.
    ///
    /// The example at [`describe`](crate::describe) calls it.
    pub fn kind(&self, ty: u32) -> Option<&TypeInfo> {
        self.types.get(ty as usize)
    }

    /// The type's name as users write it, for example `Option<Query>` or `[f32; 3]`.
    ///
    /// The example at [`describe`](crate::describe) calls it.
    pub fn name(&self, ty: u32) -> String {
        let mut name = String::new();
        self.write_name(ty, &mut name, 0);
        name
    }

    /// A part of the type that cannot be written down because it exists in processes only: a descriptor, an object, a stream.
    ///
    /// ```
    /// use std::os::fd::OwnedFd;
    /// use ipc_rpc::{describe::Description, service};
    ///
    /// #[service]
    /// pub trait Logs {
    ///     fn append_to(&self, file: Option<OwnedFd>, level: u8);
    /// }
    ///
    /// let description = Description::of_client::<LogsClient>();
    /// let params = &description.services[0].methods[0].params;
    /// assert!(description.living_part(params[0].ty).is_some());
    /// assert!(description.living_part(params[1].ty).is_none());
    /// ```
    pub fn living_part(&self, ty: u32) -> Option<&TypeInfo> {
        let mut met = vec![false; self.types.len()];
        let mut next = vec![ty];
        while let Some(ty) = next.pop() {
            let Some(met) = met.get_mut(ty as usize).filter(|met| !**met) else { continue };
            *met = true;
            match self.kind(ty) {
                Some(found @ (TypeInfo::Descriptor(_) | TypeInfo::Object(_) | TypeInfo::Stream(_))) => {
                    return Some(found);
                }
                Some(other) => next.extend(other.parts()),
                None => {}
            }
        }
        None
    }

    fn write_name(&self, ty: u32, to: &mut String, depth: u32) {
        let Some(info) = self.kind(ty).filter(|_| depth < MAX_DEPTH && to.len() < LONGEST_NAME) else {
            to.push('?');
            return;
        };
        let mut list = |open: &str, parts: &[u32], close: &str| {
            to.push_str(open);
            for (number, part) in parts.iter().enumerate() {
                if to.len() >= LONGEST_NAME {
                    break;
                }
                to.push_str(if number == 0 { "" } else { ", " });
                self.write_name(*part, to, depth + 1);
            }
            to.push_str(close);
        };
        match info {
            TypeInfo::Primitive(primitive) => to.push_str(primitive.name()),
            TypeInfo::Descriptor(name) | TypeInfo::Unknown(name) => to.push_str(&rust::identifier(name)),
            TypeInfo::Object(service) => {
                let _ = write!(to, "&{}Client", rust::identifier(service));
            }
            TypeInfo::Stream(item) => list("Streaming<", &[*item], ">"),
            TypeInfo::Optional(part) => list("Option<", &[*part], ">"),
            TypeInfo::Fallible(value, error) => list("Result<", &[*value, *error], ">"),
            TypeInfo::List(part) => list("Vec<", &[*part], ">"),
            TypeInfo::Boxed(part) => list("Box<", &[*part], ">"),
            TypeInfo::Map(key, value) => list("HashMap<", &[*key, *value], ">"),
            TypeInfo::Set(part) => list("HashSet<", &[*part], ">"),
            TypeInfo::Tuple(parts) => list("(", parts, if parts.len() == 1 { ",)" } else { ")" }),
            TypeInfo::Array(element, len) => list("[", &[*element], &format!("; {len}]")),
            TypeInfo::Struct(StructInfo { name, arguments, .. }) | TypeInfo::Enum(EnumInfo { name, arguments, .. }) => {
                let name = rust::identifier(name);
                match arguments[..] {
                    [] => to.push_str(&name),
                    _ => list(&format!("{name}<"), arguments, ">"),
                }
            }
        }
    }

    /// What is wrong with a description that somebody else has made.
    fn mistake(&self) -> Option<&'static str> {
        let methods = || self.services.iter().chain(&self.callbacks).flat_map(|service| &service.methods);
        let named = methods().flat_map(|m| m.params.iter().map(|param| param.ty).chain([m.result]));
        let known = |ty: u32| (ty as usize) < self.types.len();
        let parts = || self.types.iter().flat_map(|info| info.parts().into_iter().chain(arguments(info).to_vec()));
        if !named.chain(parts()).all(known) {
            return Some("a type is missing");
        }
        // What a type without a name of its own is made of, and the arguments of the others, are a part of its name.
        let mut heights = vec![None; self.types.len()];
        let named = (0..self.types.len()).all(|ty| self.height(ty, &mut heights, 0).is_some());
        (!named).then_some("the name of a type has no end")
    }

    /// How many levels the name of a type has; 0 while that is looked at.
    fn height(&self, ty: usize, heights: &mut [Option<u32>], depth: u32) -> Option<u32> {
        match heights.get(ty)? {
            Some(0) => return None,
            Some(height) => return Some(*height),
            None if depth > MAX_DEPTH => return None,
            None => {}
        }
        heights[ty] = Some(0);
        let info = &self.types[ty];
        let below = if info.user_defined().is_some() { arguments(info).to_vec() } else { info.parts() };
        let mut height = 1;
        for part in below {
            height = height.max(self.height(part as usize, heights, depth + 1)? + 1);
        }
        heights[ty] = Some(height);
        (height <= MAX_DEPTH).then_some(height)
    }
}

/// Bytes of a name, after which no more types are written.
const LONGEST_NAME: usize = 4096;

fn arguments(info: &TypeInfo) -> &[u32] {
    info.user_defined().map_or(&[], |(_, arguments)| arguments)
}

#[cfg(test)]
mod tests;
