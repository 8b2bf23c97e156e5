//! A service as the source of its trait.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{
    Description, EnumInfo, FieldInfo, MethodInfo, ParamInfo, Primitive, ServiceInfo, StructInfo, TypeInfo, VariantInfo,
};
use crate::message::MAX_DEPTH;

/// What rustfmt has on one line unless it is told otherwise.
const LINE: usize = 100;
/// The same, for the fields of a variant.
const VARIANT: usize = 35;
/// Bytes of a list of types, after which it is cut short: only somebody hostile has longer ones.
const LONGEST: usize = 1 << 10;
/// Characters of an identifier: the same.
const LONGEST_WORD: usize = 1 << 8;
/// Types that are looked at to be written, counted each time, after which no more are: the same.
const MOST: usize = 1 << 18;

impl ServiceInfo {
    /// The trait as Rust source, with the types that it uses and the traits of the objects that it is lent: what a program
    /// needs to call the service. `description` is the one that it is from.
    ///
    /// The owned types travel, so that what the trait has as `&Archived<Query>` or `BTreeMap<..>` is a `&Query` and a
    /// `HashMap<..>` here, which is the same on the wire. If several types
    /// have one name, all but one stand in modules.
    ///
    /// ```
    /// use ipc_rpc::{describe::Description, service};
    ///
    /// /// Adds numbers.
    /// #[service]
    /// pub trait Calc {
    ///     #[rpc(idempotent)]
    ///     fn sum(&self, numbers: Vec<i64>) -> Option<i64>;
    /// }
    ///
    /// let description = Description::of_client::<CalcClient>();
    /// assert_eq!(description.services[0].rust(&description), "\
    /// use ipc_rpc::service;
    ///
    /// /// Adds numbers.
    /// #[service]
    /// pub trait Calc {
    ///     #[rpc(idempotent)]
    ///     fn sum(&self, numbers: &[i64]) -> Option<i64>;
    /// }
    /// ");
    /// ```
    pub fn rust(&self, description: &Description) -> String {
        let mut source = Source {
            description,
            families: vec![],
            member: HashMap::new(),
            imports: BTreeMap::new(),
            imported: HashSet::new(),
            left: Cell::new(MOST),
        };
        let services = source.collect(self);
        let mut items: Vec<String> = services.iter().map(|service| source.service(service)).collect();
        let keys = source.keys();
        for family in 0..source.families.len() {
            items.extend(source.definitions(family, &keys));
        }
        source.import("ipc_rpc", "service");
        let imports = source.imports.iter().map(|(path, names)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            match names[..] {
                [one] => format!("use {path}::{one};\n"),
                _ => format!("use {path}::{{{}}};\n", names.join(", ")),
            }
        });
        // As rustfmt sorts them.
        let imports: String = imports.collect();
        std::iter::once(imports).chain(items).collect::<Vec<_>>().join("\n")
    }
}

/// Types of the user's that have one definition: the same type with other arguments each time.
struct Family {
    name: String,
    /// The module that it stands in if it is not the first one of its name, which is a part of its fingerprint.
    module: Option<String>,
    members: Vec<u32>,
}

struct Source<'d> {
    description: &'d Description,
    families: Vec<Family>,
    /// The family of a type.
    member: HashMap<u32, usize>,
    imports: BTreeMap<&'static str, BTreeSet<String>>,
    /// Types that are imported if they have to be.
    imported: HashSet<u32>,
    /// How many types may still be looked at.
    left: Cell<usize>,
}

impl<'d> Source<'d> {
    fn import(&mut self, path: &'static str, name: &str) {
        self.imports.entry(path).or_default().insert(name.to_owned());
    }

    /// Counts so many types that are looked at; `None`: they were too many.
    fn spend(&self, types: usize) -> Option<()> {
        self.left.set(self.left.get().checked_sub(types)?);
        Some(())
    }

