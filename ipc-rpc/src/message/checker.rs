//! The checker: judges received bytes before anything reads them as a form.
//!
//! A form may point only to bytes before it that no other part of the message claims. The checker keeps the range that is
//! still unclaimed: entering a part cuts the range off at the part's start, leaving it continues behind the part's end.
//! So a message cannot share parts, overlap them or go in circles, and checking takes time linear in its length.
//!
//! It may also refer to memory outside of itself, where its sender has loans. What lies there may not point to anything, so it
//! takes no part in circles either; that it may be shared harms nobody, since it is only read.
#![allow(unsafe_code)]
// Unsafe code is needed here because rkyv's trait for a checking context is unsafe to implement (its callers rely on the
// ranges) and because checking goes through raw pointers: a reference would claim the bytes to be valid already.

use std::alloc::Layout;
use std::cell::RefCell;
use std::mem;
use std::ops::Range;

use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Fallible;
use rkyv::validation::ArchiveContext;

use super::{MAX_DEPTH, MAX_SIZE, Message, MessageError};

/// The state of one check: the addresses that parts may still claim, and how deep the current part lies.
#[derive(Debug)]
pub struct Checker {
    unclaimed: Range<usize>,
    depth: u32,
    /// The addresses of the sender's loans; none while a part of them is judged.
    loans: Range<usize>,
    /// `loans`, while a part of them is judged.
    aside: Range<usize>,
    /// The part judged next lies in them.
    outside: bool,
    /// How many bytes of them may still be judged: as many as a message may have, however often it refers to the same ones.
    left: usize,
}

impl Checker {
    /// Starts a check of parts between the addresses `start` and `end`, which may refer to `loans`.
    #[inline]
    pub(super) fn new(start: usize, end: usize, loans: Range<usize>) -> Self {
        Checker { unclaimed: start..end, depth: 0, loans, aside: 0..0, outside: false, left: MAX_SIZE }
    }

    /// May a part lie in the sender's loans?
    #[cold]
    fn lies_outside(&mut self, start: usize, layout: &Layout) -> bool {
        self.outside = start >= self.loans.start
            && start.checked_add(layout.size()).is_some_and(|end| end <= self.loans.end)
            && start.is_multiple_of(layout.align())
            && layout.size() <= self.left;
        if self.outside {
            FOUND.with_borrow_mut(|found| found.as_mut().map(|found| found.push(start..start + layout.size())));
            self.left -= layout.size();
        }
        self.outside
    }
}

thread_local! {
    /// Where parts lie that are found outside of the message, if somebody wants to know.
    static FOUND: RefCell<Option<Vec<Range<usize>>>> = const { RefCell::new(None) };
}

/// The addresses of what a form refers to outside of its message.
pub(crate) fn parts_outside<F: CheckBytes<Checker>>(form: &F, start: usize, loans: Range<usize>) -> Vec<Range<usize>> {
    let form = std::ptr::from_ref(form);
    FOUND.set(Some(Vec::new()));
    // SAFETY: a form that can be referred to is readable and aligned, and so is what it points to.
    let checked = unsafe { F::check_bytes(form, &mut Checker::new(start, form.addr(), loans)) };
    let found = FOUND.take().unwrap_or_default();
    if checked.is_ok() { found } else { Vec::new() }
}

impl Fallible for Checker {
    type Error = MessageError;
}

// SAFETY: `check_subtree_ptr` returns `Ok` only for a part that is aligned and lies inside the unclaimed range or the
// sender's loans, both readable, and the range given back by `push_subtree_range` holds what is unclaimed after the part. While
// a part outside of the message is judged nothing is unclaimed and there are no loans, so no part of it is pointed to.
unsafe impl ArchiveContext for Checker {
    #[inline]
    fn check_subtree_ptr(&mut self, ptr: *const u8, layout: &Layout) -> Result<(), MessageError> {
        let start = ptr.addr();
        let inside = start >= self.unclaimed.start
            && start.checked_add(layout.size()).is_some_and(|end| end <= self.unclaimed.end);
        match inside && start.is_multiple_of(layout.align()) {
            true => Ok(()),
            false if self.lies_outside(start, layout) => Ok(()),
            false => Err(self.refused(start, layout)),
        }
    }

    #[inline]
    unsafe fn push_subtree_range(&mut self, root: *const u8, end: *const u8) -> Result<Range<usize>, MessageError> {
        if self.depth >= MAX_DEPTH {
            return Err(MessageError::too_deep());
        }
        self.depth += 1;
        if self.outside {
            self.outside = false;
            self.aside = mem::take(&mut self.loans);
            return Ok(mem::take(&mut self.unclaimed));
        }
        let after = end.addr()..self.unclaimed.end;
        self.unclaimed.end = root.addr();
        Ok(after)
    }

    #[inline]
    unsafe fn pop_subtree_range(&mut self, range: Range<usize>) -> Result<(), MessageError> {
        self.unclaimed = range;
        if !self.aside.is_empty() {
            self.loans = mem::take(&mut self.aside);
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }
}

impl Checker {
    #[cold]
    fn refused(&self, start: usize, layout: &Layout) -> MessageError {
        let Range { start: low, end: high } = self.unclaimed;
        let offset = start.wrapping_sub(low).cast_signed();
        MessageError::invalid(format!(
            "a part of {} bytes aligned to {} at offset {offset} does not fit into the {} bytes it may use",
            layout.size(),
            layout.align(),
            high.saturating_sub(low)
        ))
    }
}

/// Checks the field `field` of `type_name`, so that an error names it.
///
/// # Errors
///
/// The bytes are no valid form of `T`.
///
/// # Safety
///
/// `form` is aligned and valid for reads of `size_of::<T::Form>()` bytes, which lie in the message `checker` judges.
#[doc(hidden)]
#[inline]
pub unsafe fn check<T: Message>(
    form: *const T::Form,
    checker: &mut Checker,
    type_name: &'static str,
    field: &'static str,
) -> Result<(), MessageError> {
    // SAFETY: the caller's promise is what `check_bytes` asks for.
    match unsafe { T::Form::check_bytes(form, checker) } {
        Ok(()) => Ok(()),
        Err(error) => Err(error.at(type_name, field)),
    }
}

/// The error for a variant number that the enum `type_name` does not have.
#[doc(hidden)]
#[cold]
pub fn unknown_variant(type_name: &'static str, found: u8) -> MessageError {
    MessageError::invalid(format!("{type_name} has no variant number {found}"))
}
