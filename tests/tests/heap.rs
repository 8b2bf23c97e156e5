//! A warmed-up call allocates nothing on the client's heap: arguments go straight into shared memory.
//!
//! # Safety
//! A global allocator that counts and passes on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ipc_rpc_tests::helper::Place;
use ipc_rpc_tests::large::LargeClient;
use ipc_rpc_tests::services::{CalcClient, WorkClient, bytes};
use ipc_rpc_tests::zoo::{BorrowedClient, Label, Point};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all work is the system allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

/// Allocations of this thread in a hundred calls, after some to warm up.
fn allocations(mut call: impl FnMut()) -> u64 {
    (0..20).for_each(|_| call());
    let before = ALLOCATIONS.get();
    (0..100).for_each(|_| call());
    ALLOCATIONS.get() - before
}

#[test]
fn warmed_up_calls_allocate_nothing() {
    let place = Place::new("warmed_up_calls_allocate_nothing");
    let _server = place.serve::<&str>(SERVER, &[]);
    let calc = CalcClient::connect(place.socket()).unwrap();
    let work = WorkClient::connect(place.socket()).unwrap();
    let borrowed = BorrowedClient::connect(place.socket()).unwrap();
    // The counter counts.
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8]))), 100);

    assert_eq!(allocations(|| assert_eq!(calc.add(2, 3).unwrap(), 5)), 0, "numbers");
    for len in [0, 10, 1000, 100_000] {
        let data = bytes(len, 7);
        assert_eq!(allocations(|| assert!(work.checksum(&data).is_ok())), 0, "&[u8] of {len}");
    }
    // What comes back is viewed, for an owned reply would have to be allocated.
    let (view, long) = (borrowed.view(), "text ".repeat(1000));
    for text in ["", "short", &long] {
        assert_eq!(allocations(|| assert_eq!(view.text(text).unwrap().1.as_str(), text)), 0, "&str");
    }
    let (f32s, f64s) = (vec![1.5f32; 700], vec![2.5f64; 500]);
    assert_eq!(allocations(|| drop(view.floats(&f32s, &f64s).unwrap())), 0, "&[f32], &[f64]");
    let points = vec![Point { x: 1.0, y: 2.0 }; 300];
    assert_eq!(allocations(|| drop(view.points(&points).unwrap())), 0, "slice of a plain struct");
    let labels: Vec<Label> = (0..50).map(|n| Label(n, "label ".repeat(n.into()))).collect();
    assert_eq!(allocations(|| drop(view.labels(&labels).unwrap())), 0, "slice of a struct with text");
    let large = LargeClient::connect(place.socket()).unwrap();
    let (viewed, mut loan) = (large.view(), large.loan::<u8>(256 << 10).unwrap());
    loan[5000] = 1;
    assert_eq!(allocations(|| assert_eq!(viewed.place(&loan[..10_000]).unwrap().get().1, 1)), 0, "a loan");
    assert_eq!(allocations(|| assert_eq!(viewed.first(&loan).unwrap().get(), 0)), 0, "a loan");
    assert_eq!(allocations(|| drop(view.options(Some("x"), Some(&[1, 2]), None, None).unwrap())), 0, "options");
}
