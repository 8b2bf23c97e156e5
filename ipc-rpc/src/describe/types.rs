//! The parts of a description.
#![allow(unsafe_code)]
// The derive implements `Message`.

use crate::Message;

/// Services and all types that they mention.
///
/// ```
/// use ipc_rpc::{describe::Description, service};
///
/// #[service]
/// pub trait Clock { fn now(&self) -> u64; }
///
/// let clock = Description::of_client::<ClockClient>();
/// let now = &clock.service("Clock").unwrap().methods[0];
/// assert_eq!((now.name.as_str(), clock.name(now.result).as_str()), ("now", "u64"));
/// assert_eq!(Description::from_bytes(&clock.to_bytes()?)?, clock);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Message, Debug, Clone, Default, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub struct Description {
    /// The services.
    pub services: Vec<ServiceInfo>,
    /// The services of their clients that they call back.
    pub callbacks: Vec<ServiceInfo>,
    /// The types, told by their place here.
    pub types: Vec<TypeInfo>,
}

/// A service: what its trait says.
///
/// ```
/// use ipc_rpc::{describe::Description, service};
///
/// /// Tells the time.
/// #[service]
/// pub trait Clock { fn now(&self) -> u64; fn zone(&self) -> String; }
///
/// let description = Description::of_client::<ClockClient>();
/// let clock = &description.services[0];
/// assert_eq!((clock.name.as_str(), clock.docs.as_str()), ("Clock", "Tells the time."));
/// assert!(clock.methods.iter().map(|method| method.name.as_str()).eq(["now", "zone"]));
/// ```
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub struct ServiceInfo {
    /// Name of the trait.
    pub name: String,
    /// What its comments say, without the `///`.
    pub docs: String,
    /// Its methods, in order.
    pub methods: Vec<MethodInfo>,
}

/// A method of a service.
///
/// The example at [`TypeInfo`] reads one.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub struct MethodInfo {
    /// Name on the wire.
    pub name: String,
    /// What its comments say, without the `///`.
    pub docs: String,
    /// Its arguments, in order.
    pub params: Vec<ParamInfo>,
    /// The number of its result's type.
    pub result: u32,
    /// Its callers do not wait for a reply.
    pub oneway: bool,
    /// Running it twice is as good as once.
    pub idempotent: bool,
    /// What a client and a server compare: the names and layouts of all of its types.
    pub fingerprint: u64,
}

/// An argument of a method.
///
/// The example at [`TypeInfo`] reads one.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub struct ParamInfo {
    /// Its name in the trait.
    pub name: String,
    /// The number of its type.
    pub ty: u32,
}

/// A type. Others are told by their number, their place in [`Description::types`](Description::types).
///
/// ```
/// use ipc_rpc::describe::{Description, EnumInfo, FieldInfo, Primitive, StructInfo, TypeInfo};
/// use ipc_rpc::{Message, service};
///
/// #[derive(Message)]
/// pub enum Area { Everywhere, Circle { radius: f32 } }
/// #[derive(Message)]
/// pub struct Query { pub text: String, pub area: Area }
/// #[service]
/// pub trait Map { fn show(&self, query: Query) -> bool; }
///
/// let map = Description::of_client::<MapClient>();
/// let show = &map.service("Map").unwrap().methods[0];
/// assert_eq!(map.kind(show.result), Some(&TypeInfo::Primitive(Primitive::Bool)));
///
/// let Some(TypeInfo::Struct(StructInfo { fields, .. })) = map.kind(show.params[0].ty) else { panic!() };
/// let [FieldInfo { name: text, .. }, FieldInfo { name: area, ty, .. }] = &fields[..] else { panic!() };
/// assert_eq!((text.as_str(), area.as_str()), ("text", "area"));
///
/// let Some(TypeInfo::Enum(EnumInfo { variants, .. })) = map.kind(*ty) else { panic!() };
/// assert_eq!((variants[1].name.as_str(), variants[1].fields.len()), ("Circle", 1));
/// ```
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
// No name is that of a type which std has: compilers would write `std::option::Option` in users' errors if anything else that is
// public were called `Option`.
pub enum TypeInfo {
    /// A type without parts.
    Primitive(Primitive),
    /// A descriptor, by the name of its type: `OwnedFd`, `File`, `TcpStream` ..
    Descriptor(String),
    /// An object of the client, by the name of its service.
    Object(String),
    /// Items that travel beside the request and the reply.
    Stream(u32),
    /// `Option`.
    Optional(u32),
    /// `Result`: of the value, of the error.
    Fallible(u32, u32),
    /// `Vec`, and what lies in a message as one does.
    List(u32),
    /// `Box`.
    Boxed(u32),
    /// `HashMap`, `BTreeMap`: of the keys, of the values.
    Map(u32, u32),
    /// `HashSet`, `BTreeSet`.
    Set(u32),
    /// A tuple.
    Tuple(Vec<u32>),
    /// An array, and how many elements it has.
    Array(u32, u64),
    /// A struct.
    Struct(StructInfo),
    /// An enum.
    Enum(EnumInfo),
    /// A type that this version of the crate has no description for, by its name.
    Unknown(String),
}

