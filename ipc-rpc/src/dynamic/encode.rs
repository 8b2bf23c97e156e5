//! From JSON to archives, byte for byte as the encoder of [`message`](crate::message) writes them.

use std::time::Duration;

use serde_json::{Map, Value};

use super::layout::{Fields, INLINE, Key, Types, is_tuple, newtype};
use super::path::Path;
use super::{DynamicError, MAX_NESTING, shown, unique};
use crate::describe::{Description, EnumInfo, FieldInfo, Primitive, TypeInfo};
use crate::message::bytes::START;
use crate::message::{MAX_DEPTH, MAX_SIZE};

/// A form on its way to its place: what it points to is written already, how far away that is depends on the place.
struct Form {
    bytes: Vec<u8>,
    pointers: Vec<Pointer>,
}

struct Pointer {
    /// Where in the form the distance is written.
    at: usize,
    /// Where in the form it is counted from.
    from: usize,
    /// The position that it leads to.
    to: usize,
}

pub(super) struct Encoder<'d> {
    types: Types<'d>,
    out: Vec<u8>,
    /// Levels of pointers.
    depth: u32,
    /// Values inside of values.
    nesting: u32,
}

impl<'d> Encoder<'d> {
    pub(super) fn new(description: &'d Description) -> Self {
        Encoder { types: Types::new(description), out: Vec::new(), depth: 0, nesting: 0 }
    }

    /// The archive of one value.
    pub(super) fn root(mut self, ty: u32, value: &Value) -> Result<Vec<u8>, DynamicError> {
        let layout = self.types.layout(ty, &Path::Root)?;
        let mut form = Form::new(layout.size);
        self.put(ty, value, &mut form, 0, &Path::Root)?;
        self.place(&form, layout.align, &Path::Root)?;
        Ok(self.out)
    }

    /// The archive of the tuple of these values, each with its name.
    pub(super) fn arguments(mut self, all: &[(&str, u32, &Value)]) -> Result<Vec<u8>, DynamicError> {
        let mut fields = Fields::new();
        let mut places = Vec::new();
        for (name, ty, _) in all {
            places.push(fields.next(self.types.layout(*ty, &Path::Field(&Path::Root, name))?));
        }
        let layout = fields.layout();
        let mut form = Form::new(layout.size);
        for ((name, ty, value), at) in all.iter().zip(places) {
            self.put(*ty, value, &mut form, at, &Path::Field(&Path::Root, name))?;
        }
        self.place(&form, layout.align, &Path::Root)?;
        Ok(self.out)
    }

    /// Appends room for so many bytes; gives its position.
    fn reserve(&mut self, size: usize, align: usize, path: &Path<'_>) -> Result<usize, DynamicError> {
        let at = (self.out.len() + START).next_multiple_of(align) - START;
        if size > MAX_SIZE || at + size > MAX_SIZE {
            return Err(path.error(format!("the message has more than {MAX_SIZE} bytes")));
        }
        self.out.resize(at, 0);
        self.out.reserve(size);
        Ok(at)
    }

    /// Appends a form; gives its position.
    fn place(&mut self, form: &Form, align: usize, path: &Path<'_>) -> Result<usize, DynamicError> {
        let at = self.reserve(form.bytes.len(), align, path)?;
        self.out.extend_from_slice(&form.bytes);
        for Pointer { at: place, from, to } in &form.pointers {
            // Both are below `MAX_SIZE`.
            let distance = (*to as i64 - (at + from) as i64) as i32;
            write(&mut self.out, at + place, distance.to_le_bytes());
        }
        Ok(at)
    }

