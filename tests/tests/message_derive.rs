//! Derived messages of every kind travel, read natively, and lie in memory as rkyv's own derives would have them.
#![allow(unsafe_code)]
// Unsafe code is needed in the codec that hands raw buffers to the encoder.

#[path = "support/codec.rs"]
mod codec;
#[path = "support/zoo.rs"]
mod zoo;

use codec::{Archive, attack, there_and_back, to_archive};
use ipc_rpc::__private::{self as p, MAX_DEPTH, Message};
use ipc_rpc::{EncodeError, MessageErrorKind};
use zoo::*;

#[test]
fn every_kind_travels() {
    there_and_back(&query());
    there_and_back(&Point(1.0, 2.0));
    there_and_back(&Nothing);
    there_and_back(&Empty {});
    there_and_back(&Id(7));
    there_and_back(&vec![Color::Red, Color::Blue, Color::Green]);
    for shape in shapes() {
        there_and_back(&shape);
    }
    there_and_back(&shapes());
    there_and_back(&Page { items: vec![query()], slots: [query(), query()], of: std::marker::PhantomData::<u8> });
    there_and_back(&Either::<u8, String>::Left(1));
    there_and_back(&Either::<u8, String>::Right("a text that lies out of line".to_owned()));
    there_and_back(&Only::One { x: 5 });
    there_and_back(&Odd { r#type: 1, r#match: "x".to_owned() });
    there_and_back(&Strange::<u8>::V(1.5));
    there_and_back(&everything());
}

#[test]
fn recursive_types_need_no_help() {
    there_and_back(&chain(20));
    there_and_back(&Expr::Add(
        Box::new(Expr::Num(1.0)),
        Box::new(Expr::Neg(Box::new(Expr::Sum(vec![Expr::Num(2.0), Expr::Nothing])))),
    ));
    there_and_back(&Tree { value: 1u8, kids: vec![Tree { value: 2, kids: vec![] }, Tree { value: 3, kids: vec![] }] });
    there_and_back(&Folder {
        files: vec![File { name: "a".to_owned(), inside: Some(Box::new(Folder { files: vec![] })) }],
    });
}

#[test]
fn forms_read_natively() {
    let archive = to_archive(&query());
    let form = archive.form::<Query>().unwrap();
    assert_eq!(form.text(), "a text that lies out of line");
    assert_eq!(form.limit(), 7);
    assert_eq!(form.tags().iter().collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(form.opt(), Some("z"));
    assert_eq!(form.res(), Err("bad"));
    assert_eq!(form.took(), std::time::Duration::from_millis(5));
    assert_eq!(form.xs(), [1.5, 2.5]);
    assert_eq!(form.color(), Color::Green);
    assert_eq!(form.at().get_0(), 1.0);
    assert_eq!(form.id().get(), 9);
    match form.shape() {
        ShapeView::Circle { r } => assert_eq!(r, 2.0),
        _ => panic!("another variant"),
    }
    assert_eq!(form.counts().iter().collect::<Vec<_>>(), [("k", 1)]);
    let shown = format!("{form:?}");
    assert!(
        shown
            .starts_with(r#"Query { text: "a text that lies out of line", limit: 7, tags: ["x", "y"], opt: Some("z")"#)
    );
    assert!(shown.contains("color: Green, at: Point(1.0, 2.0), id: Id(9), shape: Circle { r: 2.0 }"), "{shown}");
}

#[test]
fn recursive_forms_read_natively() {
    fn value(expr: &ArchivedExpr) -> f64 {
        match expr.view() {
            ExprView::Nothing => 0.0,
            ExprView::Num(x) => x,
            ExprView::Neg(x) => -value(x),
            ExprView::Add(a, b) => value(a) + value(b),
            ExprView::Sum(list) => list.iter().map(value).sum(),
        }
    }
    let expr = Expr::Add(Box::new(Expr::Num(5.0)), Box::new(Expr::Neg(Box::new(Expr::Sum(vec![Expr::Num(2.0)])))));
    let archive = to_archive(&expr);
    let form = archive.form::<Expr>().unwrap();
    assert_eq!(value(form), 3.0);
    assert_eq!(format!("{form:?}"), format!("{expr:?}"));
}

#[test]
fn private_fields_can_be_hidden_from_debug() {
    let archive = to_archive(&Secret { key: 1 });
    assert_eq!(format!("{:?}", archive.form::<Secret>().unwrap()), "Secret { .. }");
    assert_eq!(archive.form::<Secret>().unwrap().key(), 1);
}

#[test]
fn bytes_are_those_of_rkyv_derives() {
    fn same<T: Message, R>(ours: &T, theirs: &R)
    where
        R: for<'a> rkyv::Serialize<
                rkyv::api::high::HighSerializer<
                    rkyv::util::AlignedVec,
                    rkyv::ser::allocator::ArenaHandle<'a>,
                    rkyv::rancor::Error,
                >,
            >,
    {
        let theirs = rkyv::to_bytes::<rkyv::rancor::Error>(theirs).unwrap();
        assert_eq!(to_archive(ours).bytes(), &theirs[..]);
    }
    same(&everything(), &rkyv_twins::everything());
    same(&vec![Point(1.0, 2.0), Point(3.0, 4.0)], &vec![rkyv_twins::Point(1.0, 2.0), rkyv_twins::Point(3.0, 4.0)]);
    same(&shapes(), &rkyv_twins::shapes());
    same(&vec![Color::Red, Color::Blue], &vec![rkyv_twins::Color::Red, rkyv_twins::Color::Blue]);
    same(
        &Either::<u8, String>::Right("a text that lies out of line".to_owned()),
        &rkyv_twins::Either::<u8, String>::Right("a text that lies out of line".to_owned()),
    );
    same(&Nothing, &rkyv_twins::Nothing);
}

#[test]
fn borrowed_fields_of_requests_give_the_bytes_of_owned_ones() {
    let queries = vec![query(), query()];
    let owned = to_archive(&(query(), queries.clone(), Some(query())));
    let borrowed = Archive::of::<(Query, Vec<Query>, Option<Query>)>(&(&query(), &*queries, Some(&query()))).unwrap();
    assert_eq!(owned.bytes(), borrowed.bytes());
}

#[test]
fn padding_free_structs_are_plain() {
    const {
        assert!(Pixel::PLAIN && p::copies::<Pixel>());
        assert!(Id::PLAIN && p::copies::<Id>());
        assert!(Vec2::<f32>::PLAIN && p::copies::<Vec2<f32>>());
        assert!(Color::PLAIN && p::copies::<Color>());
        // Padding may be read but is not sent.
        assert!(Padded::PLAIN && !p::copies::<Padded>());
        assert!(!Query::PLAIN && !Shape::PLAIN && !Numbered::PLAIN && !Only::PLAIN);
    }
    there_and_back(&vec![Padded { a: 1, b: 2 }, Padded { a: 3, b: 4 }]);
    there_and_back(&vec![Numbered::A, Numbered::B]);

    let pixels = vec![Pixel { at: [1, 2], color: Color::Blue, on: true, weight: 3 }; 3];
    let archive = to_archive(&pixels);
    let slice = p::slice_arg::<Pixel>(archive.form::<Vec<Pixel>>().unwrap()).unwrap();
    assert!(slice.is_in_place());
    assert_eq!(&*slice, pixels);
    // `message(plain)` lets accessors give the type itself.
    let archive = to_archive(&Picture { pixels: pixels.clone(), first: pixels[0] });
    let form = archive.form::<Picture>().unwrap();
    assert_eq!(form.pixels(), pixels);
    assert_eq!(form.first(), &pixels[0]);
    there_and_back(&Picture { pixels: pixels.clone(), first: pixels[0] });
}

#[test]
fn invalid_bytes_of_plain_types_are_refused() {
    let pixel = Pixel { at: [1, 2], color: Color::Blue, on: true, weight: 3 };
    let mut bytes = to_archive(&pixel).bytes().to_vec();
    bytes[4] = 3;
    let error = Archive::from_bytes(&bytes).read::<Pixel>().unwrap_err();
    assert_eq!(error.kind(), MessageErrorKind::Invalid);
    assert_eq!(error.to_string(), "Pixel.color: Color has no variant number 3");
    bytes[4] = 2;
    bytes[5] = 2;
    let error = Archive::from_bytes(&bytes).read::<Pixel>().unwrap_err();
    assert_eq!(error.to_string(), "Pixel.on: bool set to invalid byte 2, expected either 0 or 1");
}

#[test]
fn depth_is_refused_on_both_sides() {
    let limit = MAX_DEPTH as usize;
    there_and_back(&chain(limit));
    assert_eq!(Archive::of::<Chain>(&chain(limit + 1)).err(), Some(EncodeError::TooDeep { limit: MAX_DEPTH }));

    // What a hostile sender would write: one link more, put in front of a chain that is as long as allowed.
    let mut bytes = to_archive(&chain(limit)).bytes().to_vec();
    let last = bytes[bytes.len() - size_of::<ArchivedChain>()..].to_vec();
    bytes.extend(last);
    let error = Archive::from_bytes(&bytes).read::<Chain>().unwrap_err();
    assert_eq!(error.kind(), MessageErrorKind::TooDeep, "{error}");
    assert!(error.to_string().ends_with("nested deeper than 128 levels"), "{error}");
}

#[test]
fn truncated_or_changed_bytes_never_panic() {
    attack::<Query>(&to_archive(&query()));
    attack::<Vec<Shape>>(&to_archive(&shapes()));
    attack::<Everything>(&to_archive(&everything()));
    attack::<Chain>(&to_archive(&chain(5)));
    attack::<Vec<Pixel>>(&to_archive(&vec![Pixel { at: [1, 2], color: Color::Blue, on: true, weight: 3 }; 2]));
}

#[test]
fn descriptions_name_fields_and_types() {
    assert_eq!(p::lines(<u32>::desc), ["u32"]);
    assert_eq!(<Option<Vec<[(u8, Color); 3]>>>::desc().name(), "Option<Vec<[(u8, Color); 3]>>");
    assert_eq!(
        p::lines(<Option<Expr>>::desc),
        [
            "Option<Expr>",
            "enum Expr",
            "Expr::Nothing",
            "Expr::Num",
            "Expr::Num.0: f64",
            "Expr::Neg",
            "Expr::Neg.0: Box<Expr>",
            "Expr::Add",
            "Expr::Add.0: Box<Expr>",
            "Expr::Add.1: Box<Expr>",
            "Expr::Sum",
            "Expr::Sum.0: Vec<Expr>"
        ]
    );
    assert_eq!(
        p::lines(Page::<Id, u8, 2>::desc),
        [
            "Page<Id>",
            "struct Id",
            "Id.0: u64",
            "struct Page<Id>",
            "Page<Id>.items: Vec<Id>",
            "Page<Id>.slots: [Id; 2]",
            "Page<Id>.of: PhantomData"
        ]
    );
    // Two types of one name in one graph are told apart.
    assert_eq!(
        p::lines(<(Nothing, other::Nothing)>::desc),
        ["(Nothing, Nothing#2)", "struct Nothing", "struct Nothing#2", "Nothing#2.x: u8"]
    );
    assert_ne!(p::lines(Nothing::desc), p::lines(other::Nothing::desc));
    // A map is the same message whichever collection holds it.
    assert_eq!(
        p::lines(std::collections::HashMap::<u8, Id>::desc),
        p::lines(std::collections::BTreeMap::<u8, Id>::desc)
    );
}
