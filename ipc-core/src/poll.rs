//! Waiting for many descriptors at once: epoll, and the two kernel objects of ours that go into it.
//!
//! # Safety
//! System calls with pointers to locals; descriptors are owned by `OwnedFd` as soon as the kernel has given them out.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Some descriptor may be ready that was not: who waits for that in the kernel knows.
#[cfg(not(shuttle))]
pub(crate) fn changed() {}
#[cfg(shuttle)]
pub(crate) use crate::schedule::changed;

fn call(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Reads the events of an epoll instance: which descriptors (by their number given in [`Poll::add`]) are ready.
#[derive(Debug)]
pub struct Poll {
    epoll: OwnedFd,
}

/// One ready descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// The number it was added with.
    pub id: u64,
    /// The peer has hung up.
    pub hung_up: bool,
}

impl Poll {
    /// An empty set.
    ///
    /// # Errors
    /// The system's: no descriptors left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: plain arguments.
        let fd = call(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just given us this descriptor.
        Ok(Poll { epoll: unsafe { OwnedFd::from_raw_fd(fd as RawFd) } })
    }

    /// Watches `descriptor` for input and hang-up; it reports each once as it happens (edge-triggered).
    ///
    /// # Errors
    /// The system's: no memory, the limit of watches.
    pub fn add(&self, descriptor: BorrowedFd<'_>, id: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, descriptor, id)
    }

    /// Reports the present state of `descriptor` once more.
    ///
    /// # Errors
    /// The system's, if it is not in the set.
    pub fn again(&self, descriptor: BorrowedFd<'_>, id: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, descriptor, id)
    }

    /// Stops watching.
    pub fn remove(&self, descriptor: BorrowedFd<'_>) {
        let _ = self.control(libc::EPOLL_CTL_DEL, descriptor, 0);
    }

    fn control(&self, operation: libc::c_int, descriptor: BorrowedFd<'_>, id: u64) -> io::Result<()> {
        let events = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
        let mut event = libc::epoll_event { events, u64: id };
        let (epoll, fd) = (self.epoll.as_raw_fd(), descriptor.as_raw_fd());
        // SAFETY: `event` is a valid place for the call.
        let done = call(unsafe { libc::epoll_ctl(epoll, operation, fd, &raw mut event) }).map(|_| ());
        changed();
        done
    }

    /// Waits for up to 16 events, for ever (`None`) or so many milliseconds. A signal does not end a wait for ever.
    pub fn wait(&self, milliseconds: Option<u32>, mut each: impl FnMut(Ready)) -> usize {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 16];
        #[cfg(not(shuttle))]
        let timeout = milliseconds.map_or(-1, |ms| i32::try_from(ms).unwrap_or(i32::MAX));
        #[cfg(shuttle)]
        let timeout = 0; // It waits elsewhere.
        // SAFETY: room for 16 events.
        let wait = |events: &mut [libc::epoll_event; 16]| unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 16, timeout)
        };
        let mut got = wait(&mut events);
        #[cfg(shuttle)]
        if got == 0 && milliseconds != Some(0) {
            let until = milliseconds.map(|ms| crate::clock::now() + u64::from(ms) * 1_000_000);
            crate::schedule::wait_for_descriptors(until);
            got = wait(&mut events);
        }
        while got < 0 && timeout < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
            got = wait(&mut events);
        }
        let count = usize::try_from(got).unwrap_or(0);
        for event in events.iter().take(count) {
            let flags = event.events;
            let hung_up = flags & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0;
            each(Ready { id: event.u64, hung_up });
        }
        count
    }
}

/// A counter in the kernel that wakes whoever waits for it in a [`Poll`].
#[derive(Debug)]
pub struct Signal {
    fd: OwnedFd,
}

impl Signal {
    /// Not raised.
    ///
    /// # Errors
    /// The system's: no descriptors left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: plain arguments.
        let fd = call(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the kernel has just given us this descriptor.
        Ok(Signal { fd: unsafe { OwnedFd::from_raw_fd(fd as RawFd) } })
    }

    /// Raises it; an edge each time.
    pub fn raise(&self) {
        let one = 1u64;
        // SAFETY: eight bytes of a local.
        unsafe { libc::write(self.fd.as_raw_fd(), (&raw const one).cast(), 8) };
        changed();
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A periodic timer that can be in a [`Poll`]; disarmed at first. It ticks again only after [`Ticker::heard`].
#[derive(Debug)]
pub struct Ticker {
    fd: OwnedFd,
}

impl Ticker {
    /// A disarmed timer.
    ///
    /// # Errors
    /// The system's: no descriptors left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: plain arguments.
        #[cfg(not(shuttle))]
        let fd = call(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) })?;
        // SAFETY: plain arguments.
        #[cfg(shuttle)]
        let fd = call(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the kernel has just given us this descriptor.
        Ok(Ticker { fd: unsafe { OwnedFd::from_raw_fd(fd as RawFd) } })
    }

    /// Ticks every so many milliseconds; 0 disarms it.
    pub fn every(&self, milliseconds: u32) {
        #[cfg(shuttle)]
        return crate::schedule::arm(self.fd.as_fd(), milliseconds != 0);
        #[cfg(not(shuttle))]
        self.set(milliseconds);
    }

    #[cfg(not(shuttle))]
    fn set(&self, milliseconds: u32) {
        let t = libc::timespec {
            tv_sec: libc::time_t::from(milliseconds / 1000),
            tv_nsec: libc::c_long::from(milliseconds % 1000) * 1_000_000,
        };
        let value = libc::itimerspec { it_interval: t, it_value: t };
        // SAFETY: `value` lives for the call, the old value is not wanted.
        unsafe { libc::timerfd_settime(self.fd.as_raw_fd(), 0, &raw const value, std::ptr::null_mut()) };
    }

    /// A tick was heard. The kernel starts the next period of a timer when its last expiration is read, and not before.
    pub fn heard(&self) {
        let mut ticks = 0u64;
        // SAFETY: eight bytes of a local; the descriptor does not block.
        unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut ticks).cast(), 8) };
    }
}

impl AsFd for Ticker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
