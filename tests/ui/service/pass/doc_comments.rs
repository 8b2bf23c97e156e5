//! Documentation reaches the client; what has none gets a line.
#![deny(missing_docs)]

/// A module with services.
pub mod services {
    /// Counts.
    ///
    /// In two paragraphs.
    #[ipc_rpc::service]
    pub trait Counter {
        /// The next number, see [`reset`](Self::reset).
        fn next(&self) -> u64;
        #[doc = concat!("Back to", " zero.")]
        #[doc(alias = "zero")]
        fn reset(&self);
        /** A block
        comment. */
        #[cfg_attr(all(), doc = "And more.")]
        fn peek(&self) -> u64;
    }

    /// Without documentation of its methods.
    #[allow(missing_docs)]
    #[ipc_rpc::service]
    pub trait Bare {
        fn next(&self) -> u64;
    }
}

fn main() {
    let _ = |client: &services::CounterClient| client.next().is_ok();
}
