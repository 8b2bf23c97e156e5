//! What the two-process tests of ipc-rpc share: services, helper processes, a look at `/proc`, and a peer written by hand.
//!
//! The helper programs are the binaries of this package. They leave when their standard input ends, and the kernel kills
//! them when the thread that started them is gone, so no helper outlives its test.
#![deny(unsafe_code)]

#[cfg(doctest)]
mod book;
pub mod callbacks;
pub mod files;
pub mod flows;
#[cfg(feature = "formats")]
pub mod formats;
pub mod helper;
pub mod large;
pub mod proc;
pub mod random;
pub mod raw;
pub mod services;
pub mod shelf;
pub mod system;
pub mod watchdog;
pub mod ways;
pub mod zoo;

// The examples in the README compile. Here, because a packed crate has no file above it.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
