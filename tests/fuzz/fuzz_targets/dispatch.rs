//! Any bytes as the arguments and the context of any method of a service with parameters of every kind, read where they lie.
#![no_main]

use ipc_core::layout::RELEASE;
use ipc_rpc::testing::Stepped;
use ipc_rpc::{Dispatch, Trust};
use ipc_rpc_fuzz::attacker::{Attacker, Request, server};
use ipc_rpc_fuzz::every::{self, EveryDispatcher, Looks};

thread_local! {
    static SCENE: (Stepped, Attacker) = {
        let server = server(Trust::InPlace, EveryDispatcher::new(Looks));
        let attacker = server.run(|step| Attacker::attach(&server, EveryDispatcher::new(Looks).service(), step));
        (server, attacker.expect("the role"))
    };
}

// The number of the method, with the bit for a context; the halves of the tag; where the bytes lie; the bytes.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((head, bytes)) = data.split_first_chunk::<7>() else { return };
    let [m0, m1, t0, t1, t2, t3, far] = *head;
    let request = Request {
        method: u16::from_le_bytes([m0, m1]),
        tag: u32::from_le_bytes([t0, t1, t2, t3]),
        bytes,
        far: (far & 0x80 != 0).then_some(far & 0x7f),
    };
    if (0x3f00..0x3f10).contains(&request.method) {
        return; // About streams: `stream` is for these.
    }
    SCENE.with(|(server, attacker)| {
        server.run(|step| {
            attacker.request(0, &request);
            for _ in 0..100 {
                step();
                every::poll();
                if !attacker.is_lent(0) {
                    break;
                }
            }
            // It ran, or was refused, or its result could not be sent or had no room; one number gives a reply back and runs nothing.
            let status = attacker.status(0);
            assert!(
                matches!(status, Some(0 | 17 | 18 | 20)) || (status, request.method) == (Some(1), RELEASE),
                "{status:?}"
            );
            assert!(server.usage().is_idle() && server.usage().clients == 1, "{:?}", server.usage());
        })
    });
});