    /// Finds the types and the services of objects that a service uses, in the order in which they are met.
    fn collect<'s>(&mut self, service: &'s ServiceInfo) -> Vec<&'s ServiceInfo>
    where
        'd: 's,
    {
        let mut services = vec![service];
        let (mut met, mut users) = (HashSet::new(), Vec::new());
        let callbacks = self.description.callbacks.iter().rev();
        let mut callbacks: HashMap<&str, _> = callbacks.map(|service| (service.name.as_str(), service)).collect();
        callbacks.remove(service.name.as_str());
        let mut at = 0;
        while let Some(service) = services.get(at).copied() {
            at += 1;
            for method in &service.methods {
                let mut next: Vec<u32> = method.params.iter().map(|param| param.ty).chain([method.result]).collect();
                next.reverse();
                while let Some(ty) = next.pop() {
                    let Some(info) = self.description.kind(ty).filter(|_| met.insert(ty)) else { continue };
                    match info {
                        TypeInfo::Struct(_) | TypeInfo::Enum(_) => users.push(ty),
                        TypeInfo::Object(name) => services.extend(callbacks.remove(name.as_str())),
                        _ => {}
                    }
                    let (mut parts, arguments) = (info.parts(), info.user_defined().map_or(&[][..], |(_, all)| all));
                    parts.extend(arguments);
                    next.extend(parts.into_iter().rev());
                }
            }
        }
        self.group(&users);
        services
    }

    /// Finds those that one definition is enough for.
    fn group(&mut self, users: &[u32]) {
        let (mut groups, mut known): (Vec<Vec<u32>>, _) = (Vec::new(), HashMap::new());
        for ty in users {
            let (name, arguments) = self.description.kind(*ty).and_then(TypeInfo::user_defined).unwrap_or_default();
            let new = groups.len();
            let place = if arguments.is_empty() { new } else { *known.entry((name, arguments.len())).or_insert(new) };
            match groups.get_mut(place) {
                Some(group) => group.push(*ty),
                None => groups.push(vec![*ty]),
            }
        }
        // All have to be known before one can be asked whether it has parameters.
        loop {
            self.set(&groups);
            let affordable = self.spend(groups.len());
            let split = groups.iter().enumerate().flat_map(|(family, group)| {
                match group.len() == 1 || affordable.is_some_and(|()| self.fields_of(family).is_some()) {
                    true => vec![group.clone()],
                    false => group.iter().map(|ty| vec![*ty]).collect(),
                }
            });
            let split: Vec<_> = split.collect();
            if split.len() == groups.len() {
                break;
            }
            groups = split;
        }
    }

    fn set(&mut self, groups: &[Vec<u32>]) {
        let mut known: HashMap<String, u32> = HashMap::new();
        let family = |members: &Vec<u32>| {
            let (name, _) = self.description.kind(members[0]).and_then(TypeInfo::user_defined).unwrap_or_default();
            let name = identifier(name);
            let number = known.entry(name.clone()).or_default();
            *number += 1;
            let module = (*number > 1).then(|| format!("{}{number}", name.trim_start_matches("r#").to_lowercase()));
            Family { name, module, members: members.clone() }
        };
        self.families = groups.iter().map(family).collect();
        let members = self.families.iter().enumerate();
        self.member = members.flat_map(|(number, family)| family.members.iter().map(move |ty| (*ty, number))).collect();
    }

    /// The types of the user's that are hashed.
    fn keys(&self) -> HashSet<u32> {
        let types = self.description.types.iter();
        let mut next: Vec<u32> = types
            .filter_map(|info| match info {
                TypeInfo::Map(key, _) | TypeInfo::Set(key) => Some(*key),
                _ => None,
            })
            .collect();
        let mut keys = HashSet::new();
        while let Some(ty) = next.pop() {
            if keys.insert(ty) {
                next.extend(self.description.kind(ty).map(TypeInfo::parts).unwrap_or_default());
            }
        }
        keys
    }

    /// The arguments of the members of a family.
    fn arguments(&self, family: usize) -> Vec<&'d [u32]> {
        let members = self.families[family].members.iter();
        members.filter_map(|ty| Some(self.description.kind(*ty)?.user_defined()?.1)).collect()
    }

    /// The types of the fields of a family's definition, `None` if its members cannot share one.
    fn fields_of(&self, family: usize) -> Option<Vec<String>> {
        let members = &self.families[family].members;
        let first = self.description.kind(*members.first()?)?;
        self.spend(members.len() - 1)?;
        let parts: Vec<Vec<u32>> =
            members.iter().map(|ty| Some(self.description.kind(*ty)?.parts())).collect::<Option<_>>()?;
        let shape = |ty: &u32| Some(shape(self.description.kind(*ty)?));
        if !members.iter().all(|ty| shape(ty) == Some(self::shape(first))) {
            return None;
        }
        let arguments = self.arguments(family);
        let mut fields = Vec::new();
        for place in 0..parts[0].len() {
            let same: Vec<u32> = parts.iter().map(|parts| parts.get(place).copied()).collect::<Option<_>>()?;
            fields.push(self.common(&same, &arguments, 0)?);
        }
        let between = |c: char| !c.is_alphanumeric() && c != '_';
        let used: HashSet<&str> = fields.iter().flat_map(|field| field.split(between)).collect();
        let all = (0..arguments[0].len()).all(|number| used.contains(parameter(number).as_str()));
        all.then_some(fields)
    }

    /// A type that is written the same for all members of a family, whose arguments are these.
    fn common(&self, same: &[u32], arguments: &[&[u32]], depth: u32) -> Option<String> {
        let count = arguments.first().map_or(0, |first| first.len());
        self.spend(same.len().saturating_mul(1 + count)).filter(|()| depth <= MAX_DEPTH)?;
        let stands = |number: usize| same.iter().zip(arguments).all(|(ty, own)| own.get(number) == Some(ty));
        if let Some(number) = (0..count).find(|number| stands(*number)) {
            return Some(parameter(number));
        }
        let infos: Vec<&TypeInfo> = same.iter().map(|ty| self.description.kind(*ty)).collect::<Option<_>>()?;
        let below = infos.iter().map(|info| Some(below(info)).filter(|parts| self.spend(parts.len()).is_some()));
        let below: Vec<Vec<u32>> = below.collect::<Option<_>>()?;
        let head = |ty: &u32, info: &TypeInfo| match info.user_defined() {
            Some(_) => self.member.get(ty).map(|family| format!("family {family}")),
            None => Some(shape(info)),
        };
        let first = head(&same[0], infos[0])?;
        let alike = same.iter().zip(&infos).all(|(ty, info)| head(ty, info).as_ref() == Some(&first));
        if !alike || below.iter().any(|parts| parts.len() != below[0].len()) {
            return None;
        }
        let mut parts = Vec::new();
        for place in 0..below[0].len() {
            let same: Vec<u32> = below.iter().map(|parts| parts[place]).collect();
            parts.push(self.common(&same, arguments, depth + 1)?);
        }
        Some(self.compose(same[0], infos[0], &parts))
    }

    /// The name of a type whose parts are called so.
    fn compose(&self, ty: u32, info: &TypeInfo, parts: &[String]) -> String {
        let mut list = parts.join(", ");
        if list.len() > LONGEST {
            list = "_".into();
        }
        match info {
            TypeInfo::Primitive(Primitive::Phantom) => "PhantomData<()>".into(),
            TypeInfo::Primitive(primitive) => primitive.name().into(),
            TypeInfo::Descriptor(name) | TypeInfo::Unknown(name) => identifier(name),
            TypeInfo::Object(service) => format!("&{}Client", identifier(service)),
            TypeInfo::Stream(_) => format!("Streaming<{list}>"),
            TypeInfo::Optional(_) => format!("Option<{list}>"),
            TypeInfo::Fallible(..) => format!("Result<{list}>"),
            TypeInfo::List(_) => format!("Vec<{list}>"),
            TypeInfo::Boxed(_) => format!("Box<{list}>"),
            TypeInfo::Map(..) => format!("HashMap<{list}>"),
            TypeInfo::Set(_) => format!("HashSet<{list}>"),
            TypeInfo::Tuple(parts) if parts.len() == 1 => format!("({list},)"),
            TypeInfo::Tuple(_) => format!("({list})"),
            TypeInfo::Array(_, len) => format!("[{list}; {len}]"),
            TypeInfo::Struct(_) | TypeInfo::Enum(_) => {
                let family = self.member.get(&ty).map(|family| &self.families[*family]);
                let path = family.map_or("_".into(), |family| match &family.module {
                    Some(module) => format!("{module}::{}", family.name),
                    None => family.name.clone(),
                });
                if parts.is_empty() { path } else { format!("{path}<{list}>") }
            }
        }
    }

    /// The name of a type in a signature.
    fn name(&mut self, ty: u32) -> String {
        self.import_all(ty);
        self.common(&[ty], &[&[]], 0).unwrap_or_else(|| "_".into())
    }

    /// Imports what the name of a type needs.
    fn import_all(&mut self, ty: u32) {
        let mut next = vec![ty];
        while let Some(ty) = next.pop() {
            let Some(info) = self.description.kind(ty).filter(|_| self.imported.insert(ty)) else { continue };
            match info {
                TypeInfo::Primitive(Primitive::Interval) => self.import("std::time", "Duration"),
                TypeInfo::Primitive(Primitive::Phantom) => self.import("std::marker", "PhantomData"),
                TypeInfo::Map(..) => self.import("std::collections", "HashMap"),
                TypeInfo::Set(_) => self.import("std::collections", "HashSet"),
                TypeInfo::Stream(_) => self.import("ipc_rpc", "Streaming"),
                TypeInfo::Descriptor(name) => {
                    let path = match name.as_str() {
                        "OwnedFd" => "std::os::fd",
                        "File" => "std::fs",
                        "PipeReader" | "PipeWriter" => "std::io",
                        "UnixDatagram" | "UnixListener" | "UnixStream" => "std::os::unix::net",
                        _ => "std::net",
                    };
                    self.import(path, &identifier(name));
                }
                _ => {}
            }
            next.extend(below(info));
        }
    }

    fn service(&mut self, service: &ServiceInfo) -> String {
        let mut text = comment(&service.docs, "");
        text.push_str(&format!("#[service]\npub trait {} {{\n", identifier(&service.name)));
        for (number, method) in service.methods.iter().enumerate() {
            if number > 0 && !(method.docs.is_empty() && service.methods[number - 1].docs.is_empty()) {
                text.push('\n');
            }
            text.push_str(&self.method(method));
        }
        text.push_str("}\n");
        text
    }

    fn method(&mut self, method: &MethodInfo) -> String {
        let MethodInfo { name, docs, params, result, .. } = method;
        let mut text = comment(docs, "    ");
        let own = identifier(name);
        let mut said = Vec::new();
        if own.strip_prefix("r#").unwrap_or(&own) != name {
            said.push(format!("name = {name:?}"));
        }
        said.extend(method.oneway.then(|| "oneway".into()));
        said.extend(method.idempotent.then(|| "idempotent".into()));
        if !said.is_empty() {
            text.push_str(&format!("    #[rpc({})]\n", said.join(", ")));
        }
        let mut all = vec!["&self".to_owned()];
        all.extend(params.iter().map(|ParamInfo { name, ty }| format!("{}: {}", identifier(name), self.param(*ty))));
        let result = match self.description.kind(*result) {
            Some(TypeInfo::Primitive(Primitive::Unit)) => String::new(),
            _ => format!(" -> {}", self.name(*result)),
        };
        let line = format!("    fn {own}({}){result};\n", all.join(", "));
        match line.trim_end().chars().count() <= LINE {
            true => text.push_str(&line),
            false => text.push_str(&format!("    fn {own}(\n        {},\n    ){result};\n", all.join(",\n        "))),
        }
        text
    }

    /// The type of an argument, by reference where nothing speaks for a value.
    fn param(&mut self, ty: u32) -> String {
        let borrowed = |source: &mut Self, ty: u32| match source.description.kind(ty) {
            Some(TypeInfo::Primitive(Primitive::Text)) => Some("&str".into()),
            Some(TypeInfo::List(element)) => Some(format!("&[{}]", source.name(*element))),
            Some(TypeInfo::Struct(_) | TypeInfo::Map(..) | TypeInfo::Set(_)) => Some(format!("&{}", source.name(ty))),
            Some(TypeInfo::Enum(EnumInfo { variants, .. })) if variants.iter().any(|v| !v.fields.is_empty()) => {
                Some(format!("&{}", source.name(ty)))
            }
            _ => None,
        };
        // What has a descriptor in it is given away.
        if self.description.living_part(ty).is_some() {
            return self.name(ty);
        }
        if let Some(TypeInfo::Optional(part)) = self.description.kind(ty)
            && let Some(part) = borrowed(self, *part)
        {
            return format!("Option<{part}>");
        }
        borrowed(self, ty).unwrap_or_else(|| self.name(ty))
    }

    /// The definitions of a family: one, or as many as there are members.
    fn definitions(&mut self, family: usize, keys: &HashSet<u32>) -> Option<String> {
        let first = *self.families[family].members.first()?;
        let description = self.description;
        let info = description.kind(first)?;
        for ty in self.families[family].members.clone() {
            for part in description.kind(ty)?.parts() {
                self.import_all(part);
            }
        }
        let count = self.arguments(family).first()?.len();
        let (fields, count) = match self.fields_of(family) {
            Some(fields) => (fields, count),
            // Something of it depends on what is no argument: as if it had none.
            None => (info.parts().into_iter().map(|part| self.name(part)).collect(), 0),
        };
        let parameters: Vec<String> = (0..count).map(parameter).collect();
        let mut name = self.families[family].name.clone();
        if count > 0 {
            name = format!("{name}<{}>", parameters.join(", "));
        }
        self.import("ipc_rpc", "Message");
        let hashed = self.families[family].members.iter().any(|ty| keys.contains(ty));
        let derived = if hashed { "Message, Debug, PartialEq, Eq, Hash" } else { "Message, Debug" };
        let mut fields = fields.into_iter();
        let text = match info {
            TypeInfo::Struct(StructInfo { docs, fields: own, .. }) => {
                let body = struct_body(own, &mut fields);
                format!("{}#[derive({derived})]\npub struct {name}{body}\n", comment(docs, ""))
            }
            TypeInfo::Enum(EnumInfo { docs, variants, .. }) => {
                let mut text = format!("{}#[derive({derived})]\npub enum {name} {{\n", comment(docs, ""));
                for VariantInfo { name, docs, fields: own } in variants {
                    text.push_str(&comment(docs, "    "));
                    text.push_str(&format!("    {}{},\n", identifier(name), variant_body(own, &mut fields)));
                }
                text.push_str("}\n");
                text
            }
            _ => return None,
        };
        let Some(module) = &self.families[family].module else { return Some(text) };
        let indented = text.lines().map(|line| if line.is_empty() { "\n".into() } else { format!("    {line}\n") });
        Some(format!("pub mod {module} {{\n    use super::*;\n\n{}}}\n", indented.collect::<String>()))
    }
}

