//! Memory of a third process in the place of a part of an arena, so that a message can refer to it where it lies.
//!
//! The caller takes addresses of its arena for it, without pages, and sends the file along with the request ([`Place`]). The
//! callee maps the file there, for as long as the call lasts or its handler keeps the request; then the segment is mapped there
//! again. Messages refer to it as they refer to loans.
//!
//! # Trust
//! The callee maps what its peer says, inside of the peer's own arena. It is mapped privately, so that neither a file that
//! cannot be written, nor a reply that a hostile caller has go there, is a signal; a file that could become shorter is refused.

use std::any::Any;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::Wake;

use crate::extent::Extent;
use crate::layout::PAGE;
use crate::segment::{Area, Segment};
use crate::sync::{Mutex, lock};

/// The fewest bytes that are worth mapping rather than copying.
pub const WORTH_MAPPING: usize = 256 << 10;
/// The most that a peer can have mapped at once, of one connection.
const MOST: usize = 256;

/// Where a part of a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Offset in the segment, a multiple of [`PAGE`].
    pub at: u32,
    /// Bytes, a multiple of [`PAGE`].
    pub len: u32,
    /// Offset in the file, in pages.
    pub page: u32,
}

impl Place {
    /// Of what is not to be mapped.
    pub const NOWHERE: Place = Place { at: 0, len: 0, page: 0 };
}

fn count<T>(by_block: &HashMap<u32, Vec<T>>) -> usize {
    by_block.values().map(Vec::len).sum()
}

/// What the requests in the blocks of a caller refer to.
#[derive(Default)]
pub(crate) struct Exports(Mutex<HashMap<u32, Vec<Export>>>);

struct Export {
    extent: Extent,
    /// Keeps the memory as it is.
    hold: Box<dyn Any + Send + Sync>,
}

/// What kept memory as it was, to be dropped when no lock is held: it may be the last owner of a channel, with all that users
/// have left there.
pub(crate) struct Holds(#[allow(dead_code)] Vec<Box<dyn Any + Send + Sync>>);

/// Where there is a list of those that are woken without a lock, it takes part.
impl Wake for Holds {
    fn wake(self: Arc<Self>) {}
}

impl std::fmt::Debug for Exports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exports").finish_non_exhaustive()
    }
}

impl Exports {
    /// Are there as many as the peer maps at once? What comes next is to be copied.
    pub(crate) fn are_many(&self) -> bool {
        count(&lock(&self.0)) >= MOST
    }

    pub(crate) fn add(&self, block: u32, extent: Extent, hold: Box<dyn Any + Send + Sync>) {
        lock(&self.0).entry(block).or_default().push(Export { extent, hold });
    }

    /// The request was read, or is not to be sent. Gives the addresses back.
    #[cold]
    pub(crate) fn end(&self, block: u32) -> (Vec<Extent>, Holds) {
        let all = lock(&self.0).remove(&block).unwrap_or_default();
        let (extents, holds) = all.into_iter().map(|Export { extent, hold }| (extent, hold)).unzip();
        (extents, Holds(holds))
    }
}

/// What a callee has mapped, by block.
#[derive(Debug, Default)]
pub(crate) struct Imports(Mutex<HashMap<u32, Vec<Import>>>);

/// Where what part of which file is mapped.
#[derive(Debug)]
struct Import {
    place: Place,
    file: Arc<OwnedFd>,
}

impl Imports {
    /// Maps a part of `file` for the request in `block`.
    ///
    /// # Errors
    /// Why not, for the peer.
    #[cold]
    pub(crate) fn add(&self, segment: &Segment, block: u32, place: Place, file: OwnedFd) -> Result<(), String> {
        let Place { at, len, page } = place;
        if segment.bytes(Area::CallerArena, at, len).is_none() || !(at | len).is_multiple_of(PAGE) {
            return Err("memory is to be mapped outside of the client's arena".into());
        }
        let mut all = lock(&self.0);
        if count(&all) >= MOST {
            return Err(format!("more than {MOST} parts of other processes' memory at once"));
        }
        segment.overlay(at, len, file.as_fd(), u64::from(page) * u64::from(PAGE)).map_err(|error| error.to_string())?;
        all.entry(block).or_default().push(Import { place, file: Arc::new(file) });
        Ok(())
    }

    /// The request was read: the segment is mapped where something else was. `false`: the system refuses to, so that this connection cannot go on.
    #[cold]
    pub(crate) fn end(&self, segment: &Segment, block: u32) -> bool {
        let all = lock(&self.0).remove(&block).unwrap_or_default();
        all.iter().all(|import| segment.uncover(import.place.at, import.place.len).is_ok())
    }

    /// Of which file, and where in it, the bytes at offset `at` of the segment are, if they are mapped for the request in
    /// `block`.
    pub(crate) fn origin(&self, block: u32, at: u32) -> Option<(Arc<OwnedFd>, u64)> {
        let all = lock(&self.0);
        let inside = |place: &Place| at >= place.at && at - place.at < place.len;
        let Import { place, file } = all.get(&block)?.iter().find(|import| inside(&import.place))?;
        Some((file.clone(), u64::from(place.page) * u64::from(PAGE) + u64::from(at - place.at)))
    }
}
