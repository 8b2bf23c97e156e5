//! The macros of `ipc-rpc`.
#![deny(unsafe_code)]
