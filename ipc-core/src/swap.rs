//! A value that is read without counting its readers, and can be exchanged under them.
//!
//! A reader notes in a place of its own thread what it reads, by a plain store. Who has exchanged the value looks through all
//! those places, behind a barrier that acts on every thread (`asymmetric.rs`), and drops the old value when it is in none.
//! These are hazard pointers (M. Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects", 2004) with the
//! readers' fence moved to the other side, as in Linux's `membarrier`.
//!
//! # Ordering
//! P18: a reader stores to its place, light fence, and loads the value *again*; the exchanger swaps the value, heavy fence, and
//! loads the places. Either the second load gives the new value, and the reader begins anew, or the place is seen. A reader
//! leaves by a release store, which the exchanger's load acquires: what was read is over before it is dropped.
//!
//! # Safety
//! Gives references to a value that a raw pointer leads to.
#![allow(unsafe_code)]

use crate::asymmetric;
use crate::sync::{AtomicPtr, Ordering};

/// What one thread reads: an address, or null.
#[derive(Debug)]
pub struct Place {
    reads: AtomicPtr<()>,
}

impl Place {
    /// Nothing is read.
    #[cfg(not(any(loom, shuttle)))]
    pub const fn new() -> Self {
        Place { reads: AtomicPtr::new(core::ptr::null_mut()) }
    }

    /// Nothing is read.
    #[cfg(any(loom, shuttle))]
    pub fn new() -> Self {
        Place { reads: AtomicPtr::new(core::ptr::null_mut()) }
    }

    #[cfg(not(any(loom, shuttle)))]
    #[inline(always)]
    fn is_free(&self) -> bool {
        self.reads.load(Ordering::Relaxed).is_null()
    }

    /// Notes what `current` points to, and gives it: it stays until [`Place::leave`]. Only the thread whose place it is.
    #[inline(always)]
    pub fn enter<T>(&self, current: &AtomicPtr<T>) -> *mut T {
        let mut read = current.load(Ordering::Relaxed);
        loop {
            // Release: what was read before this is over, too, if `leave` was not seen.
            self.reads.store(read.cast(), Ordering::Release);
            asymmetric::light(); // [P18] pairs with the heavy fence of who exchanges.
            // Acquire: the value, which was written before it was put there.
            let now = current.load(Ordering::Acquire);
            if now == read {
                return now; // `read` may have been another value, whose place in memory this one has.
            }
            read = now;
        }
    }

    /// The reading is over.
    #[inline(always)]
    pub fn leave(&self) {
        self.reads.store(core::ptr::null_mut(), Ordering::Release); // [P18] what was read, before it is dropped.
    }

    /// Is that still read here? Asked behind the heavy fence.
    pub fn holds<T>(&self, value: *const T) -> bool {
        self.reads.load(Ordering::Acquire).cast_const() == value.cast() // [P18] pairs with `leave`.
    }
}

impl Default for Place {
    fn default() -> Self {
        Place::new()
    }
}

#[cfg(not(any(loom, shuttle)))]
pub use shared::{Reading, Swap};

#[cfg(not(any(loom, shuttle)))]
mod shared {
    use std::cell::Cell;
    use std::fmt;
    use std::marker::PhantomData;
    use std::ops::Deref;
    use std::ptr;
    use std::sync::Arc;

    use super::*;
    use crate::sync::{Mutex, lock};

    /// All places there are. They are never freed, but those of threads that have ended are used again.
    static PLACES: Mutex<Vec<&'static Place>> = Mutex::new(Vec::new());
    static FREE: Mutex<Vec<&'static Place>> = Mutex::new(Vec::new());

    /// What a thread has before it needs a place: never free.
    static NOWHERE: Place = Place { reads: AtomicPtr::new(ptr::dangling_mut()) };

    thread_local! {
        // Without a destructor, so that looking at it is no question of whether it is still there.
        static HERE: Cell<&'static Place> = const { Cell::new(&NOWHERE) };
        static LEAVE: Leave = const { Leave };
    }

    /// Gives the place of a thread back when it ends.
    struct Leave;

