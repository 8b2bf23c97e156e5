//! A caller and a callee over one segment, in one process, for the tests of this folder.

use std::future::Future;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use ipc_core::callee::{Call, Greeting, Handler};
use ipc_core::caller::{Answer, Caller, Draft, Holder, Limit};
use ipc_core::layout::Geometry;
use ipc_core::scanner::{Callee, Workers};
use ipc_core::segment::Segment;
use ipc_core::socket;

pub const BLOCKS: u32 = 8;
pub const ECHO: u16 = 0;
/// Sleeps for as many milliseconds as the first byte says, then echoes.
pub const SLEEP: u16 = 1;
/// Waits for [`Side::release`], then echoes.
pub const STALL: u16 = 2;
pub const STATUS: u16 = 16;

pub fn geometry() -> Geometry {
    Geometry::new(BLOCKS, 1 << 20, 1 << 20).unwrap()
}

#[derive(Default)]
pub struct Echo {
    runs: AtomicU32,
    released: AtomicBool,
}

impl Handler for Echo {
    type Peer = ();

    fn greet(&self, _: &[u8], mut descriptors: Vec<OwnedFd>, _: BorrowedFd<'_>, _: usize) -> Greeting<()> {
        let segment = Segment::open(descriptors.pop().unwrap(), geometry()).unwrap();
        Greeting { answer: b"welcome".to_vec(), accepted: Some((segment, ())) }
    }

    fn call(&self, (): &(), call: &mut Call<'_, ()>) -> (u16, usize) {
        let (data, len) = call.request();
        // SAFETY: the request lies there until the call is finished, and this peer is honest.
        let request = unsafe { std::slice::from_raw_parts(data.as_ptr(), len) }.to_vec();
        if call.method() == SLEEP {
            std::thread::sleep(Duration::from_millis(request[0].into()));
        }
        while call.method() == STALL && !self.released.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.runs.fetch_add(1, Ordering::SeqCst);
        let (mut to, room) = call.reply_buffer();
        if room < len {
            to = call.grow_reply(0, len).unwrap().0;
        }
        // SAFETY: room for `len` bytes, ours alone.
        unsafe { std::ptr::copy_nonoverlapping(request.as_ptr(), to.as_ptr(), len) };
        (STATUS, len)
    }
}

/// Both sides of a channel. Dropping it ends the callee, not the caller.
pub struct Side {
    pub caller: Arc<Caller>,
    callee: Option<Arc<Callee<Echo>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Side {
    pub fn start(workers: usize) -> Side {
        let callee =
            Arc::new(Callee::new(Echo::default(), None, Workers { base: workers, spare: 0, grow: false }).unwrap());
        let (ours, theirs) = socket::pair().unwrap();
        callee.adopt(theirs).unwrap();
        let work = |me| {
            let callee = callee.clone();
            std::thread::spawn(move || callee.work(me))
        };
        let threads = (0..workers).map(work).collect();
        let segment = Segment::create(geometry()).unwrap();
        socket::send(ours.as_fd(), b"hello", Some(segment.descriptor())).unwrap();
        assert!(socket::wait_readable(ours.as_fd(), ipc_core::clock::after(Duration::from_secs(10))).unwrap());
        assert_eq!(socket::receive(ours.as_fd()).unwrap().0, b"welcome");
        Side { caller: Caller::new(segment, ours).unwrap(), callee: Some(callee), threads }
    }

    /// Whether calls of [`STALL`] end.
    pub fn release(&self, released: bool) {
        if let Some(callee) = &self.callee {
            callee.handler().released.store(released, Ordering::SeqCst);
        }
    }

    /// Calls that have run.
    pub fn runs(&self) -> u32 {
        self.callee.as_ref().map_or(0, |callee| callee.handler().runs.load(Ordering::SeqCst))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.release(true);
        let callee = self.callee.take().unwrap();
        callee.stop();
        self.threads.drain(..).for_each(|t| t.join().unwrap());
        drop(callee);
    }
}

pub fn write<C: Holder>(draft: &mut Draft<C>, byte: u8) {
    // SAFETY: a block has room for one byte, ours alone.
    unsafe { draft.buffer().0.write(byte) };
}

/// A draft whose request is one byte.
pub fn draft<C: Holder>(caller: C, byte: u8) -> Draft<C> {
    let mut draft = Caller::draft(caller, Limit::None).unwrap();
    write(&mut draft, byte);
    draft
}

pub fn reply<C: Holder>(answer: Answer<C>) -> Vec<u8> {
    let (data, len) = answer.bytes();
    // SAFETY: the reply lies there until `answer` is dropped, and this peer is honest.
    if len == 0 { Vec::new() } else { unsafe { std::slice::from_raw_parts(data.as_ptr(), len) }.to_vec() }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
