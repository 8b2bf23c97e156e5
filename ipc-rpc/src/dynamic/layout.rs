//! How types lie in messages, computed from their description as the compiler does from theirs.

use std::collections::HashMap;

use super::DynamicError;
use super::path::Path;
use crate::describe::{Description, EnumInfo, FieldInfo, Primitive, StructInfo, TypeInfo};
use crate::message::{MAX_ALIGN, MAX_SIZE};

/// Size and alignment of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) size: usize,
    pub(super) align: usize,
}

impl Layout {
    const fn of(size: usize, align: usize) -> Self {
        Layout { size, align }
    }
}

/// A text, a vector: where it lies and how long it is.
pub(super) const POINTER_AND_LEN: Layout = Layout::of(8, 4);
/// Texts of no more bytes lie in the form itself.
pub(super) const INLINE: usize = 8;
/// Types inside of types, without a pointer between them.
const DEEPEST: u32 = 256;

/// The types of a description, with the layouts of those that were asked for.
pub(super) struct Types<'d> {
    description: &'d Description,
    /// `None`: it is being computed.
    known: HashMap<u32, Option<Layout>>,
}

/// Lays parts out one behind the other, as `repr(C)` does.
pub(super) struct Fields {
    end: usize,
    align: usize,
}

impl Fields {
    /// Of a struct or a tuple.
    pub(super) fn new() -> Self {
        Fields { end: 0, align: 1 }
    }

    /// Of a variant: behind its number.
    pub(super) fn variant() -> Self {
        Fields { end: 1, align: 1 }
    }

    /// Where the next part begins.
    pub(super) fn next(&mut self, part: Layout) -> usize {
        // Both sizes are at most `MAX_SIZE`.
        let at = self.end.next_multiple_of(part.align);
        self.end = (at + part.size).min(2 * MAX_SIZE);
        self.align = self.align.max(part.align);
        at
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::of(self.end.next_multiple_of(self.align), self.align)
    }
}

impl<'d> Types<'d> {
    pub(super) fn new(description: &'d Description) -> Self {
        Types { description, known: HashMap::new() }
    }

    pub(super) fn name(&self, ty: u32) -> String {
        self.description.name(ty)
    }

