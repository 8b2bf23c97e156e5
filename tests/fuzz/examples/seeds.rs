//! Writes the seeds: `cargo run --example seeds` in this folder, when a message's layout or the handshake has changed.

use std::fs;
use std::path::Path;

use ipc_rpc_fuzz::{Shape, Tree, archive, empty, full};

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
    let magic = [b"ipc-rpc\0".as_slice(), &1u32.to_le_bytes()].concat();
    let numbers = [4u32.to_le_bytes(), (1u32 << 16).to_le_bytes(), (1u32 << 16).to_le_bytes()].concat();
    let methods = [2u16.to_le_bytes().as_slice(), &text("add"), &[7; 8], &text("names"), &[9; 8]].concat();
    write("handshake", "hello", &[magic.as_slice(), &text("probe"), &numbers, &text("Calc"), &methods].concat());
    let mismatch = text("argument 1\tu64\nargument 2\ti32\nresult\tu64");
    let answers = [&[0, 2, 0, 0xff, 0xff, 1], mismatch.as_slice(), &[5, 0]].concat();
    write("handshake", "welcome", &[magic.as_slice(), &answers].concat());
    write("handshake", "version", &[b"ipc-rpc\0".as_slice(), &2u32.to_le_bytes(), &[1]].concat());
    write("handshake", "format", &[magic.as_slice(), &[2], &text("another probe")].concat());
    write("handshake", "refused", &[magic.as_slice(), &[3], &text("no")].concat());
}
