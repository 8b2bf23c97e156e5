//! Requests about streams in any order, with any numbers: credits, items, ends, and the calls that open them.
#![no_main]

use ipc_rpc::testing::Stepped;
use ipc_rpc::{Dispatch, Trust};
use ipc_rpc_fuzz::attacker::{Attacker, BLOCKS, Request, server};
use ipc_rpc_fuzz::every::{self, Looks, StreamsDispatcher};

thread_local! {
    static SERVER: Stepped = server(Trust::Snapshot, StreamsDispatcher::new(Looks));
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Act {
    /// A method that opens a stream.
    Open {
        block: u8,
        method: u8,
        stream: u8,
        bytes: [u8; 2],
    },
    /// Word about a stream: what follows 0x3F00, the number that it says, and its bytes.
    Word {
        block: u8,
        what: u8,
        stream: Stream,
        number: Number,
        bytes: Vec<u8>,
    },
    /// The block is not waited for before it is used again.
    Hurry,
    Cancel(u8),
    Step,
    Poll,
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Stream {
    Small(u8),
    Any(u16),
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Number {
    /// The one that is due, and so many more.
    Next(u8),
    Any(u16),
}

libfuzzer_sys::fuzz_target!(|acts: Vec<Act>| {
    SERVER.with(|server| {
        server.run(|step| {
            let attacker = Attacker::attach(server, StreamsDispatcher::new(Looks).service(), step);
            let mut hurry = false;
            // How many words of each kind a stream has had.
            let mut due = [[0u16; 4]; 8];
            for act in acts.iter().take(128) {
                match act {
                    Act::Open { block, method, stream, bytes } => {
                        if hurry || !attacker.is_lent(u32::from(*block)) {
                            let tag = u32::from(*stream % 4);
                            let bytes = &bytes[..[1, 2, 1, 0][usize::from(*method % 4)]];
                            let request = Request { method: u16::from(*method % 4), tag, bytes, far: None };
                            attacker.request(u32::from(*block), &request);
                            step();
                        }
                    }
                    Act::Word { block, what, stream, number, bytes } => {
                        if hurry || !attacker.is_lent(u32::from(*block)) {
                            let what = what % 8;
                            let stream = match *stream {
                                Stream::Small(n) => u16::from(n % 4),
                                Stream::Any(n) => n,
                            };
                            let due = &mut due[usize::from(what)][usize::from(stream % 4)];
                            let number = match *number {
                                Number::Next(ahead) => {
                                    *due = due.wrapping_add(1);
                                    due.wrapping_sub(1).wrapping_add(u16::from(ahead % 4))
                                }
                                Number::Any(n) => n,
                            };
                            let tag = u32::from(number) << 16 | u32::from(stream);
                            let request = Request { method: 0x3f00 + u16::from(what), tag, bytes, far: None };
                            attacker.request(u32::from(*block), &request);
                            step();
                        }
                    }
                    Act::Hurry => hurry = true,
                    Act::Cancel(block) => attacker.cancel(u32::from(*block)),
                    Act::Step => _ = step(),
                    Act::Poll => every::poll(),
                }
                if server.usage().clients == 0 {
                    break;
                }
            }
            let known = |status| matches!(status, 0 | 1 | 2 | 17 | 18 | 19 | 20 | 32 | 33 | 34);
            assert!(hurry || (0..BLOCKS).all(|n| attacker.status(n).is_none_or(known)));
            attacker.leave(server, step);
        })
    });
});
