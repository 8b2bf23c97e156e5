use super::*;

/// A tree that knows itself, and its neighbours.
#[derive(crate::Message)]
#[message(crate = crate)]
struct Node<T> {
    /// What it is called.
    value: T,
    children: Vec<Node<T>>,
    next: Option<Box<Node<T>>>,
}

#[crate::service(crate = crate)]
trait Trees {
    /// Grows.
    fn grow(&self, tree: &Node<String>, by: (u8, [f32; 3])) -> Result<Node<u32>, String>;
    fn rest(&self);
}

fn description() -> Description {
    Description::of(&[TreesClient::<crate::mode::Owned>::service()])
}

#[test]
fn recursive_and_generic_types_have_numbers_and_names() {
    let description = description();
    let grow = &description.services[0].methods[0];
    let names: Vec<_> = grow.params.iter().map(|param| (param.name.as_str(), description.name(param.ty))).collect();
    assert_eq!(names, [("tree", "Node<String>".into()), ("by", "(u8, [f32; 3])".into())]);
    assert_eq!(description.name(grow.result), "Result<Node<u32>, String>");
    let Some(TypeInfo::Struct(node)) = description.kind(grow.params[0].ty) else { panic!() };
    assert_eq!(node.docs, "A tree that knows itself, and its neighbours.");
    assert_eq!(node.fields[0].docs, "What it is called.");
    let Some(TypeInfo::List(child)) = description.kind(node.fields[1].ty) else { panic!() };
    assert_eq!(*child, grow.params[0].ty);
    let rest = &description.services[0].methods[1];
    assert_eq!(description.kind(rest.result), Some(&TypeInfo::Primitive(Primitive::Unit)));
    assert_ne!(rest.fingerprint, grow.fingerprint);
}

#[test]
fn the_source_has_one_definition_for_all_arguments() {
    let description = description();
    let expected = "\
use ipc_rpc::{Message, service};

#[service]
pub trait Trees {
    /// Grows.
    fn grow(&self, tree: &Node<String>, by: (u8, [f32; 3])) -> Result<Node<u32>, String>;

    fn rest(&self);
}

/// A tree that knows itself, and its neighbours.
#[derive(Message, Debug)]
pub struct Node<T> {
    /// What it is called.
    pub value: T,
    pub children: Vec<Node<T>>,
    pub next: Option<Box<Node<T>>>,
}
";
    assert_eq!(description.services[0].rust(&description), expected);
}

#[test]
fn any_bytes_are_a_description_or_an_error() {
    let bytes = description().to_bytes().unwrap();
    assert_eq!(Description::from_bytes(&bytes).unwrap(), description());
    for at in 0..bytes.len() {
        assert!(Description::from_bytes(&bytes[..at]).is_err());
        for change in [1, 0x80, 0xff] {
            let mut other = bytes.clone();
            other[at] ^= change;
            if let Ok(other) = Description::from_bytes(&other) {
                let _ = other.services.iter().map(|service| service.rust(&other)).collect::<String>();
            }
        }
    }
}

#[test]
fn descriptions_of_impossible_types_are_refused() {
    let of = |types: Vec<TypeInfo>| Description { types, ..description() };
    let named = |types: Vec<TypeInfo>| Description::from_bytes(&of(types).to_bytes().unwrap()).unwrap_err().to_string();
    assert!(named(vec![]).contains("a type is missing"));
    let padded = |mut types: Vec<TypeInfo>| {
        types.resize(types.len().max(description().types.len()), TypeInfo::Primitive(Primitive::U8));
        types
    };
    for types in [
        vec![TypeInfo::List(0)],
        vec![TypeInfo::Tuple(vec![2, 1]), TypeInfo::Optional(0), TypeInfo::Primitive(Primitive::U8)],
        vec![TypeInfo::Struct(StructInfo {
            name: "A".into(),
            docs: String::new(),
            arguments: vec![0],
            fields: vec![],
        })],
        (1..=200).map(TypeInfo::Optional).chain([TypeInfo::Primitive(Primitive::U8)]).collect(),
    ] {
        assert!(named(padded(types)).contains("has no end"));
    }
    // A name that doubles with each level ends somewhere.
    let mut types: Vec<_> = (1..=100).map(|next| TypeInfo::Tuple(vec![next, next])).collect();
    types.push(TypeInfo::Primitive(Primitive::U8));
    let mut long = of(types);
    long.services[0].methods[0].result = 0;
    assert!(long.name(0).len() < 2 * LONGEST_NAME);
    assert!(!long.services[0].rust(&long).is_empty());
}

#[test]
fn names_of_others_cannot_steer_a_terminal() {
    let mut hostile = description();
    let service = &mut hostile.services[0];
    service.name = "\u{1b}[2J fn".into();
    service.docs = "one\u{1b}[2J\ntwo".into();
    service.methods[1].name = "type".into();
    service.methods[0].name = "no\u{7}tify".into();
    let source = hostile.services[0].rust(&hostile);
    assert!(!source.contains(|c: char| c.is_control() && c != '\n'), "{source}");
    assert!(source.contains("/// one[2J\n/// two\n") && source.contains("fn r#type(&self)"), "{source}");
    assert!(source.contains("name = \"no\\u{7}tify\""), "{source}");
}

#[test]
fn names_are_short_whatever_they_are_made_of() {
    let mut types: Vec<_> = (1..=100).map(|next| TypeInfo::Tuple(vec![next; 300])).collect();
    types.push(TypeInfo::Unknown("n".repeat(1 << 20)));
    let wide = Description { types, ..description() };
    assert!(wide.name(0).len() < 2 * LONGEST_NAME && wide.name(100).len() < LONGEST_NAME);
}

#[test]
fn many_types_are_written_each_once() {
    const COUNT: u32 = 20_000;
    let user = |ty: u32| {
        let field = FieldInfo { name: "field".into(), docs: String::new(), ty: COUNT };
        TypeInfo::Struct(StructInfo {
            name: format!("A{}", ty / 2),
            docs: String::new(),
            arguments: vec![COUNT],
            fields: vec![field],
        })
    };
    let mut types: Vec<_> = (0..COUNT).map(user).collect();
    types.push(TypeInfo::Primitive(Primitive::U8));
    types.push(TypeInfo::Tuple((0..COUNT).collect()));
    let mut many = Description { types, ..description() };
    many.services[0].methods[0].result = COUNT + 1;
    let source = many.services[0].rust(&many);
    let definitions = source.lines().filter(|line| line.starts_with("pub struct A"));
    assert_eq!(definitions.count() as u32, COUNT / 2);
    assert!(source.contains("pub struct A0<T> {\n    pub field: T,\n}\n"));
}
