//! Examples of ipc-rpc.