    impl Drop for Leave {
        fn drop(&mut self) {
            let place = HERE.replace(&NOWHERE);
            // Never in use here: a reading is a value of some function of this thread, or of a destructor before this one.
            if !ptr::eq(place, &raw const NOWHERE) && place.is_free() {
                lock(&FREE).push(place);
            }
        }
    }

    /// A place for a thread that has none. None for one that is ending.
    #[cold]
    fn settle() {
        if ptr::eq(HERE.get(), &raw const NOWHERE) && LEAVE.try_with(|_| ()).is_ok() {
            let place = lock(&FREE).pop().unwrap_or_else(|| {
                let place: &'static Place = Box::leak(Box::default());
                lock(&PLACES).push(place);
                place
            });
            HERE.set(place);
        }
    }

    /// A shared value that can be exchanged while it is read.
    pub struct Swap<T> {
        /// From [`Arc::into_raw`]: one count of it is ours.
        current: AtomicPtr<T>,
        /// Values that were exchanged, as long as they may be read. Also the lock of who exchanges.
        retired: Mutex<Vec<Arc<T>>>,
    }

    impl<T> Swap<T> {
        /// Begins with `value`.
        pub fn new(value: Arc<T>) -> Self {
            Swap { current: AtomicPtr::new(Arc::into_raw(value).cast_mut()), retired: Mutex::default() }
        }

        /// The value as it is now, for this thread and not for long.
        #[inline(always)]
        pub fn read(&self) -> Reading<'_, T> {
            let place = HERE.get();
            if !place.is_free() {
                return self.read_counted();
            }
            Reading { value: place.enter(&self.current), place: Some(place), of: PhantomData }
        }

