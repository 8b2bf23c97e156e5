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

pub mod alarm;
pub mod announcements;
pub mod asymmetric;
pub mod doorbell;
pub mod extent;
pub mod fail_point;
pub mod gap;
pub mod handover;
pub mod histogram;
pub mod idle;
pub mod keeping;
pub mod layout;
pub mod memory;
pub mod pins;
pub mod pool;
mod prefetch;
pub mod queue;
pub mod role;
#[cfg(shuttle)]
pub mod schedule;
pub mod serving;
pub mod swap;
pub mod sync;
pub mod tallies;
pub mod word;

// The rest talks to the operating system and to real shared memory, which loom does not know.
#[cfg(not(loom))]
pub mod arena;
#[cfg(not(loom))]
mod bells;
#[cfg(not(loom))]
pub mod callee;
#[cfg(not(loom))]
pub mod caller;
#[cfg(not(loom))]
pub mod clock;
#[cfg(not(loom))]
pub mod committed;
#[cfg(not(loom))]
pub mod file_size;
#[cfg(not(loom))]
pub mod futex;
#[cfg(not(loom))]
mod given;
#[cfg(not(loom))]
mod hold;
#[cfg(not(loom))]
mod hot;
#[cfg(not(loom))]
pub mod imports;
#[cfg(not(loom))]
mod kept;
#[cfg(not(loom))]
pub mod lane;
#[cfg(not(loom))]
mod late;
#[cfg(not(loom))]
pub mod lending;
#[cfg(not(loom))]
pub mod loan;
#[cfg(not(loom))]
mod poll;
#[cfg(not(loom))]
pub mod scanner;
#[cfg(not(loom))]
pub mod sealed;
#[cfg(not(loom))]
pub mod segment;
#[cfg(not(loom))]
pub mod socket;
#[cfg(not(loom))]
pub mod sources;
#[cfg(not(loom))]
pub mod statistics;
#[cfg(not(loom))]
mod surplus;
#[cfg(not(loom))]
pub mod turns;
#[cfg(not(loom))]
mod yielding;
