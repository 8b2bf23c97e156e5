//! From the tables that the macros write to a description.

use std::any::TypeId;
use std::collections::HashMap;

use super::{
    Description, EnumInfo, FieldInfo, MethodInfo, ParamInfo, Primitive, ServiceInfo, StructInfo, TypeInfo, VariantInfo,
};
use crate::handshake;
use crate::message::private_exports::{Desc, DescFn, Field, Kind};
use crate::service::{MethodDesc, ServiceDesc};

pub(super) fn collect(services: &[&'static ServiceDesc]) -> Description {
    let mut types = Types::default();
    let all = services.iter().map(|service| types.service(service)).collect();
    // An object that is lent can be lent another one.
    let mut lent: Vec<&'static ServiceDesc> = Vec::new();
    let mut next: Vec<_> = services.to_vec();
    while let Some(service) = next.pop() {
        for callback in service.callbacks.iter().map(|callback| callback()) {
            if !lent.iter().any(|known| known.name == callback.name) {
                lent.push(callback);
                next.push(callback);
            }
        }
    }
    let callbacks = lent.iter().map(|service| types.service(service)).collect();
    Description { services: all, callbacks, types: types.list }
}

/// The types met so far.
#[derive(Default)]
struct Types {
    list: Vec<TypeInfo>,
    /// Those of the user's.
    known: HashMap<TypeId, u32>,
}

impl Types {
    fn service(&mut self, service: &ServiceDesc) -> ServiceInfo {
        let methods = service.methods.iter().map(|method| self.method(method)).collect();
        ServiceInfo { name: service.name.into(), docs: service.docs.into(), methods }
    }

    fn method(&mut self, method: &MethodDesc) -> MethodInfo {
        let params = method.params.iter();
        MethodInfo {
            name: method.name.into(),
            docs: method.docs.into(),
            params: params.map(|param| ParamInfo { name: param.name.into(), ty: self.number(param.desc) }).collect(),
            result: self.number(method.result),
            oneway: method.oneway,
            idempotent: method.idempotent,
            fingerprint: handshake::fingerprint(&handshake::signature(method)),
        }
    }

    fn numbers(&mut self, descs: &'static [DescFn]) -> Vec<u32> {
        descs.iter().map(|desc| self.number(*desc)).collect()
    }

    fn number(&mut self, desc: DescFn) -> u32 {
        let desc: &'static Desc = desc();
        let info = match desc.kind {
            Kind::Primitive(name) => primitive(name),
            Kind::Standard(name, parts) => standard(name, &self.numbers(parts)),
            Kind::Tuple(parts) => TypeInfo::Tuple(self.numbers(parts)),
            Kind::Array(element, len) => TypeInfo::Array(self.number(element), len as u64),
            Kind::Struct(name, docs, arguments, fields) => {
                return self.user_defined(desc, |types, number| {
                    let info = StructInfo { name: name.into(), docs: docs.into(), arguments: vec![], fields: vec![] };
                    types.list.push(TypeInfo::Struct(info.clone()));
                    let (arguments, fields) = (types.numbers(arguments), types.fields(fields));
                    types.list[number] = TypeInfo::Struct(StructInfo { arguments, fields, ..info });
                });
            }
            Kind::Enum(name, docs, arguments, variants) => {
                return self.user_defined(desc, |types, number| {
                    let info = EnumInfo { name: name.into(), docs: docs.into(), arguments: vec![], variants: vec![] };
                    types.list.push(TypeInfo::Enum(info.clone()));
                    let arguments = types.numbers(arguments);
                    let variants = variants.iter().map(|variant| VariantInfo {
                        name: variant.name.into(),
                        docs: variant.docs.into(),
                        fields: types.fields(variant.fields),
                    });
                    let variants = variants.collect();
                    types.list[number] = TypeInfo::Enum(EnumInfo { arguments, variants, ..info });
                });
            }
        };
        // Several types of Rust are one on the wire.
        match self.list.iter().position(|known| *known == info) {
            Some(number) => number as u32,
            None => {
                self.list.push(info);
                self.list.len() as u32 - 1
            }
        }
    }

    /// A type that may be a part of itself: it has its number before its parts are looked at.
    fn user_defined(&mut self, desc: &'static Desc, describe: impl FnOnce(&mut Self, usize)) -> u32 {
        if let Some(number) = self.known.get(&desc.id) {
            return *number;
        }
        let number = self.list.len();
        self.known.insert(desc.id, number as u32);
        describe(self, number);
        number as u32
    }

    fn fields(&mut self, fields: &'static [Field]) -> Vec<FieldInfo> {
        let field =
            |field: &Field| FieldInfo { name: field.name.into(), docs: field.docs.into(), ty: self.number(field.desc) };
        fields.iter().map(field).collect()
    }
}

fn primitive(name: &str) -> TypeInfo {
    match (Primitive::named(name), name.strip_prefix("callback ")) {
        (Some(primitive), _) => TypeInfo::Primitive(primitive),
        (None, Some(service)) => TypeInfo::Object(service.into()),
        (None, None) => TypeInfo::Descriptor(name.into()),
    }
}

fn standard(name: &str, parts: &[u32]) -> TypeInfo {
    match (name, parts) {
        ("Option", [part]) => TypeInfo::Optional(*part),
        ("Result", [value, error]) => TypeInfo::Fallible(*value, *error),
        ("Vec", [part]) => TypeInfo::List(*part),
        ("Box", [part]) => TypeInfo::Boxed(*part),
        ("Map", [key, value]) => TypeInfo::Map(*key, *value),
        ("Set", [part]) => TypeInfo::Set(*part),
        ("Streaming", [item]) => TypeInfo::Stream(*item),
        _ => TypeInfo::Unknown(name.into()),
    }
}