fn struct_body(own: &[FieldInfo], types: &mut impl Iterator<Item = String>) -> String {
    let documented = own.iter().any(|field| !field.docs.is_empty());
    match (is_tuple(own), own.is_empty()) {
        (_, true) => ";".into(),
        (true, _) if !documented => {
            let all: Vec<String> = types.take(own.len()).map(|ty| format!("pub {ty}")).collect();
            format!("({});", all.join(", "))
        }
        (true, _) => format!("(\n{});", fields(own, types, "    ", "pub ")),
        (false, _) => format!(" {{\n{}}}", fields(own, types, "    ", "pub ")),
    }
}

fn variant_body(own: &[FieldInfo], types: &mut impl Iterator<Item = String>) -> String {
    let documented = own.iter().any(|field| !field.docs.is_empty());
    let types: Vec<String> = types.take(own.len()).collect();
    let mut again = types.iter().cloned();
    if own.is_empty() {
        return String::new();
    }
    if is_tuple(own) {
        let line = format!("({})", types.join(", "));
        let short = !documented && line.len() < LINE - 40;
        return if short { line } else { format!("(\n{}    )", fields(own, &mut again, "        ", "")) };
    }
    let all: Vec<String> = own.iter().zip(&types).map(|(f, ty)| format!("{}: {ty}", identifier(&f.name))).collect();
    let line = all.join(", ");
    let short = !documented && line.len() <= VARIANT;
    if short { format!(" {{ {line} }}") } else { format!(" {{\n{}    }}", fields(own, &mut again, "        ", "")) }
}

