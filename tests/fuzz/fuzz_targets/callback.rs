//! A hostile server that calls the objects which a client has lent, those that it has taken back, and such as never were.
#![no_main]

use std::sync::Arc;

use ipc_rpc::Dispatch;
use ipc_rpc::testing::stepped_objects;
use ipc_rpc_fuzz::attacker::{Attacker, BLOCKS, Request};
use ipc_rpc_fuzz::every::{EveryDispatcher, Looks};

#[derive(arbitrary::Arbitrary, Debug)]
enum Act {
    /// A call, whose bytes may be its arguments.
    Call {
        block: u8,
        method: u8,
        object: Object,
        bytes: Vec<u8>,
    },
    /// Word about an object: what follows 0x3F10.
    Word {
        block: u8,
        what: u8,
        object: Object,
    },
    /// The client takes an object back.
    End(u8),
    Hurry,
    Cancel(u8),
    Step,
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Object {
    Lent(u8),
    Any(u32),
}

impl Object {
    fn number(&self) -> u32 {
        match *self {
            Object::Lent(n) => u32::from(n % 5),
            Object::Any(n) => n,
        }
    }
}

libfuzzer_sys::fuzz_target!(|acts: Vec<Act>| {
    let object = || -> Arc<dyn Dispatch> { Arc::new(EveryDispatcher::new(Looks)) };
    let (objects, lent) = stepped_objects(vec![object(), object(), object()]).expect("objects");
    let mut lent: Vec<_> = lent.into_iter().map(Some).collect();
    objects.run(|step| {
        let attacker = Attacker::attach(&objects, object().service(), step);
        let mut hurry = false;
        for act in acts.iter().take(128) {
            let (block, request) = match act {
                Act::Call { block, method, object, bytes } => {
                    // Not the futures: they would be polled elsewhere.
                    let method = u16::from(*method % 8);
                    (*block, Request { method, tag: object.number(), bytes, far: None })
                }
                Act::Word { block, what, object } => {
                    let method = 0x3f10 + u16::from(*what % 4);
                    (*block, Request { method, tag: object.number(), bytes: &[], far: None })
                }
                Act::End(n) => {
                    let len = lent.len();
                    lent[usize::from(*n) % len] = None;
                    continue;
                }
                Act::Hurry => {
                    hurry = true;
                    continue;
                }
                Act::Cancel(block) => {
                    attacker.cancel(u32::from(*block));
                    continue;
                }
                Act::Step => {
                    step();
                    continue;
                }
            };
            if hurry || !attacker.is_lent(u32::from(block)) {
                attacker.request(u32::from(block), &request);
                step();
            }
            if objects.usage().clients == 0 {
                break;
            }
        }
        assert!(hurry || (0..BLOCKS).all(|n| attacker.status(n).is_none_or(|s| matches!(s, 0 | 1 | 17 | 18 | 20))));
        attacker.leave(&objects, step);
    });
});
