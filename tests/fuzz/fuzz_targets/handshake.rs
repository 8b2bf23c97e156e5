//! Arbitrary packets as either half of a handshake.
#![no_main]

use ipc_rpc::__private::{Message, MethodDesc, ParamDesc, ServiceDesc, read_packet};

static SERVICE: ServiceDesc = ServiceDesc {
    name: "Calc",
    docs: "",
    methods: &[
        MethodDesc {
            name: "add",
            docs: "",
            params: &[
                ParamDesc { name: "a", desc: <u64 as Message>::desc },
                ParamDesc { name: "b", desc: <u64 as Message>::desc },
            ],
            result: <u64 as Message>::desc,
            oneway: false,
            idempotent: false,
            asynchronous: false,
            long: false,
        },
        MethodDesc {
            name: "names",
            docs: "",
            params: &[],
            result: <Vec<String> as Message>::desc,
            oneway: false,
            idempotent: false,
            asynchronous: false,
            long: false,
        },
    ],
    callbacks: &[],
    fingerprints: None,
};

libfuzzer_sys::fuzz_target!(|packet: &[u8]| {
    read_packet(packet, &SERVICE);
});