/// Fields, each on a line of its own.
fn fields(own: &[FieldInfo], types: &mut impl Iterator<Item = String>, indent: &str, vis: &str) -> String {
    let tuple = is_tuple(own);
    let line = |field: &FieldInfo| {
        let name = if tuple { String::new() } else { format!("{}: ", identifier(&field.name)) };
        format!("{}{indent}{vis}{name}{},\n", comment(&field.docs, indent), types.next().unwrap_or_default())
    };
    own.iter().map(line).collect()
}

fn is_tuple(fields: &[FieldInfo]) -> bool {
    fields.first().is_some_and(|field| field.name == "0")
}

/// The types that are written in the name of another one.
fn below(info: &TypeInfo) -> Vec<u32> {
    info.user_defined().map_or_else(|| info.parts(), |(_, arguments)| arguments.to_vec())
}

/// What two types have in common that differ in their parts only.
fn shape(info: &TypeInfo) -> String {
    let names = |fields: &[FieldInfo]| fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(" ");
    match info {
        TypeInfo::Primitive(primitive) => primitive.name().into(),
        TypeInfo::Descriptor(name) | TypeInfo::Object(name) | TypeInfo::Unknown(name) => format!("called {name}"),
        TypeInfo::Stream(_) => "Streaming".into(),
        TypeInfo::Optional(_) => "Option".into(),
        TypeInfo::Fallible(..) => "Result".into(),
        TypeInfo::List(_) => "Vec".into(),
        TypeInfo::Boxed(_) => "Box".into(),
        TypeInfo::Map(..) => "Map".into(),
        TypeInfo::Set(_) => "Set".into(),
        TypeInfo::Tuple(parts) => format!("tuple of {}", parts.len()),
        TypeInfo::Array(_, len) => format!("array of {len}"),
        TypeInfo::Struct(StructInfo { name, fields, .. }) => format!("struct {name} {}", names(fields)),
        TypeInfo::Enum(EnumInfo { name, variants, .. }) => {
            let variants = variants.iter().map(|v| format!("{} {}", v.name, names(&v.fields)));
            format!("enum {name} {}", variants.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The name of a type's parameter.
fn parameter(number: usize) -> String {
    match number {
        0..=6 => char::from(b'T' + number as u8).into(),
        _ => format!("T{number}"),
    }
}

/// Documentation as comments. It may be anybody's: what would steer a terminal is left out.
fn comment(docs: &str, indent: &str) -> String {
    let line = |line: &str| {
        let line: String = line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        format!("{indent}{}\n", format!("/// {line}").trim_end())
    };
    docs.lines().map(line).collect()
}

/// A name as Rust takes it. It may be anybody's.
pub(super) fn identifier(name: &str) -> String {
    const KEYWORDS: &str = "abstract as async await become box break const continue do dyn else enum extern false final fn \
                            for gen if impl in let loop macro match mod move mut override priv pub ref return static \
                            struct trait true try type typeof unsafe unsized use virtual where while yield";
    let own = name.chars().take(LONGEST_WORD);
    let mut own: String = own.map(|c| if c.is_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if own.is_empty()
        || own.starts_with(|c: char| c.is_numeric())
        || matches!(own.as_str(), "self" | "Self" | "super" | "crate")
    {
        own.insert(0, '_');
    }
    if KEYWORDS.split(' ').any(|word| word == own) { format!("r#{own}") } else { own }
}
