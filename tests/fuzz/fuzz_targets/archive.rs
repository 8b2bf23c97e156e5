//! Arbitrary bytes as a message: refused, or safe to read in every way. The first byte is the address modulo 16.
#![no_main]

use ipc_rpc_fuzz::{Shape, Tree, Zoo, read_all_ways};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((start, bytes)) = data.split_first() else { return };
    let start = usize::from(*start);
    match start >> 4 {
        0 => read_all_ways::<Tree>(bytes, start),
        1 => read_all_ways::<Vec<Shape>>(bytes, start),
        2 => read_all_ways::<(String, Option<Box<text::Text>>)>(bytes, start),
        _ => read_all_ways::<Zoo>(bytes, start),
    }
});

mod text {
    /// A newtype of a text.
    #[derive(ipc_rpc::Message, Debug)]
    pub struct Text(pub String);
}
