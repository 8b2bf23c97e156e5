//! From archives to JSON. The bytes may be anybody's: what is accepted is what the checker of [`message`](crate::message)
//! accepts, by the same rules, and every access is checked.

use std::ops::Range;

use serde_json::{Map, Value};

use super::layout::{Fields, INLINE, Types, is_tuple, newtype};
use super::path::Path;
use super::{DynamicError, MAX_NESTING, unique};
use crate::describe::{Description, EnumInfo, FieldInfo, Primitive, TypeInfo};
use crate::message::bytes::START;
use crate::message::{MAX_DEPTH, MAX_SIZE};

/// Bytes of names that a value may have for each byte of its message, and as many as 8 KiB have in any case: a description may
/// be anybody's, and its names are there again with each value.
const NAMES: usize = 128;
/// Elements that there is room for at once, before any of them was seen.
const CAPACITY: usize = 4096;

pub(super) struct Decoder<'d, 'b> {
    types: Types<'d>,
    bytes: &'b [u8],
    /// The bytes that a part may still claim, as the checker counts them.
    unclaimed: Range<usize>,
    /// Levels of pointers.
    depth: u32,
    /// Values inside of values.
    nesting: u32,
    /// How many values there may still be: values without bytes could be without number.
    left: usize,
    /// How many bytes the names of fields and variants may still have.
    names: usize,
}

impl<'d, 'b> Decoder<'d, 'b> {
    pub(super) fn new(description: &'d Description, bytes: &'b [u8]) -> Self {
        let left = bytes.len().saturating_mul(16).saturating_add(1 << 16);
        let names = bytes.len().max(1 << 13).saturating_mul(NAMES);
        Decoder { types: Types::new(description), bytes, unclaimed: 0..0, depth: 0, nesting: 0, left, names }
    }

    /// The value whose form ends the bytes.
    pub(super) fn root(mut self, ty: u32) -> Result<Value, DynamicError> {
        let layout = self.types.layout(ty, &Path::Root)?;
        let at = self.start(layout.size, layout.align, &Path::Root)?;
        self.get(ty, at, &Path::Root)
    }

    /// The values whose tuple ends the bytes, by their names.
    pub(super) fn arguments<'n>(
        mut self,
        all: impl Iterator<Item = (&'n str, u32)> + Clone,
    ) -> Result<Value, DynamicError> {
        let mut fields = Fields::new();
        for (name, ty) in all.clone() {
            fields.next(self.types.layout(ty, &Path::Field(&Path::Root, name))?);
        }
        let layout = fields.layout();
        let start = self.start(layout.size, layout.align, &Path::Root)?;
        let (mut fields, mut object) = (Fields::new(), Map::new());
        for (name, ty) in all {
            let path = Path::Field(&Path::Root, name);
            let at = start + fields.next(self.types.layout(ty, &path)?);
            object.insert(name.into(), self.get(ty, at, &path)?);
        }
        Ok(Value::Object(object))
    }

    /// Where the root begins.
    fn start(&mut self, size: usize, align: usize, path: &Path<'_>) -> Result<usize, DynamicError> {
        let at = self.bytes.len().checked_sub(size).filter(|_| self.bytes.len() <= MAX_SIZE);
        let at = at.ok_or_else(|| path.error(format!("{} bytes are no such message", self.bytes.len())))?;
        if !(at + START).is_multiple_of(align) {
            return Err(path.error("the message is not aligned"));
        }
        self.unclaimed = 0..at;
        Ok(at)
    }

    fn read<const N: usize>(&self, at: usize, path: &Path<'_>) -> Result<[u8; N], DynamicError> {
        let found = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        found.copied().ok_or_else(|| path.error("the message is cut off"))
    }

