//! Arguments that another thread goes on changing, for a server that reads snapshots: what a handler sees is one value.
#![no_main]

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier};
use std::thread;

use ipc_core::layout::INLINE;
use ipc_core::segment::Area;
use ipc_rpc::testing::Stepped;
use ipc_rpc::{Dispatch, Trust};
use ipc_rpc_fuzz::attacker::{Attacker, Request, server};
use ipc_rpc_fuzz::every::{self, EveryDispatcher, Looks};

/// Bytes of a block and what they become, in turns, until it is over.
struct Flips {
    attacker: Arc<Attacker>,
    flips: Vec<(u8, u8)>,
    over: Arc<AtomicBool>,
    both: Arc<Barrier>,
}

fn flip(heard: &Receiver<Flips>) {
    for Flips { attacker, flips, over, both } in heard {
        let at = attacker.segment.geometry().block_at(0) + INLINE;
        let first = attacker.segment.bytes(Area::Inline(0), at, 200).expect("a block").cast::<AtomicU8>();
        both.wait();
        while !over.load(Ordering::Relaxed) {
            for (place, value) in &flips {
                // SAFETY: 200 bytes at `first` are in the mapping; as atomics, because this side at least does it by the book.
                let byte = unsafe { first.add(usize::from(*place) % 200).as_ref() };
                byte.fetch_xor(*value, Ordering::Relaxed);
            }
        }
        both.wait();
    }
}

thread_local! {
    static SCENE: (Stepped, Arc<Attacker>, Sender<Flips>) = {
        let server = server(Trust::Snapshot, EveryDispatcher::new(Looks));
        let attacker = server.run(|step| Attacker::attach(&server, EveryDispatcher::new(Looks).service(), step));
        let (tell, heard) = mpsc::channel();
        thread::spawn(move || flip(&heard));
        (server, Arc::new(attacker.expect("the role")), tell)
    };
}

// The number of the method; how many flips; each a place and a value; the bytes.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some(([method, flips], rest)) = data.split_first_chunk::<2>() else { return };
    let Some((flips, bytes)) = rest.split_at_checked(2 * usize::from(flips % 8)) else { return };
    let flips = flips.chunks(2).map(|flip| (flip[0], flip[1])).collect();
    SCENE.with(|(server, attacker, flipper)| {
        let (over, both) = (Arc::<AtomicBool>::default(), Arc::new(Barrier::new(2)));
        let told = Flips { attacker: attacker.clone(), flips, over: over.clone(), both: both.clone() };
        flipper.send(told).expect("the other thread");
        both.wait();
        server.run(|step| {
            for _ in 0..8 {
                let request = Request { method: u16::from(*method), tag: 0, bytes, far: None };
                attacker.request(0, &request);
                while attacker.is_lent(0) {
                    step();
                    every::poll();
                }
                assert!(matches!(attacker.status(0), Some(0 | 17 | 18 | 20)), "{:?}", attacker.status(0));
            }
        });
        over.store(true, Ordering::Relaxed);
        both.wait();
        assert!(server.usage().is_idle() && server.usage().clients == 1, "{:?}", server.usage());
    });
});
