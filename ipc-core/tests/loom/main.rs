//! Loom models of the block protocol, on the types that ship: each ordering pair P1.. of `docs/protocol.md`, explored over
//! all interleavings and all values that the C11 memory model lets a load return (within the bound a model names).
//!
//! Payload is plain memory, so that a missing ordering shows as a data race. Each model also runs with one step of the
//! protocol replaced by a plausible wrong one, and fails if loom does not object. Run them all with `.ci/loom`.
#![cfg(loom)]
#![deny(unsafe_code)]

mod announce;
mod close;
mod death;
mod defer;
mod futures;
mod hand_over;
mod harness;
mod idle;
mod keeping;
mod late;
mod parking;
mod parts;
mod pins;
mod pool;
mod quiet;
mod role;
mod serving;
mod sleep;
mod swap;
