//! The expansion under strict lints: only what the user wrote is judged. Compiled as a module of `ui_service` too, where
//! clippy sees it.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, missing_debug_implementations, missing_copy_implementations, unused, nonstandard_style)]
#![deny(unreachable_pub, unused_qualifications, unused_results, unused_lifetimes, single_use_lifetimes)]
#![deny(
    elided_lifetimes_in_paths,
    trivial_casts,
    trivial_numeric_casts,
    let_underscore_drop,
    absolute_paths_not_starting_with_crate
)]
#![deny(explicit_outlives_requirements, redundant_lifetimes, meta_variable_misuse, variant_size_differences)]
#![deny(
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::absolute_paths
)]

use std::collections::HashMap;

use ipc_rpc::{Context, Streaming, service};

/// A service.
#[service]
pub trait Store {
    /// Takes owned and borrowed values.
    fn put(&self, key: String, values: &[u8], small: &u8, map: HashMap<String, u64>) -> u64;
    /// Does nothing.
    fn ping(&self);
    /// May fail.
    ///
    /// # Errors
    ///
    /// Sometimes.
    fn get(&self, key: &str, from: Option<&[f32]>) -> Result<Option<Vec<u8>>, String>;
    /// Of interest only for its result.
    #[must_use = "reading has no effect"]
    fn len(&self) -> u64;
    /// Bare.
    #[must_use]
    fn is_empty(&self) -> bool;
    /// Outdated.
    #[deprecated(since = "0.1.0", note = "call `put`")]
    fn old(&self, text: &str);
}

/// Every way to call.
#[service(mock)]
pub trait Ways {
    /// Waits without a thread.
    async fn put(&self, key: String, values: &[u8], small: &u8, from: Option<&[f32]>, ctx: &Context) -> u64;
    /// May fail.
    ///
    /// # Errors
    ///
    /// Sometimes.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String>;
    /// Of interest only for its result.
    #[must_use = "reading has no effect"]
    async fn len(&self) -> u64;
    /// Bare.
    #[must_use]
    async fn is_empty(&self) -> bool {
        self.len().await == 0
    }
    /// Does nothing.
    async fn ping(&self) {}
    /// Nobody waits.
    #[rpc(oneway)]
    fn note(&self, text: &str);
    /// Nobody waits.
    #[rpc(oneway)]
    async fn note_later(&self, text: &str);
    /// Waits with a thread.
    #[rpc(blocking)]
    fn wait(&self, ctx: &Context);
    /// Many results.
    fn list(&self) -> Streaming<String>;
    /// Many results.
    ///
    /// # Errors
    ///
    /// Sometimes.
    async fn list_some(&self, start: u8) -> Result<Streaming<String>, String>;
    /// Many arguments.
    fn sum(&self, numbers: Streaming<u64>) -> u64;
    /// Both.
    async fn both(&self, numbers: Streaming<u64>, start: u64) -> Streaming<u64>;
    /// Calls back.
    fn work(&self, progress: &ProgressClient) -> u64;
    /// Calls back.
    ///
    /// # Errors
    ///
    /// Sometimes.
    async fn work_later(&self, progress: &ProgressClient) -> Result<(), String>;
    /// Outdated.
    #[deprecated(since = "0.1.0", note = "call `put`")]
    async fn old(&self, text: &str);
}

/// Told how far a job is.
#[service]
pub trait Progress {
    /// So far.
    async fn done(&self, share: f32);
}

#[service(mock)]
trait UnusedMock {
    async fn unused(&self, a: u8) -> u8;
}

/// Never called from here.
#[service]
trait Unused {
    fn unused(&self, a: u8) -> u8;
}

#[deprecated]
#[service]
trait Outdated {
    fn put(&self, a: u8);
}

pub(crate) fn main() {
    println!("linted");
}
