//! Shared-memory segments, call blocks, offset queues and doorbells: the bytes under `ipc-rpc`.
//!
//! Two processes map one segment. The *caller* owns it and lends blocks of it to the *callee*; handing a block over is one
//! swap of its state word, its offset goes on the receiver's queue only if the receiver is not looking, and a doorbell is
//! rung only if it sleeps. This crate knows bytes; methods, types and names of services are `ipc-rpc`'s.
//!
//! | layer | modules |
//! |---|---|
//! | layout | [`layout`], [`word`] |
//! | behaviour | [`handover`], [`queue`], [`role`], [`doorbell`], [`extent`] |
//! | operating system | `segment`, `socket`, `futex`, `clock` |
//! | the two sides | `caller`, `callee` |
//!
//! The protocol, its ordering pairs (P1..) and its state table (C1.., S1..) are in `docs/protocol.md`, the layout (L1..) in
//! `docs/layout.md`.
#![deny(unsafe_code)]

pub mod doorbell;
pub mod extent;
pub mod handover;
pub mod layout;
pub mod queue;
pub mod role;
pub mod sync;
pub mod word;

#[cfg(not(loom))]
pub mod segment;
