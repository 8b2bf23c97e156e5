//! Shared-memory segments, call blocks, offset queues and doorbells: the bytes under `ipc-rpc`.
#![deny(unsafe_code)]
