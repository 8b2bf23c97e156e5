//! The server's process: handlers that write down that they run, then answer with something that only this call can get.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipc_core::clock;
use ipc_rpc::{CallError, Server, Streaming, service};
use ipc_rpc_tests::helper;

use crate::journal::{Form, How, Journal, Record};

/// An object in the client's process.
#[service]
pub trait Listener {
    /// The list, if it is the one that belongs to `id`.
    fn heard(&self, id: u64, list: &[u8]) -> Vec<u8>;
    /// The answer that belongs to `id`, async.
    async fn heard_later(&self, id: u64) -> u64;
    /// Not waited for.
    #[rpc(oneway)]
    fn noted(&self, id: u64);
}

/// An object in the server's process.
#[service]
pub trait Chaos {
    /// The number of the server's process.
    fn number(&self) -> u32;
    /// The answer that belongs to `id`, after so many microseconds.
    fn touch(&self, id: u64, micros: u32) -> u64;
    /// The same, made again by the client if it may have run.
    #[rpc(idempotent)]
    fn touch_again(&self, id: u64, micros: u32) -> u64;
    /// The same, async, once.
    async fn touch_later(&self, id: u64, micros: u32) -> u64;
    /// The list, if it is the one that belongs to `id`.
    fn echo(&self, id: u64, list: &[u8]) -> Vec<u8>;
    /// Not waited for.
    #[rpc(oneway)]
    fn note(&self, id: u64);
    /// Not waited for, async.
    #[rpc(oneway)]
    async fn note_later(&self, id: u64, micros: u32);
    /// So many lists.
    fn items(&self, id: u64, count: u32, len: u32) -> Streaming<Vec<u8>>;
    /// The same, sent by a thread.
    fn sent(&self, id: u64, count: u32, len: u32) -> Streaming<Vec<u8>>;
    /// Something about all items.
    fn sum(&self, id: u64, items: Streaming<Vec<u8>>) -> u64;
    /// The same, async.
    async fn sum_later(&self, id: u64, items: Streaming<Vec<u8>>) -> u64;
    /// The same items.
    fn both(&self, id: u64, items: Streaming<Vec<u8>>) -> Streaming<Vec<u8>>;
    /// Calls a listener in process `from` so often: how many of these calls did not fail.
    fn tell(&self, id: u64, from: u32, count: u32, listener: &ListenerClient) -> u32;
    /// The same, async.
    async fn tell_later(&self, id: u64, from: u32, count: u32, listener: &ListenerClient) -> u32;
    /// Keeps the listener, and calls it once more when others have come.
    fn keep(&self, id: u64, from: u32, listener: &ListenerClient);
    /// Keeps the list until others have come; the answer that belongs to `id`, if the list does.
    fn hold(&self, id: u64, list: ipc_rpc::Kept<Vec<u8>>) -> u64;
    /// Keeps none any longer.
    fn forget(&self);
}

/// The answer that belongs to call `id`.
pub fn answer(id: u64) -> u64 {
    id.rotate_left(23) ^ 0x6a09_e667_f3bc_c908
}

/// The list that belongs to call `id`.
pub fn list(id: u64, len: u32) -> Vec<u8> {
    let mut list = answer(id).to_le_bytes().to_vec();
    list.resize(8 + len as usize, answer(id) as u8);
    list
}

/// The list, if it is the one that belongs to call `id`.
pub fn echoed(id: u64, given: &[u8]) -> Vec<u8> {
    let right = given.len() >= 8 && given == list(id, given.len() as u32 - 8);
    if right { given.to_vec() } else { Vec::new() }
}

/// Item `number` of the stream that belongs to `id`.
pub fn item(id: u64, number: u32, len: u32) -> Vec<u8> {
    list(id.wrapping_add(u64::from(number) << 48), len)
}

