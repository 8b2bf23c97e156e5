//! Arbitrary state words under every move, and arbitrary offsets under every check of places.
#![no_main]

use std::sync::atomic::{AtomicU32, Ordering};

use ipc_core::handover;
use ipc_core::layout::{BLOCK, Geometry};
use ipc_core::word::{self, Lent, Seen};

#[derive(arbitrary::Arbitrary, Debug)]
struct Input {
    word: u32,
    wish: u8,
    geometry: (u32, u32, u32),
    offset: u32,
}

libfuzzer_sys::fuzz_target!(|input: Input| {
    let legal = |value: u32| match value {
        0 | 2 | 0x12 => true,
        value => value & !0xe0 == 1,
    };
    let value = input.word;
    assert_eq!(word::legal(value), legal(value));
    let word = AtomicU32::new(value);
    let now = || word.load(Ordering::Relaxed);

    assert_eq!(handover::look(&word).is_ok(), legal(value) && value != 0);
    assert_eq!(handover::request(&word).is_ok(), legal(value));
    if let Ok(Seen::Run | Seen::Refuse) = handover::request(&word) {
        assert_eq!(value & 3, word::REQUEST);
    }
    let wish = [word::PARKED, word::ANNOUNCE, word::CANCELLED][usize::from(input.wish) % 3];
    match handover::wish(&word, wish) {
        Ok(Lent::Out(out)) => assert_eq!((out, now()), (value | wish, value | wish)),
        _ => assert_eq!(now(), value),
    }
    word.store(value, Ordering::Relaxed);
    match handover::unwatch(&word) {
        Ok(arrived) => assert_eq!((arrived, now()), if value == 0x12 { (false, 2) } else { (true, value) }),
        Err(_) => assert_eq!(now(), value),
    }
    word.store(value, Ordering::Relaxed);
    assert_eq!(handover::finish(&word, input.wish & 1 == 1).is_ok(), value & !0xe0 == 1);
    assert!(legal(now()));
    word.store(value, Ordering::Relaxed);
    assert_eq!(handover::submit(&word, 0).is_ok(), matches!(value, 0 | 2 | 0x12));

    let (blocks, caller, callee) = input.geometry;
    let rounded = |bytes: u32| bytes & !0xffff;
    for geometry in
        [Geometry::new(blocks, caller, callee), Geometry::new(blocks % 99, rounded(caller), rounded(callee))]
    {
        let Some(geometry) = geometry else { continue };
        assert!(geometry.len() <= 1 << 32);
        if let Some(index) = geometry.block_index(input.offset) {
            assert!(index < geometry.blocks());
            assert_eq!(geometry.block_at(index), input.offset);
            assert!(input.offset + BLOCK <= geometry.caller_arena_at());
        }
    }
});
