//! Tests of ipc-rpc.
