//! `ipc describe`.

use std::io::{self, Write};

use clap::Args;
use ipc_rpc::ServerInfo;
use ipc_rpc::describe::{Description, EnumInfo, FieldInfo, MethodInfo, ServiceInfo, StructInfo, TypeInfo, VariantInfo};
use serde_json::{Value, json};

use crate::Common;
use crate::failure::Failure;
use crate::text;

/// Prints the services of a server as Rust, with their types and documentation
#[derive(Args)]
pub struct Describe {
    /// The server
    name: String,
}

impl Describe {
    pub fn run(&self, common: &Common) -> Result<(), Failure> {
        let description = ServerInfo::of(&self.name, common.patience())?.description;
        let mut out = io::stdout().lock();
        if common.json {
            return Ok(writeln!(out, "{}", text::json(&as_json(&description), false))?);
        }
        let sources = description.services.iter().map(|service| service.rust(&description));
        Ok(out.write_all(text::lines(&sources.collect::<Vec<_>>().join("\n\n")).as_bytes())?)
    }
}

/// All of a description. A type is told by its name, and by its number in `types`: two can have one name.
fn as_json(description: &Description) -> Value {
    let services = |all: &[ServiceInfo]| -> Vec<Value> { all.iter().map(|one| service(description, one)).collect() };
    let types = (0..).zip(&description.types).map(|(number, info)| {
        let mut written = match info {
            TypeInfo::Struct(StructInfo { docs, fields: all, .. }) => {
                json!({"kind": "struct", "docs": docs, "fields": fields(description, all)})
            }
            TypeInfo::Enum(EnumInfo { docs, variants, .. }) => {
                let one = |VariantInfo { name, docs, fields: all, .. }: &VariantInfo| {
                    json!({"name": name, "docs": docs, "fields": fields(description, all)})
                };
                json!({"kind": "enum", "docs": docs, "variants": variants.iter().map(one).collect::<Vec<_>>()})
            }
            TypeInfo::Array(part, len) => json!({"kind": "array", "parts": [part], "len": len}),
            other => json!({"kind": kind(other), "parts": other.parts()}),
        };
        written["name"] = json!(description.name(number));
        written
    });
    json!({
        "services": services(&description.services),
        "callbacks": services(&description.callbacks),
        "types": types.collect::<Vec<_>>(),
    })
}

fn service(description: &Description, service: &ServiceInfo) -> Value {
    let method = |method: &MethodInfo| {
        let params = method
            .params
            .iter()
            .map(|param| json!({"name": param.name, "type": description.name(param.ty), "type_number": param.ty}));
        json!({
            "name": method.name,
            "docs": method.docs,
            "params": params.collect::<Vec<_>>(),
            "result": description.name(method.result),
            "result_number": method.result,
            "oneway": method.oneway,
            "idempotent": method.idempotent,
            "fingerprint": format!("{:016x}", method.fingerprint),
        })
    };
    let methods: Vec<Value> = service.methods.iter().map(method).collect();
    json!({"name": service.name, "docs": service.docs, "methods": methods})
}

fn fields(description: &Description, all: &[FieldInfo]) -> Vec<Value> {
    let one = |FieldInfo { name, docs, ty, .. }: &FieldInfo| json!({"name": name, "docs": docs, "type": description.name(*ty), "type_number": ty});
    all.iter().map(one).collect()
}

fn kind(info: &TypeInfo) -> &'static str {
    match info {
        TypeInfo::Primitive(_) => "primitive",
        TypeInfo::Descriptor(_) => "descriptor",
        TypeInfo::Object(_) => "object",
        TypeInfo::Stream(_) => "stream",
        TypeInfo::Optional(_) => "option",
        TypeInfo::Fallible(..) => "result",
        TypeInfo::List(_) => "vec",
        TypeInfo::Boxed(_) => "box",
        TypeInfo::Map(..) => "map",
        TypeInfo::Set(_) => "set",
        TypeInfo::Tuple(_) => "tuple",
        _ => "unknown",
    }
}
