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

use ipc_rpc::service;

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