        /// As `read`, for a thread that has no place, or is reading something else.
        #[cold]
        #[inline(never)]
        fn read_counted(&self) -> Reading<'_, T> {
            settle();
            let place = HERE.get();
            if place.is_free() {
                return Reading { value: place.enter(&self.current), place: Some(place), of: PhantomData };
            }
            Reading { value: Arc::into_raw(self.share_locked()), place: None, of: PhantomData }
        }

        /// The value as it is now, to keep.
        #[inline]
        pub fn share(&self) -> Arc<T> {
            Reading::share(&self.read())
        }

        fn share_locked(&self) -> Arc<T> {
            let _retired = lock(&self.retired);
            let current = self.current.load(Ordering::Acquire);
            // SAFETY: nobody exchanges meanwhile, so our own count of it is there.
            unsafe { Arc::increment_strong_count(current) };
            // SAFETY: the count was just added.
            unsafe { Arc::from_raw(current) }
        }

        /// Exchanges the value. The old one is kept until [`collect`](Swap::collect) finds that nobody reads it.
        pub fn replace(&self, value: Arc<T>) {
            let mut retired = lock(&self.retired);
            let old = self.current.swap(Arc::into_raw(value).cast_mut(), Ordering::AcqRel);
            // SAFETY: from `Arc::into_raw`, in `new` or here; the count that was the pointer's is now the list's.
            retired.push(unsafe { Arc::from_raw(old) });
        }

        /// The values that were exchanged and may still be read.
        pub fn retired(&self) -> Vec<Arc<T>> {
            lock(&self.retired).clone()
        }

        /// Are there any of those?
        pub fn has_retired(&self) -> bool {
            !lock(&self.retired).is_empty()
        }

        /// Takes those that were exchanged and that nobody reads any more, to be dropped; all that are left when the kernel
        /// has no barrier wait for the end of this value.
        pub fn collect(&self) -> Vec<Arc<T>> {
            let mut retired = lock(&self.retired);
            if retired.is_empty() || !asymmetric::heavy() {
                return Vec::new();
            }
            // [P18] behind the barrier.
            let places = lock(&PLACES);
            let is_read = |value: &Arc<T>| places.iter().any(|place| place.holds(Arc::as_ptr(value)));
            let (still, free) = std::mem::take(&mut *retired).into_iter().partition(is_read);
            *retired = still;
            free
        }
    }

    impl<T> Drop for Swap<T> {
        fn drop(&mut self) {
            let current = self.current.load(Ordering::Acquire);
            // SAFETY: from `Arc::into_raw`; this value is borrowed by every reading, so there is none.
            drop(unsafe { Arc::from_raw(current) });
        }
    }

    impl<T: fmt::Debug> fmt::Debug for Swap<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_tuple("Swap").field(&&*self.read()).finish()
        }
    }

    // SAFETY: it is an `Arc<T>` that threads share, and give out clones of.
    unsafe impl<T: Send + Sync> Send for Swap<T> {}
    // SAFETY: as above.
    unsafe impl<T: Send + Sync> Sync for Swap<T> {}

    /// A value that is being read. It stays in its thread.
    pub struct Reading<'a, T> {
        value: *const T,
        /// Where it is noted; `None`: it is counted instead.
        place: Option<&'static Place>,
        of: PhantomData<&'a Swap<T>>,
    }

    impl<T> Reading<'_, T> {
        /// The same value, to keep.
        #[inline]
        pub fn share(this: &Self) -> Arc<T> {
            // SAFETY: the pointer is from `Arc::into_raw`, and as long as it is noted somebody has a count of it (P18).
            unsafe { Arc::increment_strong_count(this.value) };
            // SAFETY: the count was just added.
            unsafe { Arc::from_raw(this.value) }
        }
    }

    impl<T> Deref for Reading<'_, T> {
        type Target = T;

        #[inline(always)]
        fn deref(&self) -> &T {
            // SAFETY: it is noted in the place, or counted, until this value is dropped (P18).
            unsafe { &*self.value }
        }
    }

    impl<T> Drop for Reading<'_, T> {
        #[inline(always)]
        fn drop(&mut self) {
            match self.place {
                Some(place) => place.leave(),
                // SAFETY: from `Arc::into_raw`, in `read_counted`.
                None => drop(unsafe { Arc::from_raw(self.value) }),
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::sync::{AtomicBool, AtomicU64};

        /// Says when it is dropped.
        struct Noted<'a>(u64, &'a AtomicU64);
        impl Drop for Noted<'_> {
            fn drop(&mut self) {
                self.0 = u64::MAX;
                self.1.fetch_add(1, Ordering::Relaxed);
            }
        }

        #[test]
        fn what_is_read_stays_and_what_is_not_goes() {
            let dropped = AtomicU64::new(0);
            let swap = Swap::new(Arc::new(Noted(1, &dropped)));
            let first = swap.read();
            assert!(first.place.is_some());
            swap.replace(Arc::new(Noted(2, &dropped)));
            let nested = swap.read();
            assert!(nested.place.is_none(), "the place is taken");
            assert_eq!((first.0, nested.0, swap.share().0), (1, 2, 2));
            assert!(swap.collect().is_empty());
            swap.replace(Arc::new(Noted(3, &dropped)));
            assert_eq!(swap.retired().len(), 2);
            let free = swap.collect();
            assert_eq!((free.len(), free[0].0, nested.0), (1, 2, 2));
            drop((free, nested));
            assert_eq!((dropped.load(Ordering::Relaxed), first.0), (1, 1));
            drop(first);
            drop(swap.collect());
            assert_eq!(dropped.load(Ordering::Relaxed), 2);
            drop(swap);
            assert_eq!(dropped.load(Ordering::Relaxed), 3);
        }

        #[test]
        fn threads_read_while_it_is_exchanged() {
            let (dropped, over) = (AtomicU64::new(0), AtomicBool::new(false));
            let swap = Swap::new(Arc::new(Noted(0, &dropped)));
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let mut last = 0;
                        while !over.load(Ordering::Relaxed) {
                            for _ in 0..100 {
                                let value = swap.read();
                                assert!(value.0 >= last && value.0 != u64::MAX);
                                last = value.0;
                            }
                            last = last.max(swap.share().0);
                        }
                    });
                }
                for round in 1..=1000 {
                    swap.replace(Arc::new(Noted(round, &dropped)));
                    drop(swap.collect());
                }
                over.store(true, Ordering::Relaxed);
            });
            drop(swap.collect());
            assert_eq!(dropped.load(Ordering::Relaxed), 1000);
        }
    }
}
