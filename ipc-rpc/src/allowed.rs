//! Who may connect to a server, besides its own user and root.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ipc_core::socket::Credentials;

use crate::context::Peer;
use crate::endpoint;

#[derive(Clone, Default)]
pub(crate) struct Allowed {
    pub(crate) users: Vec<u32>,
    pub(crate) groups: Vec<u32>,
    pub(crate) others: Vec<Arc<dyn Fn(Peer) -> bool + Send + Sync>>,
}

impl fmt::Debug for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allowed").field("users", &self.users).field("groups", &self.groups).finish_non_exhaustive()
    }
}

impl Allowed {
    /// Is nobody else let in?
    pub(crate) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty() && self.others.is_empty()
    }

    /// May `who` connect? `groups` gives its groups besides the effective one.
    pub(crate) fn admits(&self, who: Credentials, groups: impl FnOnce() -> Vec<u32>) -> bool {
        // What the user's function says when it panics is nothing.
        let accepts = |other: &Arc<dyn Fn(Peer) -> bool + Send + Sync>| {
            catch_unwind(AssertUnwindSafe(|| other(who.into()))).unwrap_or_else(|payload| {
                std::mem::forget(payload);
                false
            })
        };
        endpoint::is_own(who.uid)
            || who.uid == 0
            || self.users.contains(&who.uid)
            || self.groups.contains(&who.gid)
            || !self.groups.is_empty() && groups().iter().any(|group| self.groups.contains(group))
            || self.others.iter().any(accepts)
    }
}
