//! A warmed-up encoding touches no heap: one pass, straight into the buffer.
#![allow(unsafe_code)]
// Unsafe code is needed here for an allocator that counts and to call the encoder.

#[path = "support/zoo.rs"]
mod zoo;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ptr::NonNull;

use ipc_rpc::__private::{self as p, Argument, Buffer, EncodeError, Grow, Message};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is the system allocator's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Fixed;

// SAFETY: no buffer is ever returned.
unsafe impl Grow for Fixed {
    fn grow(&mut self, _: usize, needed: usize) -> Result<Buffer, EncodeError> {
        Err(EncodeError::OutOfMemory(ipc_rpc::NoMemory::fixed(needed)))
    }
}

/// Heap allocations of the second encoding of `x`.
fn allocations<A: Message>(x: &impl Argument<A>) -> u64 {
    let mut room = vec![0u128; 1 << 14];
    let data = NonNull::new(room.as_mut_ptr().cast::<u8>()).unwrap();
    let buffer = Buffer { data, len: room.len() * 16 };
    let encode = || {
        // SAFETY: the buffer is `room`, which lives on and is never replaced.
        unsafe { p::encode::<A>(x, buffer, &mut Fixed) }.unwrap()
    };
    encode();
    let before = ALLOCATIONS.get();
    encode();
    ALLOCATIONS.get() - before
}

#[test]
fn a_warmed_up_encoding_allocates_nothing() {
    let text = "a text that lies out of line";
    let words = vec![text.to_owned(); 1000];
    let nested = vec![vec![Some(text.to_owned()); 30]; 30];
    let map: BTreeMap<String, Vec<String>> =
        (0..50).map(|i| (format!("key number {i}"), words[..3].to_vec())).collect();
    assert_eq!(allocations::<(u64, u64)>(&(1u64, 2u64)), 0);
    assert_eq!(allocations::<(String, Vec<u8>, Vec<f32>)>(&(text, &[1u8; 5000][..], &[1.5f32; 100][..])), 0);
    assert_eq!(allocations::<(Vec<String>,)>(&(&*words,)), 0);
    assert_eq!(allocations::<Vec<Vec<Option<String>>>>(&nested), 0);
    assert_eq!(allocations::<BTreeMap<String, Vec<String>>>(&map), 0);
    assert_eq!(allocations::<Vec<zoo::Query>>(&vec![zoo::query(); 100]), 0);
    assert_eq!(allocations::<zoo::Everything>(&zoo::everything()), 0);
}

#[test]
fn a_failed_encoding_leaves_its_scratch_to_the_next() {
    let words = vec!["a text that lies out of line".to_owned(); 1000];
    let fail = || {
        let mut room = [0u128; 4];
        let buffer = Buffer { data: NonNull::new(room.as_mut_ptr().cast()).unwrap(), len: 64 };
        // SAFETY: the buffer is `room`, which lives on and is never replaced.
        unsafe { p::encode::<Vec<String>>(&words, buffer, &mut Fixed) }
    };
    assert!(matches!(fail(), Err(EncodeError::OutOfMemory(_))));
    let before = ALLOCATIONS.get();
    assert!(fail().is_err());
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