    fn deeper<T>(
        &mut self,
        path: &Path<'_>,
        write: impl FnOnce(&mut Self) -> Result<T, DynamicError>,
    ) -> Result<T, DynamicError> {
        if self.depth >= MAX_DEPTH {
            return Err(path.error(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let written = write(self)?;
        self.depth -= 1;
        Ok(written)
    }

    /// Writes a value into a form, whose bytes are zeros there.
    fn put(&mut self, ty: u32, value: &Value, form: &mut Form, at: usize, path: &Path<'_>) -> Result<(), DynamicError> {
        if self.nesting >= MAX_NESTING {
            return Err(path.error("nested too deep"));
        }
        self.nesting += 1;
        // The arms are functions of their own so that each level takes little of the stack.
        let written = match self.types.kind(ty, path)? {
            TypeInfo::Primitive(primitive) => self.primitive(*primitive, ty, value, form, at, path),
            TypeInfo::Optional(part) => self.option(*part, value, form, at, path),
            TypeInfo::Fallible(good, bad) => self.result(ty, [*good, *bad], value, form, at, path),
            TypeInfo::List(element) => self.vec(ty, *element, value, form, at, path),
            TypeInfo::Set(element) => self.set(ty, *element, value, form, at, path),
            TypeInfo::Map(key, entry) => self.map(ty, [*key, *entry], value, form, at, path),
            TypeInfo::Boxed(part) => self.boxed(*part, value, form, at, path),
            TypeInfo::Tuple(parts) => self.tuple(ty, parts, value, (Fields::new(), at), form, path),
            TypeInfo::Array(element, len) => self.array(ty, (*element, *len), value, form, at, path),
            TypeInfo::Struct(info) => self.body(ty, &info.fields, value, (Fields::new(), at), form, path),
            TypeInfo::Enum(info) => self.variant(ty, info, value, form, at, path),
            TypeInfo::Descriptor(_) | TypeInfo::Object(_) | TypeInfo::Stream(_) | TypeInfo::Unknown(_) => {
                Err(self.types.living(ty, path))
            }
        };
        self.nesting -= 1;
        written
    }

    fn set(
        &mut self,
        ty: u32,
        element: u32,
        value: &Value,
        form: &mut Form,
        at: usize,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        unique(self.list(ty, value, path)?.iter(), path)?;
        self.vec(ty, element, value, form, at, path)
    }

    fn boxed(
        &mut self,
        part: u32,
        value: &Value,
        form: &mut Form,
        at: usize,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        let layout = self.types.layout(part, path)?;
        let to = self.deeper(path, |encoder| {
            let mut form = Form::new(layout.size);
            encoder.put(part, value, &mut form, 0, path)?;
            encoder.place(&form, layout.align, path)
        })?;
        form.pointers.push(Pointer { at, from: at, to });
        Ok(())
    }

    fn tuple(
        &mut self,
        ty: u32,
        parts: &[u32],
        value: &Value,
        place: (Fields, usize),
        form: &mut Form,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        let values = self.list(ty, value, path)?;
        self.positions(ty, parts, values, place, form, path)
    }

    fn array(
        &mut self,
        ty: u32,
        (element, len): (u32, u64),
        value: &Value,
        form: &mut Form,
        at: usize,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        let values = self.list(ty, value, path)?;
        match values.len() as u64 == len {
            true => self.elements(element, values, form, at, path),
            false => Err(path.error(format!("expected {len} elements, found {}", values.len()))),
        }
    }

    #[cold]
    fn expected(&self, ty: u32, found: &Value, path: &Path<'_>) -> DynamicError {
        let primitive = match self.types.kind(ty, path) {
            Ok(TypeInfo::Primitive(primitive)) => Some(primitive),
            _ => None,
        };
        let form =
            if primitive == Some(&Primitive::Interval) { " as seconds or {\"secs\": .., \"nanos\": ..}" } else { "" };
        // JSON has no more digits of it, which looks as if nobody had given an integer.
        let is_large = found.as_f64().is_some_and(|number| found.is_f64() && number.abs() >= 1e18);
        let hint = if is_large && primitive.is_some() { ", which is too large" } else { "" };
        path.error(format!("expected {}{form}, found {}{hint}", self.types.name(ty), shown(found)))
    }

    fn list<'v>(&self, ty: u32, value: &'v Value, path: &Path<'_>) -> Result<&'v Vec<Value>, DynamicError> {
        value.as_array().ok_or_else(|| self.expected(ty, value, path))
    }

    fn primitive(
        &mut self,
        primitive: Primitive,
        ty: u32,
        value: &Value,
        form: &mut Form,
        at: usize,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        macro_rules! integer {
            ($type:ty) => {
                integer(value)
                    .and_then(|wide| <$type>::try_from(wide).ok())
                    .map(|n| write(&mut form.bytes, at, n.to_le_bytes()))
            };
        }
        let written = match primitive {
            Primitive::U8 => integer!(u8),
            Primitive::U16 => integer!(u16),
            Primitive::U32 => integer!(u32),
            Primitive::U64 => integer!(u64),
            Primitive::I8 => integer!(i8),
            Primitive::I16 => integer!(i16),
            Primitive::I32 => integer!(i32),
            Primitive::I64 => integer!(i64),
            Primitive::I128 => integer_or_text::<i128>(value).map(|n| write(&mut form.bytes, at, n.to_le_bytes())),
            Primitive::U128 => integer_or_text::<u128>(value).map(|n| write(&mut form.bytes, at, n.to_le_bytes())),
            Primitive::F64 => float(value).map(|n| write(&mut form.bytes, at, n.to_le_bytes())),
            // What is too large for it is no number that was meant.
            Primitive::F32 => float(value)
                .filter(|n| !n.is_finite() || (*n as f32).is_finite())
                .map(|n| write(&mut form.bytes, at, (n as f32).to_le_bytes())),
            Primitive::Bool => value.as_bool().map(|flag| write(&mut form.bytes, at, [u8::from(flag)])),
            Primitive::Char => value
                .as_str()
                .and_then(|text| {
                    let mut characters = text.chars();
                    characters.next().filter(|_| characters.next().is_none())
                })
                .map(|character| write(&mut form.bytes, at, u32::from(character).to_le_bytes())),
            Primitive::Text => match value.as_str() {
                Some(text) => {
                    self.text(text, form, at, path)?;
                    Some(())
                }
                None => None,
            },
            Primitive::Interval => duration(value).map(|time| {
                write(&mut form.bytes, at, time.as_secs().to_le_bytes());
                write(&mut form.bytes, at + 8, time.subsec_nanos().to_le_bytes());
            }),
            Primitive::Unit | Primitive::Phantom => value.is_null().then_some(()),
        };
        written.ok_or_else(|| self.expected(ty, value, path))
    }

    fn text(&mut self, text: &str, form: &mut Form, at: usize, path: &Path<'_>) -> Result<(), DynamicError> {
        let len = text.len();
        if len <= INLINE {
            let mut inline = [0xff; INLINE];
            inline[..len].copy_from_slice(text.as_bytes());
            write(&mut form.bytes, at, inline);
            return Ok(());
        }
        let to = self.deeper(path, |encoder| {
            let to = encoder.reserve(len, 1, path)?;
            encoder.out.extend_from_slice(text.as_bytes());
            Ok(to)
        })?;
        // Two bits of the first byte tell it from a text that lies in the form.
        let len = len as u32;
        write(&mut form.bytes, at, ((len & 0x3f) | 0x80 | ((len & !0x3f) << 2)).to_le_bytes());
        form.pointers.push(Pointer { at: at + 4, from: at, to });
        Ok(())
    }

    fn option(
        &mut self,
        part: u32,
        value: &Value,
        form: &mut Form,
        at: usize,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        let inner = match (value, self.types.is_nullable(part)) {
            (Value::Null, _) => return Ok(()),
            (value, false) => value,
            (value, true) => match value.as_object().filter(|object| object.len() == 1).and_then(|o| o.get("Some")) {
                Some(inner) => inner,
                None => {
                    return Err(path.error(format!("expected null or {{\"Some\": ..}}, found {}", shown(value))));
                }
            },
        };
        write(&mut form.bytes, at, [1]);
        let place = at + Fields::variant().next(self.types.layout(part, path)?);
        self.put(part, inner, form, place, path)
    }

    fn result(
        &mut self,
        ty: u32,
        parts: [u32; 2],
        value: &Value,
        form: &mut Form,
        at: usize,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        let (number, name, inner) = match tagged(value) {
            Some(("Ok", Some(inner))) => (0, "Ok", inner),
            Some(("Err", Some(inner))) => (1, "Err", inner),
            _ => {
                let found = shown(value);
                let name = self.types.name(ty);
                return Err(path.error(format!("expected {name} as {{\"Ok\": ..}} or {{\"Err\": ..}}, found {found}")));
            }
        };
        write(&mut form.bytes, at, [number]);
        let part = parts[usize::from(number)];
        let place = at + Fields::variant().next(self.types.layout(part, path)?);
        self.put(part, inner, form, place, &Path::Field(path, name))
    }

    fn vec(
        &mut self,
        ty: u32,
        element: u32,
        value: &Value,
        form: &mut Form,
        at: usize,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        // Bytes may be given as a text.
        if let (Value::String(text), TypeInfo::Primitive(Primitive::U8)) = (value, self.types.kind(element, path)?) {
            let to = self.deeper(path, |encoder| {
                let to = encoder.reserve(text.len(), 1, path)?;
                encoder.out.extend_from_slice(text.as_bytes());
                Ok(to)
            })?;
            form.sequence(at, to, text.len());
            return Ok(());
        }
        let values = self.list(ty, value, path)?;
        let layout = self.types.layout(element, path)?;
        let to = self.deeper(path, |encoder| {
            let mut elements = Form::new(encoder.room(layout.size, values.len(), path)?);
            encoder.elements(element, values, &mut elements, 0, path)?;
            encoder.place(&elements, layout.align, path)
        })?;
        form.sequence(at, to, values.len());
        Ok(())
    }

    /// The bytes of so many elements.
    fn room(&self, size: usize, count: usize, path: &Path<'_>) -> Result<usize, DynamicError> {
        match size.checked_mul(count).filter(|size| *size <= MAX_SIZE) {
            Some(0) if count > 0 => Err(path.error("a sequence of elements without a value cannot travel")),
            Some(room) => Ok(room),
            None => Err(path.error(format!("the message has more than {MAX_SIZE} bytes"))),
        }
    }

    fn elements(
        &mut self,
        element: u32,
        values: &[Value],
        form: &mut Form,
        at: usize,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        let size = self.types.layout(element, path)?.size;
        for (number, value) in values.iter().enumerate() {
            self.put(element, value, form, at + number * size, &Path::Index(path, number))?;
        }
        Ok(())
    }

    fn map(
        &mut self,
        ty: u32,
        [key, value]: [u32; 2],
        given: &Value,
        form: &mut Form,
        at: usize,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        let (layout, place) = self.types.entry(key, value, path)?;
        let (to, count) = match (given, self.types.key(key)) {
            (Value::Object(object), Some(kind)) => {
                let to = self.deeper(path, |encoder| {
                    let mut entries = Form::new(encoder.room(layout.size, object.len(), path)?);
                    for (number, (text, entry)) in object.iter().enumerate() {
                        let (at, path) = (number * layout.size, Path::Key(path, text));
                        encoder.put(key, &key_value(kind, text), &mut entries, at, &path)?;
                        encoder.put(value, entry, &mut entries, at + place, &path)?;
                    }
                    encoder.place(&entries, layout.align, path)
                })?;
                (to, object.len())
            }
            (Value::Array(pairs), _) => {
                let to = self.deeper(path, |encoder| {
                    let mut entries = Form::new(encoder.room(layout.size, pairs.len(), path)?);
                    for (number, pair) in pairs.iter().enumerate() {
                        let (at, path) = (number * layout.size, Path::Index(path, number));
                        let Some([own, entry]) = pair.as_array().map(Vec::as_slice) else {
                            return Err(path.error(format!("expected [key, value], found {}", shown(pair))));
                        };
                        encoder.put(key, own, &mut entries, at, &path)?;
                        encoder.put(value, entry, &mut entries, at + place, &path)?;
                    }
                    unique(pairs.iter().filter_map(|pair| pair.get(0)), path)?;
                    encoder.place(&entries, layout.align, path)
                })?;
                (to, pairs.len())
            }
            _ => return Err(self.expected(ty, given, path)),
        };
        form.sequence(at, to, count);
        Ok(())
    }

    /// Writes values by their position.
    fn positions(
        &mut self,
        ty: u32,
        parts: &[u32],
        values: &[Value],
        (mut fields, at): (Fields, usize),
        form: &mut Form,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        if values.len() != parts.len() {
            let (name, expected) = (self.types.name(ty), parts.len());
            return Err(path.error(format!("expected {name} of {expected} values, found {}", values.len())));
        }
        for (number, (part, value)) in parts.iter().zip(values).enumerate() {
            let path = Path::Index(path, number);
            let place = at + fields.next(self.types.layout(*part, &path)?);
            self.put(*part, value, form, place, &path)?;
        }
        Ok(())
    }

    /// Writes the fields of a struct or of a variant.
    fn body(
        &mut self,
        ty: u32,
        own: &[FieldInfo],
        value: &Value,
        (mut fields, at): (Fields, usize),
        form: &mut Form,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        if own.is_empty() {
            let nothing = value.is_null() || value.as_object().is_some_and(Map::is_empty);
            return if nothing { Ok(()) } else { Err(self.expected(ty, value, path)) };
        }
        if let Some(only) = newtype(own) {
            let place = at + fields.next(self.types.layout(only, path)?);
            return self.put(only, value, form, place, path);
        }
        if is_tuple(own) {
            let parts: Vec<u32> = own.iter().map(|field| field.ty).collect();
            return self.tuple(ty, &parts, value, (fields, at), form, path);
        }
        self.object(ty, own, value, (fields, at), form, path)
    }

    fn object(
        &mut self,
        ty: u32,
        own: &[FieldInfo],
        value: &Value,
        (mut fields, at): (Fields, usize),
        form: &mut Form,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        let object = value.as_object().ok_or_else(|| self.expected(ty, value, path))?;
        if let Some(unknown) = object.keys().find(|key| !own.iter().any(|field| field.name == **key)) {
            let known: Vec<&str> = own.iter().map(|field| field.name.as_str()).collect();
            let reason = format!("{} has no field {unknown:?}, but {}", self.types.name(ty), known.join(", "));
            return Err(path.error(reason));
        }
        for FieldInfo { name, ty: part, .. } in own {
            let inner = Path::Field(path, name);
            let place = at + fields.next(self.types.layout(*part, &inner)?);
            match object.get(name) {
                Some(value) => self.put(*part, value, form, place, &inner)?,
                // `None` is all zeros.
                None if matches!(self.types.kind(*part, &inner)?, TypeInfo::Optional(_)) => {}
                None => return Err(path.error(format!("{} needs the field {name:?}", self.types.name(ty)))),
            }
        }
        Ok(())
    }

    fn variant(
        &mut self,
        ty: u32,
        info: &EnumInfo,
        value: &Value,
        form: &mut Form,
        at: usize,
        path: &Path<'_>,
    ) -> Result<(), DynamicError> {
        let (name, inner) = tagged(value).ok_or_else(|| self.expected(ty, value, path))?;
        let Some(number) = info.variants.iter().position(|variant| variant.name == name) else {
            let known: Vec<&str> = info.variants.iter().map(|variant| variant.name.as_str()).collect();
            let reason = format!("{} has no variant {name:?}, but {}", self.types.name(ty), known.join(", "));
            return Err(path.error(reason));
        };
        let variant = &info.variants[number];
        let path = Path::Field(path, &variant.name);
        let inner = match inner {
            Some(inner) => inner,
            None if variant.fields.is_empty() => &Value::Null,
            None => return Err(path.error(format!("expected {{{name:?}: ..}}, found {name:?} alone"))),
        };
        write(&mut form.bytes, at, [number.min(255) as u8]);
        self.body(ty, &variant.fields, inner, (Fields::variant(), at), form, &path)
    }
}

impl Form {
    fn new(size: usize) -> Self {
        Form { bytes: vec![0; size], pointers: Vec::new() }
    }

    /// Refers to so many elements.
    fn sequence(&mut self, at: usize, to: usize, count: usize) {
        self.pointers.push(Pointer { at, from: at, to });
        // Fewer than a message has bytes.
        write(&mut self.bytes, at + 4, (count as u32).to_le_bytes());
    }
}

/// Writes bytes where there is room for them.
fn write<const N: usize>(to: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(place) = to.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = bytes;
    }
}

/// The variant of an externally tagged value, and what it holds.
fn tagged(value: &Value) -> Option<(&str, Option<&Value>)> {
    match value {
        Value::String(name) => Some((name, None)),
        Value::Object(object) if object.len() == 1 => {
            let (name, inner) = object.iter().next()?;
            Some((name, Some(inner)))
        }
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i128> {
    value.as_u64().map(i128::from).or_else(|| value.as_i64().map(i128::from))
}

/// A number that JSON has no room for may be given as a text.
fn integer_or_text<N: TryFrom<i128> + std::str::FromStr>(value: &Value) -> Option<N> {
    match value.as_str() {
        Some(text) => text.parse().ok(),
        None => integer(value).and_then(|wide| N::try_from(wide).ok()),
    }
}

fn float(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("inf" | "Infinity") => Some(f64::INFINITY),
        Some("-inf" | "-Infinity") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => value.as_f64(),
    }
}

fn duration(value: &Value) -> Option<Duration> {
    match value {
        Value::Number(seconds) => match seconds.as_u64() {
            Some(whole) => Some(Duration::from_secs(whole)),
            None => Duration::try_from_secs_f64(seconds.as_f64()?).ok(),
        },
        Value::Object(parts) if parts.len() == 2 => {
            let nanos = parts.get("nanos")?.as_u64().filter(|nanos| *nanos < 1_000_000_000)?;
            Some(Duration::new(parts.get("secs")?.as_u64()?, nanos as u32))
        }
        _ => None,
    }
}

/// The key that a text stands for.
fn key_value(kind: Key, text: &str) -> Value {
    let parsed = match kind {
        Key::Text => None,
        Key::Bool => text.parse().ok().map(Value::Bool),
        Key::Number => text.parse::<u64>().ok().map(Value::from).or_else(|| text.parse::<i64>().ok().map(Value::from)),
    };
    parsed.unwrap_or_else(|| Value::from(text))
}
