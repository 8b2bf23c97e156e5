//! Writes the seeds: `cargo run --example seeds` in this folder, when a message's layout or the handshake has changed.

use std::fs;
use std::path::Path;

use std::time::Duration;

use ipc_rpc_fuzz::{Colour, Shape, Tree, archive, empty, full};

fn main() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = seeds.join(target);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name), bytes).expect("a file");
    };
    let message = |name: &str, start: u8, bytes: Option<Vec<u8>>| {
        let bytes = bytes.expect("a small value");
        write("archive", name, &[&[start], bytes.as_slice()].concat());
    };
    message("zoo", 0xf8, archive(&full()));
    message("zoo-empty", 0xf8, archive(&empty()));
    let deep = (0..100).fold(Tree { children: vec![], other: None }, |tree, n| match n % 2 {
        0 => Tree { children: vec![tree], other: None },
        _ => Tree { children: vec![], other: Some(Box::new(tree)) },
    });
    message("tree", 0x08, archive(&deep));
    message("shapes", 0x18, archive(&vec![Shape::Named("a longer name, out of line".into(), 3), Shape::Nothing]));

    let text = |text: &str| [&(text.len() as u16).to_le_bytes(), text.as_bytes()].concat();
    let magic = [b"ipc-rpc\0".as_slice(), &3u32.to_le_bytes()].concat();
    let numbers = [4u32.to_le_bytes(), (1u32 << 16).to_le_bytes(), (1u32 << 16).to_le_bytes()].concat();
    let methods = [2u16.to_le_bytes().as_slice(), &text("add"), &[7; 8], &text("names"), &[9; 8]].concat();
    write(
        "handshake",
        "hello",
        &[magic.as_slice(), &text("probe"), &numbers, &[1, 1, 1, 0], &text("Calc"), &methods].concat(),
    );
    let mismatch = text("argument 1\tu64\nargument 2\ti32\nresult\tu64");
    let answers = [&[0, 1, 2, 0, 0xff, 0xff, 1], mismatch.as_slice(), &[5, 0]].concat();
    write("handshake", "welcome", &[magic.as_slice(), &answers].concat());
    write("handshake", "version", &[b"ipc-rpc\0".as_slice(), &4u32.to_le_bytes(), &[1]].concat());
    write("handshake", "format", &[magic.as_slice(), &[2], &text("another probe")].concat());
    write("handshake", "refused", &[magic.as_slice(), &[3], &text("no")].concat());

    // The arguments of each method of `Every`; and in `snapshot` a flip of a byte that is likely to be an offset or a length.
    let call = |method: u8, bytes: Option<Vec<u8>>| {
        let bytes = bytes.expect("small arguments");
        write("dispatch", &format!("method-{method}"), &[&[method, 0, 0, 0, 0, 0, 0x80], bytes.as_slice()].concat());
        if bytes.len() <= 200 {
            write("snapshot", &format!("method-{method}"), &[&[method, 2, 0, 1, 8, 4], bytes.as_slice()].concat());
        }
    };
    let list = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    let (long, samples, leaf) =
        ("a text out of line".to_owned(), vec![1.0f32, -2.5, 3.0], Tree { children: vec![], other: None });
    let named = Shape::Named("a longer name, out of line".into(), 3);
    call(0, archive(&(1u8, -2i64, 3.5f64, true, 'ß', Duration::new(1, 5), (7u16, Colour::Green))));
    call(1, archive(&(long.clone(), vec![1u8, 2, 3], samples.clone(), vec![u128::MAX, 1])));
    call(2, archive(&(Some(long.clone()), Some(vec![1u16, 2]), Some(named.clone()))));
    call(3, archive(&(full(), leaf.clone())));
    call(4, archive(&(full(),)));
    call(5, archive(&(list(&["a", "another one, out of line"]), vec![Shape::Nothing])));
    call(6, archive(&(3u8, Some(Box::new(leaf)))));
    call(7, archive(&(long.clone(),)));
    call(8, archive(&(long.clone(), samples, named)));
    call(9, archive(&(long,)));
    // One with a context: its number has bit 15, the high half of the tag says where the context begins.
    let arguments = archive(&(3u8, None::<Box<Tree>>)).expect("small arguments");
    let context = archive(&(Some((1u64, 2u64)), vec![("key".to_owned(), "a value out of line".to_owned())]));
    let context = context.expect("a small context");
    let padding = arguments.len().next_multiple_of(16) - arguments.len();
    let tag = ((context.len() / 8) << 4 | padding) as u16;
    let [low, high] = tag.to_le_bytes();
    let bytes = [arguments, vec![0; padding], context].concat();
    write("dispatch", "context", &[&[6, 0x80, 0, 0, low, high, 0], bytes.as_slice()].concat());
}