/// A type without parts.
///
/// ```
/// use ipc_rpc::describe::{Description, Primitive, TypeInfo};
///
/// #[ipc_rpc::service]
/// pub trait Clock { fn zone(&self) -> String; }
///
/// let clock = Description::of_client::<ClockClient>();
/// let zone = clock.kind(clock.services[0].methods[0].result);
/// assert_eq!(zone, Some(&TypeInfo::Primitive(Primitive::Text)));
/// ```
#[derive(Message, Debug, Clone, Copy, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Primitive {
    U8,
    U16,
    U32,
    U64,
    U128,
    I8,
    I16,
    I32,
    I64,
    I128,
    F32,
    F64,
    Bool,
    Char,
    /// `String`, `str`
    Text,
    /// `Duration`
    Interval,
    /// `()`
    Unit,
    /// `PhantomData`
    Phantom,
}

/// A struct of the user's.
///
/// The example at [`TypeInfo`] reads one.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub struct StructInfo {
    /// Its name. Two types can have the same.
    pub name: String,
    /// What its comments say, without the `///`.
    pub docs: String,
    /// The types in place of its parameters, as far as they travel.
    pub arguments: Vec<u32>,
    /// Its fields, in order.
    pub fields: Vec<FieldInfo>,
}

/// A field of a struct or of a variant.
///
/// The example at [`TypeInfo`] reads one.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub struct FieldInfo {
    /// Its name; of a tuple its number.
    pub name: String,
    /// What its comments say, without the `///`.
    pub docs: String,
    /// The number of its type.
    pub ty: u32,
}

/// An enum of the user's.
///
/// The example at [`TypeInfo`] reads one.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub struct EnumInfo {
    /// Its name. Two types can have the same.
    pub name: String,
    /// What its comments say, without the `///`.
    pub docs: String,
    /// The types in place of its parameters, as far as they travel.
    pub arguments: Vec<u32>,
    /// Its variants, in order.
    pub variants: Vec<VariantInfo>,
}

/// A variant of an enum.
///
/// The example at [`TypeInfo`] reads one.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub struct VariantInfo {
    /// Its name.
    pub name: String,
    /// What its comments say, without the `///`.
    pub docs: String,
    /// Its fields, in order.
    pub fields: Vec<FieldInfo>,
}

impl Primitive {
    /// All of them, with their names.
    const ALL: [(Primitive, &str); 18] = [
        (Primitive::U8, "u8"),
        (Primitive::U16, "u16"),
        (Primitive::U32, "u32"),
        (Primitive::U64, "u64"),
        (Primitive::U128, "u128"),
        (Primitive::I8, "i8"),
        (Primitive::I16, "i16"),
        (Primitive::I32, "i32"),
        (Primitive::I64, "i64"),
        (Primitive::I128, "i128"),
        (Primitive::F32, "f32"),
        (Primitive::F64, "f64"),
        (Primitive::Bool, "bool"),
        (Primitive::Char, "char"),
        (Primitive::Text, "String"),
        (Primitive::Interval, "Duration"),
        (Primitive::Unit, "()"),
        (Primitive::Phantom, "PhantomData"),
    ];

    /// The one called so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Primitive::ALL.into_iter().find_map(|(primitive, known)| (known == name).then_some(primitive))
    }

    /// Its name in Rust.
    ///
    /// ```
    /// use ipc_rpc::describe::Primitive;
    /// assert_eq!(Primitive::U32.name(), "u32");
    /// ```
    pub fn name(self) -> &'static str {
        Primitive::ALL.into_iter().find_map(|(primitive, name)| (primitive == self).then_some(name)).unwrap_or_default()
    }
}

impl TypeInfo {
    /// The types that it is made of, each place of one.
    ///
    /// ```
    /// use ipc_rpc::describe::TypeInfo;
    /// assert_eq!(TypeInfo::Fallible(3, 7).parts(), [3, 7]);
    /// ```
    pub fn parts(&self) -> Vec<u32> {
        let of = |fields: &[FieldInfo]| fields.iter().map(|field| field.ty).collect::<Vec<_>>();
        match self {
            TypeInfo::Primitive(_) | TypeInfo::Descriptor(_) | TypeInfo::Object(_) | TypeInfo::Unknown(_) => vec![],
            TypeInfo::Stream(part)
            | TypeInfo::Optional(part)
            | TypeInfo::List(part)
            | TypeInfo::Boxed(part)
            | TypeInfo::Set(part)
            | TypeInfo::Array(part, _) => vec![*part],
            TypeInfo::Fallible(a, b) | TypeInfo::Map(a, b) => vec![*a, *b],
            TypeInfo::Tuple(parts) => parts.clone(),
            TypeInfo::Struct(StructInfo { fields, .. }) => of(fields),
            TypeInfo::Enum(EnumInfo { variants, .. }) => variants.iter().flat_map(|v| of(&v.fields)).collect(),
        }
    }

    /// Name and arguments of a type of the user's.
    pub(crate) fn user_defined(&self) -> Option<(&str, &[u32])> {
        match self {
            TypeInfo::Struct(StructInfo { name, arguments, .. }) | TypeInfo::Enum(EnumInfo { name, arguments, .. }) => {
                Some((name, arguments))
            }
            _ => None,
        }
    }
}