    pub(super) fn kind(&self, ty: u32, path: &Path<'_>) -> Result<&'d TypeInfo, DynamicError> {
        self.description.kind(ty).ok_or_else(|| path.error(format!("the description has no type number {ty}")))
    }

    /// The error for a type that exists in processes only.
    #[cold]
    pub(super) fn living(&self, ty: u32, path: &Path<'_>) -> DynamicError {
        path.error(format!("a {} cannot be written as JSON", self.name(ty)))
    }

    /// The layout of a type.
    pub(super) fn layout(&mut self, ty: u32, path: &Path<'_>) -> Result<Layout, DynamicError> {
        self.compute(ty, 0).map_err(|reason| path.error(reason))
    }

    /// The layout of an entry of a map, and where its value begins.
    pub(super) fn entry(&mut self, key: u32, value: u32, path: &Path<'_>) -> Result<(Layout, usize), DynamicError> {
        let (key, value) = (self.layout(key, path)?, self.layout(value, path)?);
        let mut fields = Fields::new();
        fields.next(key);
        let at = fields.next(value);
        Ok((fields.layout(), at))
    }

    fn compute(&mut self, ty: u32, depth: u32) -> Result<Layout, String> {
        match self.known.get(&ty) {
            Some(Some(layout)) => return Ok(*layout),
            Some(None) => return Err(format!("{} contains itself", self.name(ty))),
            None if depth > DEEPEST => return Err("the types are nested too deep".into()),
            None => {}
        }
        let info = self.description.kind(ty).ok_or_else(|| format!("the description has no type number {ty}"))?;
        self.known.insert(ty, None);
        let layout = match info {
            TypeInfo::Primitive(primitive) => primitive_layout(*primitive),
            TypeInfo::Descriptor(_) | TypeInfo::Object(_) | TypeInfo::Boxed(_) => Layout::of(4, 4),
            TypeInfo::List(_) | TypeInfo::Map(..) | TypeInfo::Set(_) => POINTER_AND_LEN,
            TypeInfo::Optional(part) => self.variants(&[&[*part]], depth)?,
            TypeInfo::Fallible(value, error) => self.variants(&[&[*value], &[*error]], depth)?,
            TypeInfo::Tuple(parts) => self.fields(Fields::new(), parts, depth)?.layout(),
            TypeInfo::Array(element, len) => {
                let Layout { size, align } = self.compute(*element, depth + 1)?;
                let len = usize::try_from(*len).unwrap_or(usize::MAX);
                Layout::of(size.saturating_mul(len), align)
            }
            TypeInfo::Struct(StructInfo { fields, .. }) => self.fields(Fields::new(), &types(fields), depth)?.layout(),
            TypeInfo::Enum(EnumInfo { variants, .. }) => {
                let variants: Vec<_> = variants.iter().map(|variant| types(&variant.fields)).collect();
                let variants: Vec<&[u32]> = variants.iter().map(Vec::as_slice).collect();
                self.variants(&variants, depth)?
            }
            TypeInfo::Stream(_) | TypeInfo::Unknown(_) => {
                return Err(format!("{} does not lie in messages", self.name(ty)));
            }
        };
        debug_assert!(layout.align <= MAX_ALIGN);
        if layout.size > MAX_SIZE {
            return Err(format!("{} is larger than a message", self.name(ty)));
        }
        self.known.insert(ty, Some(layout));
        Ok(layout)
    }

    fn fields(&mut self, mut to: Fields, parts: &[u32], depth: u32) -> Result<Fields, String> {
        for part in parts {
            to.next(self.compute(*part, depth + 1)?);
        }
        Ok(to)
    }

    fn variants(&mut self, variants: &[&[u32]], depth: u32) -> Result<Layout, String> {
        let mut whole = Fields::variant();
        for parts in variants {
            let variant = self.fields(Fields::variant(), parts, depth)?;
            whole.end = whole.end.max(variant.end);
            whole.align = whole.align.max(variant.align);
        }
        Ok(whole.layout())
    }

    /// Can a value of the type be a `null`?
    pub(super) fn is_nullable(&self, ty: u32) -> bool {
        let mut ty = ty;
        for _ in 0..DEEPEST {
            match self.description.kind(ty) {
                Some(TypeInfo::Primitive(Primitive::Unit | Primitive::Phantom) | TypeInfo::Optional(_)) => {
                    return true;
                }
                Some(TypeInfo::Boxed(part)) => ty = *part,
                Some(TypeInfo::Struct(StructInfo { fields, .. })) => match newtype(fields) {
                    Some(part) => ty = part,
                    None => return fields.is_empty(),
                },
                _ => return false,
            }
        }
        false
    }

    /// What a key of the type is, if it is written as a text.
    pub(super) fn key(&self, ty: u32) -> Option<Key> {
        let mut ty = ty;
        for _ in 0..DEEPEST {
            match self.description.kind(ty)? {
                TypeInfo::Primitive(primitive) => {
                    return match primitive {
                        Primitive::Text | Primitive::Char => Some(Key::Text),
                        Primitive::Bool => Some(Key::Bool),
                        Primitive::F32
                        | Primitive::F64
                        | Primitive::Interval
                        | Primitive::Unit
                        | Primitive::Phantom => None,
                        _ => Some(Key::Number),
                    };
                }
                TypeInfo::Enum(EnumInfo { variants, .. }) => {
                    let fieldless = variants.iter().all(|variant| variant.fields.is_empty());
                    return fieldless.then_some(Key::Text);
                }
                TypeInfo::Boxed(part) => ty = *part,
                TypeInfo::Struct(StructInfo { fields, .. }) => ty = newtype(fields)?,
                _ => return None,
            }
        }
        None
    }
}

/// How a key is written as a text.
#[derive(Clone, Copy)]
pub(super) enum Key {
    Text,
    Number,
    Bool,
}

/// The type of the only field of a tuple struct, which stands for it.
pub(super) fn newtype(fields: &[FieldInfo]) -> Option<u32> {
    match fields {
        [only] if only.name == "0" => Some(only.ty),
        _ => None,
    }
}

/// Do fields have numbers for names?
pub(super) fn is_tuple(fields: &[FieldInfo]) -> bool {
    fields.first().is_some_and(|field| field.name == "0")
}

fn types(fields: &[FieldInfo]) -> Vec<u32> {
    fields.iter().map(|field| field.ty).collect()
}

fn primitive_layout(primitive: Primitive) -> Layout {
    match primitive {
        Primitive::U8 | Primitive::I8 | Primitive::Bool => Layout::of(1, 1),
        Primitive::U16 | Primitive::I16 => Layout::of(2, 2),
        Primitive::U32 | Primitive::I32 | Primitive::F32 | Primitive::Char => Layout::of(4, 4),
        Primitive::U64 | Primitive::I64 | Primitive::F64 => Layout::of(8, 8),
        Primitive::U128 | Primitive::I128 => Layout::of(16, 16),
        Primitive::Text => POINTER_AND_LEN,
        Primitive::Interval => Layout::of(16, 8),
        Primitive::Unit | Primitive::Phantom => Layout::of(0, 1),
    }
}