/// What [`Chaos::sum`] makes of one item more.
pub fn add(sum: u64, item: &[u8]) -> u64 {
    let first = item.first_chunk().copied().map_or(0, u64::from_le_bytes);
    sum.rotate_left(1) ^ first.wrapping_add(item.len() as u64)
}

/// What came of a call.
pub fn how<T, E: std::fmt::Debug>(result: &Result<T, CallError<E>>, right: impl FnOnce(&T) -> bool) -> How {
    let how = match result {
        Ok(value) if right(value) => return How::Replied,
        Ok(_) => {
            eprintln!("the reply of another call");
            return How::Wrong;
        }
        Err(CallError::NotStarted { .. }) => How::NotStarted,
        Err(CallError::MayHaveRun { .. }) => How::MayHaveRun,
        Err(CallError::TimedOut { may_have_run: false, .. }) => How::NotInTime,
        Err(CallError::TimedOut { .. }) => How::TimedOut,
        Err(CallError::Busy { .. }) => How::Busy,
        Err(CallError::Cancelled { .. }) => How::Cancelled,
        Err(error) => {
            eprintln!("an error that cannot be: {error:?}");
            return How::Wrong;
        }
    };
    let consistent = result.as_ref().is_err_and(|e| e.may_have_run() != (*how.runs_once().end() == 0));
    if consistent { how } else { How::Wrong }
}

/// A handle of an object in another process.
#[derive(Debug)]
struct Kept {
    from: u32,
    listener: ListenerClient,
}

/// Serves [`Chaos`].
#[derive(Debug)]
struct Bench {
    journal: Arc<Journal>,
    kept: Mutex<Vec<Kept>>,
    held: Mutex<Vec<ipc_rpc::Kept<Vec<u8>>>>,
}

fn nap(micros: u32) {
    if micros > 0 {
        std::thread::sleep(Duration::from_micros(micros.into()));
    }
}

async fn nap_later(micros: u32) {
    if micros > 0 {
        smol::Timer::after(Duration::from_micros(micros.into())).await;
    }
}

impl Bench {
    /// Writes down what came of a call that this process has made: 0 if the other side is dead.
    fn claim(&self, id: u64, began: u64, peer: u32, form: Form, how: How) -> u32 {
        self.journal.write(&[Record { id, began, ended: clock::now(), peer, form, how }]);
        u32::from(!how.is_death() && how != How::Wrong)
    }
}

impl Chaos for Bench {
    fn number(&self) -> u32 {
        self.journal.number
    }

    fn touch(&self, id: u64, micros: u32) -> u64 {
        self.journal.ran(id, Form::Blocking);
        nap(micros);
        answer(id)
    }

    fn touch_again(&self, id: u64, micros: u32) -> u64 {
        self.journal.ran(id, Form::Idempotent);
        nap(micros);
        answer(id)
    }

    async fn touch_later(&self, id: u64, micros: u32) -> u64 {
        self.journal.ran(id, Form::Async);
        nap_later(micros).await;
        answer(id)
    }

    fn echo(&self, id: u64, given: &[u8]) -> Vec<u8> {
        self.journal.ran(id, Form::Large);
        echoed(id, given)
    }

    fn note(&self, id: u64) {
        self.journal.ran(id, Form::OneWay);
    }

    async fn note_later(&self, id: u64, micros: u32) {
        self.journal.ran(id, Form::OneWay);
        nap_later(micros).await;
    }

    fn items(&self, id: u64, count: u32, len: u32) -> Streaming<Vec<u8>> {
        self.journal.ran(id, Form::Output);
        Streaming::from_iter((0..count).map(move |number| item(id, number, len)))
    }

    fn sent(&self, id: u64, count: u32, len: u32) -> Streaming<Vec<u8>> {
        self.journal.ran(id, Form::Output);
        let (sink, items) = Streaming::channel();
        std::thread::spawn(move || {
            for number in 0..count {
                if sink.send(&item(id, number, len)).is_err() {
                    return;
                }
            }
        });
        items
    }