    /// Reads a part that is `distance` away from the position `from`.
    fn part<T>(
        &mut self,
        from: usize,
        distance: [u8; 4],
        size: usize,
        align: usize,
        path: &Path<'_>,
        read: impl FnOnce(&mut Self, usize) -> Result<T, DynamicError>,
    ) -> Result<T, DynamicError> {
        let start = from.checked_add_signed(i32::from_le_bytes(distance) as isize);
        let fits = |start: &usize| {
            *start >= self.unclaimed.start
                && start.checked_add(size).is_some_and(|end| end <= self.unclaimed.end)
                && (start + START).is_multiple_of(align)
        };
        let start = start.filter(fits).ok_or_else(|| path.error("a part lies where none can be"))?;
        if self.depth >= MAX_DEPTH {
            return Err(path.error(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let after = start + size..self.unclaimed.end;
        self.unclaimed.end = start;
        let value = read(self, start)?;
        self.unclaimed = after;
        self.depth -= 1;
        Ok(value)
    }

    /// Reads the value whose form begins at a position.
    fn get(&mut self, ty: u32, at: usize, path: &Path<'_>) -> Result<Value, DynamicError> {
        if self.nesting >= MAX_NESTING || self.left == 0 {
            return Err(path.error(if self.left == 0 { "too many values without bytes" } else { "nested too deep" }));
        }
        self.nesting += 1;
        self.left -= 1;
        // The arms are functions of their own so that each level takes little of the stack.
        let value = match self.types.kind(ty, path)? {
            TypeInfo::Primitive(primitive) => self.primitive(*primitive, at, path),
            TypeInfo::Optional(part) => self.option(*part, at, path),
            TypeInfo::Fallible(good, bad) => self.result(*good, *bad, at, path),
            TypeInfo::List(element) => self.sequence(*element, at, path),
            TypeInfo::Set(element) => self.set(*element, at, path),
            TypeInfo::Map(key, value) => self.map(*key, *value, at, path),
            TypeInfo::Boxed(part) => self.boxed(*part, at, path),
            TypeInfo::Tuple(parts) => self.positions(parts, (Fields::new(), at), path),
            // It has a layout, so it has no more elements than a message has bytes, or elements without any.
            TypeInfo::Array(element, len) => {
                self.elements(*element, usize::try_from(*len).unwrap_or(usize::MAX), at, path)
            }
            TypeInfo::Struct(info) => self.body(&info.fields, (Fields::new(), at), path),
            TypeInfo::Enum(info) => self.variant(info, at, path),
            TypeInfo::Descriptor(_) | TypeInfo::Object(_) | TypeInfo::Stream(_) | TypeInfo::Unknown(_) => {
                Err(self.types.living(ty, path))
            }
        };
        self.nesting -= 1;
        value
    }

    /// A name that goes into the value.
    fn name<'n>(&mut self, name: &'n str, path: &Path<'_>) -> Result<&'n str, DynamicError> {
        match self.names.checked_sub(name.len()) {
            Some(rest) => {
                self.names = rest;
                Ok(name)
            }
            None => Err(path.error("the names of its parts are too long for so few bytes")),
        }
    }

    fn option(&mut self, part: u32, at: usize, path: &Path<'_>) -> Result<Value, DynamicError> {
        let inner = at + Fields::variant().next(self.types.layout(part, path)?);
        match (self.read(at, path)?, self.types.is_nullable(part)) {
            ([0], _) => Ok(Value::Null),
            ([1], false) => self.get(part, inner, path),
            ([1], true) => self.get(part, inner, path).map(|value| single("Some", value)),
            ([tag], _) => Err(unknown("Option", tag, path)),
        }
    }

    fn result(&mut self, good: u32, bad: u32, at: usize, path: &Path<'_>) -> Result<Value, DynamicError> {
        let (part, name) = match self.read(at, path)? {
            [0] => (good, "Ok"),
            [1] => (bad, "Err"),
            [tag] => return Err(unknown("Result", tag, path)),
        };
        let inner = at + Fields::variant().next(self.types.layout(part, path)?);
        self.get(part, inner, &Path::Field(path, name)).map(|value| single(name, value))
    }

    fn boxed(&mut self, part: u32, at: usize, path: &Path<'_>) -> Result<Value, DynamicError> {
        let (distance, layout) = (self.read(at, path)?, self.types.layout(part, path)?);
        self.part(at, distance, layout.size, layout.align, path, |decoder, at| decoder.get(part, at, path))
    }

    fn variant(&mut self, info: &EnumInfo, at: usize, path: &Path<'_>) -> Result<Value, DynamicError> {
        let [tag] = self.read(at, path)?;
        let variant = info.variants.get(usize::from(tag)).ok_or_else(|| unknown(&info.name, tag, path))?;
        let name = self.name(&variant.name, path)?;
        let path = Path::Field(path, name);
        match variant.fields[..] {
            [] => Ok(Value::from(name)),
            _ => {
                let value = self.body(&variant.fields, (Fields::variant(), at), &path);
                value.map(|value| single(name, value))
            }
        }
    }

    fn set(&mut self, element: u32, at: usize, path: &Path<'_>) -> Result<Value, DynamicError> {
        let values = self.sequence(element, at, path)?;
        unique(values.as_array().into_iter().flatten(), path)?;
        Ok(values)
    }

    fn primitive(&mut self, primitive: Primitive, at: usize, path: &Path<'_>) -> Result<Value, DynamicError> {
        macro_rules! number {
            ($type:ty) => {
                <$type>::from_le_bytes(self.read(at, path)?)
            };
        }
        Ok(match primitive {
            Primitive::U8 => number!(u8).into(),
            Primitive::U16 => number!(u16).into(),
            Primitive::U32 => number!(u32).into(),
            Primitive::U64 => number!(u64).into(),
            Primitive::I8 => number!(i8).into(),
            Primitive::I16 => number!(i16).into(),
            Primitive::I32 => number!(i32).into(),
            Primitive::I64 => number!(i64).into(),
            Primitive::U128 => {
                let wide = number!(u128);
                u64::try_from(wide).map_or_else(|_| wide.to_string().into(), Value::from)
            }
            Primitive::I128 => {
                let wide = number!(i128);
                i64::try_from(wide).map_or_else(|_| wide.to_string().into(), Value::from)
            }
            Primitive::F32 => {
                let narrow = number!(f32);
                // 0.1 rather than 0.10000000149011612, as long as it is read as the same number.
                let short = narrow.to_string().parse().unwrap_or(f64::from(narrow));
                float(if short as f32 == narrow { short } else { f64::from(narrow) })
            }
            Primitive::F64 => float(number!(f64)),
            Primitive::Bool => match self.read(at, path)? {
                [0] => false.into(),
                [1] => true.into(),
                [other] => return Err(path.error(format!("{other} is no bool"))),
            },
            Primitive::Char => match char::from_u32(number!(u32)) {
                Some(character) => character.to_string().into(),
                None => return Err(path.error(format!("{:#x} is no char", number!(u32)))),
            },
            Primitive::Text => self.text(at, path)?,
            Primitive::Interval => {
                let (secs, nanos) = (number!(u64), u32::from_le_bytes(self.read(at + 8, path)?));
                if nanos >= 1_000_000_000 {
                    return Err(path.error(format!("{nanos} nanoseconds are a second and more")));
                }
                Value::Object([("secs".into(), secs.into()), ("nanos".into(), nanos.into())].into_iter().collect())
            }
            Primitive::Unit | Primitive::Phantom => Value::Null,
        })
    }

    fn text(&mut self, at: usize, path: &Path<'_>) -> Result<Value, DynamicError> {
        fn checked(bytes: &[u8], path: &Path<'_>) -> Result<Value, DynamicError> {
            std::str::from_utf8(bytes).map(Value::from).map_err(|error| path.error(format!("no text: {error}")))
        }
        let inline: [u8; INLINE] = self.read(at, path)?;
        if inline[0] & 0xc0 != 0x80 {
            let len = inline.iter().position(|byte| *byte == 0xff).unwrap_or(INLINE);
            return checked(inline.get(..len).unwrap_or_default(), path);
        }
        let [a, b, c, d, distance @ ..] = inline;
        let len = u32::from_le_bytes([a, b, c, d]);
        let len = ((len & 0x3f) | ((len & !0xff) >> 2)) as usize;
        if len <= INLINE {
            return Err(path.error("a short text lies where long ones do"));
        }
        self.part(at, distance, len, 1, path, |decoder, at| {
            checked(decoder.bytes.get(at..at + len).unwrap_or_default(), path)
        })
    }

    /// Finds the elements of a sequence, so many bytes each, and goes on with their position and number.
    fn many<T>(
        &mut self,
        (size, align): (usize, usize),
        at: usize,
        path: &Path<'_>,
        read: impl FnOnce(&mut Self, usize, usize) -> Result<T, DynamicError>,
    ) -> Result<T, DynamicError> {
        let count = u32::from_le_bytes(self.read(at + 4, path)?) as usize;
        if size == 0 && count > 0 {
            return Err(path.error("a sequence of elements without a value cannot travel"));
        }
        let distance = self.read(at, path)?;
        self.part(at, distance, size.saturating_mul(count), align, path, |decoder, at| read(decoder, at, count))
    }

    fn sequence(&mut self, element: u32, at: usize, path: &Path<'_>) -> Result<Value, DynamicError> {
        let layout = self.types.layout(element, path)?;
        self.many((layout.size, layout.align), at, path, |decoder, at, count| {
            decoder.elements(element, count, at, path)
        })
    }

    fn elements(&mut self, element: u32, count: usize, at: usize, path: &Path<'_>) -> Result<Value, DynamicError> {
        let size = self.types.layout(element, path)?.size;
        let mut values = Vec::with_capacity(count.min(CAPACITY));
        for number in 0..count {
            values.push(self.get(element, at + number * size, &Path::Index(path, number))?);
        }
        Ok(Value::Array(values))
    }

    fn map(&mut self, key: u32, value: u32, at: usize, path: &Path<'_>) -> Result<Value, DynamicError> {
        let (layout, place) = self.types.entry(key, value, path)?;
        let textual = self.types.key(key).is_some();
        self.many((layout.size, layout.align), at, path, |decoder, at, count| {
            let (mut object, mut pairs) = (Map::new(), Vec::new());
            for number in 0..count {
                let (at, path) = (at + number * layout.size, Path::Index(path, number));
                let own = decoder.get(key, at, &path)?;
                let entry = decoder.get(value, at + place, &path)?;
                if !textual {
                    pairs.push(Value::Array(vec![own, entry]));
                    continue;
                }
                let text = own.as_str().map_or_else(|| own.to_string(), str::to_owned);
                if object.contains_key(&text) {
                    return Err(path.error(format!("{own} is there twice")));
                }
                object.insert(text, entry);
            }
            if textual {
                return Ok(Value::Object(object));
            }
            unique(pairs.iter().filter_map(|pair| pair.get(0)), path)?;
            Ok(Value::Array(pairs))
        })
    }

    fn positions(
        &mut self,
        parts: &[u32],
        (mut fields, at): (Fields, usize),
        path: &Path<'_>,
    ) -> Result<Value, DynamicError> {
        let mut values = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let path = Path::Index(path, number);
            let place = at + fields.next(self.types.layout(*part, &path)?);
            values.push(self.get(*part, place, &path)?);
        }
        Ok(Value::Array(values))
    }

    /// Reads the fields of a struct or of a variant.
    fn body(
        &mut self,
        own: &[FieldInfo],
        (mut fields, at): (Fields, usize),
        path: &Path<'_>,
    ) -> Result<Value, DynamicError> {
        if own.is_empty() {
            return Ok(Value::Null);
        }
        if let Some(only) = newtype(own) {
            let place = at + fields.next(self.types.layout(only, path)?);
            return self.get(only, place, path);
        }
        if is_tuple(own) {
            let parts: Vec<u32> = own.iter().map(|field| field.ty).collect();
            return self.positions(&parts, (fields, at), path);
        }
        let mut object = Map::new();
        for FieldInfo { name, ty, .. } in own {
            let name = self.name(name, path)?;
            let path = Path::Field(path, name);
            let place = at + fields.next(self.types.layout(*ty, &path)?);
            object.insert(name.to_owned(), self.get(*ty, place, &path)?);
        }
        Ok(Value::Object(object))
    }
}

/// An object with one entry.
fn single(name: &str, value: Value) -> Value {
    Value::Object([(name.to_owned(), value)].into_iter().collect())
}

#[cold]
fn unknown(name: &str, tag: u8, path: &Path<'_>) -> DynamicError {
    path.error(format!("{name} has no variant number {tag}"))
}

fn float(number: f64) -> Value {
    match number.is_finite() {
        true => Value::from(number),
        false => number.to_string().into(),
    }
}
