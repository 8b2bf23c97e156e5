//! Typed RPC between processes over shared memory.
#![deny(unsafe_code)]