    fn sum(&self, id: u64, items: Streaming<Vec<u8>>) -> u64 {
        self.journal.ran(id, Form::Input);
        items.flatten().fold(id, |sum, item| add(sum, &item))
    }

    async fn sum_later(&self, id: u64, mut items: Streaming<Vec<u8>>) -> u64 {
        self.journal.ran(id, Form::Input);
        let mut sum = id;
        while let Some(Ok(item)) = items.next_async().await {
            sum = add(sum, &item);
        }
        sum
    }

    fn both(&self, id: u64, items: Streaming<Vec<u8>>) -> Streaming<Vec<u8>> {
        self.journal.ran(id, Form::Both);
        Streaming::from_iter(items.map_while(Result::ok))
    }

    fn tell(&self, id: u64, from: u32, count: u32, listener: &ListenerClient) -> u32 {
        self.journal.ran(id, Form::Callback);
        let mut answered = 0;
        for number in 0..count {
            let (id, began) = (self.journal.id(), clock::now());
            let sent = list(id, [0, 20_000, 100_000, 0, 10][number as usize % 5]);
            let result = match number % 5 {
                3 => listener.with_timeout(Duration::from_micros(100)).heard(id, &sent),
                4 => listener.batch(|calls| calls.heard(id, &sent)).and_then(|pending| pending.wait()),
                _ => listener.heard(id, &sent),
            };
            answered += self.claim(id, began, from, Form::Called, how(&result, |got| *got == sent));
        }
        answered
    }

    async fn tell_later(&self, id: u64, from: u32, count: u32, listener: &ListenerClient) -> u32 {
        self.journal.ran(id, Form::Callback);
        let mut answered = 0;
        for _ in 0..count {
            let (id, began) = (self.journal.id(), clock::now());
            let how = how(&listener.heard_later(id).await, |got| *got == answer(id));
            answered += self.claim(id, began, from, Form::Called, how);
        }
        answered
    }

    fn keep(&self, id: u64, from: u32, listener: &ListenerClient) {
        self.journal.ran(id, Form::Callback);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(Kept { from, listener: listener.clone() });
        let oldest = (kept.len() > 4).then(|| kept.remove(0));
        drop(kept);
        if let Some(Kept { from: other, listener }) = oldest {
            // Its client may be gone long since.
            let (id, began) = (self.journal.id(), clock::now());
            let mut how = how(&listener.noted(id), |()| true);
            if how == How::Replied {
                let flushed = self::how(&listener.flush(), |()| true);
                how = if flushed == How::Replied { How::Flushed } else { How::Sent };
            }
            // Not sent: it is the client of this very call that is dead.
            let dead = if how == How::Cancelled { from } else { other };
            self.claim(id, began, dead, Form::Kept, how);
        }
    }

    fn hold(&self, id: u64, given: ipc_rpc::Kept<Vec<u8>>) -> u64 {
        self.journal.ran(id, Form::Large);
        let right = !echoed(id, given.get()).is_empty();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push(given);
        let oldest = (held.len() > 6).then(|| held.remove(0));
        drop(held);
        drop(oldest);
        if right { answer(id) } else { 0 }
    }

    fn forget(&self) {
        let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        drop(held);
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        drop(kept);
    }
}

/// Serves until it is killed. Says on request what it has in use.
pub fn serve(socket: &str, journal: Arc<Journal>) -> ExitCode {
    let bench = Bench { journal, kept: Mutex::default(), held: Mutex::default() };
    let server = match Server::builder().service(ChaosDispatcher::new(bench)).bind(socket) {
        Ok(server) => server,
        Err(error) => {
            println!("not bound: {error}");
            return ExitCode::FAILURE;
        }
    };
    let handle = server.handle();
    helper::live_no_longer_than_the_test(move |_| println!("{:?}", handle.usage()));
    println!("bound");
    server.run().expect("a serving server");
    ExitCode::SUCCESS
}
