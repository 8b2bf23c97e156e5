//! Handlers that wait, fail, panic and stop half-way, as they are told.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use ipc_rpc::{Context, Kept, Message, Sink, Streaming, service};
use ipc_rpc_tests::services::WorkError;

/// What every intended panic says.
pub const PANIC: &str = "a panic that is part of the game";

/// How something goes on after a number of steps.
#[derive(Message, Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// To its end.
    Well,
    /// It stops half-way.
    Early,
    /// It fails.
    Fail,
    /// It panics.
    Panic,
}

/// An object in the client's process.
#[service]
pub trait Listener {
    /// Twice the number, or what `end` says.
    fn heard(&self, number: u64, end: End) -> u64;
    /// The same, async.
    async fn heard_later(&self, number: u64, end: End) -> u64;
    /// Not waited for.
    #[rpc(oneway)]
    fn noted(&self, number: u64);
}

/// An object in the server's process.
#[service]
pub trait Churn {
    /// The same list, after so many microseconds.
    fn echo(&self, list: &[u8], micros: u64, end: End) -> Result<Vec<u8>, WorkError>;
    /// The same, async.
    async fn echo_later(&self, list: &[u8], micros: u64, end: End) -> Result<Vec<u8>, WorkError>;
    /// Returns when nobody waits for it.
    async fn never(&self, ctx: &Context) -> u64;
    /// Not waited for.
    #[rpc(oneway)]
    fn note(&self, list: &[u8], end: End);
    /// Not waited for, async.
    #[rpc(oneway)]
    async fn note_later(&self, list: &[u8], micros: u64, end: End);
    /// Numbered lists, out of an iterator.
    fn lists(&self, count: u64, len: u64, end: End) -> Streaming<Vec<u8>>;
    /// Numbered lists, sent by a thread.
    fn sent(&self, count: u64, len: u64, end: End) -> Result<Streaming<Vec<u8>>, WorkError>;
    /// Numbered lists, sent by an async handler.
    async fn sent_later(&self, count: u64, len: u64, end: End) -> Streaming<Vec<u8>>;
    /// How many bytes there are in a stream.
    fn take(&self, most: u64, end: End, lists: Streaming<Vec<u8>>) -> Result<u64, WorkError>;
    /// The same, async.
    async fn take_later(&self, most: u64, end: End, lists: Streaming<Vec<u8>>) -> Result<u64, WorkError>;
    /// The same lists.
    fn both(&self, most: u64, end: End, lists: Streaming<Vec<u8>>) -> Streaming<Vec<u8>>;
    /// Tells the listener so many numbers; the sum of its answers.
    fn tell(&self, count: u64, last: End, end: End, listener: &ListenerClient) -> Result<u64, WorkError>;
    /// The same, async.
    async fn tell_later(&self, count: u64, last: End, end: End, listener: &ListenerClient) -> Result<u64, WorkError>;
    /// Keeps the listener for a while after the call, and uses it.
    fn keep(&self, listener: &ListenerClient);
    /// Keeps the list for a while after the call; how long it is.
    fn hold(&self, list: Kept<Vec<u8>>, micros: u64, end: End) -> Result<u64, WorkError>;
    /// The same, async.
    async fn hold_later(&self, list: Kept<Vec<u8>>, micros: u64, end: End) -> Result<u64, WorkError>;
    /// Not waited for.
    #[rpc(oneway)]
    fn hold_quietly(&self, list: Kept<Vec<u8>>);
    /// Keeps none any longer.
    fn forget(&self);
}

/// Serves [`Churn`].
#[derive(Debug, Default)]
pub struct Bench {
    kept: Mutex<Vec<ListenerClient>>,
    held: Mutex<Vec<Held>>,
}

/// A list that is kept, and what it was.
#[derive(Debug)]
struct Held {
    list: Kept<Vec<u8>>,
    copy: Vec<u8>,
}

/// Lists that are held at once: fewer than a client has blocks.
const HELD: usize = 24;

impl Bench {
    fn keep_list(&self, list: Kept<Vec<u8>>) {
        let copy = list.get().to_vec();
        let mut held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        held.push(Held { list, copy });
        let one = if held.len() > HELD { Some(held.swap_remove(HELD / 2)) } else { None };
        drop(held);
        if let Some(Held { list, copy }) = one {
            assert!(list.get() == copy, "a list that is held has changed");
        }
    }
}

/// A list that says which one it is.
pub fn list(number: u64, len: u64) -> Vec<u8> {
    let mut list = number.to_le_bytes().to_vec();
    list.resize(8 + len as usize, number as u8);
    list
}

fn failure() -> WorkError {
    WorkError { code: 1, reason: "it was to fail".into() }
}

fn nap(micros: u64) {
    if micros > 0 {
        thread::sleep(Duration::from_micros(micros));
    }
}

async fn nap_later(micros: u64) {
    if micros > 0 {
        smol::Timer::after(Duration::from_micros(micros)).await;
    }
}

fn conclude(end: End) -> Result<(), WorkError> {
    match end {
        End::Well | End::Early => Ok(()),
        End::Fail => Err(failure()),
        End::Panic => panic!("{PANIC}"),
    }
}

/// Sends lists until it is told to stop.
fn send(sink: Sink<Vec<u8>>, count: u64, len: u64, end: End) {
    for number in 0..count {
        if number == count / 2 && end != End::Well {
            match end {
                End::Fail => sink.fail("it was to fail"),
                End::Panic => panic!("{PANIC}"),
                _ => {}
            }
            return;
        }
        if sink.send(&list(number, len)).is_err() {
            return;
        }
    }
}

impl Churn for Bench {
    fn echo(&self, list: &[u8], micros: u64, end: End) -> Result<Vec<u8>, WorkError> {
        nap(micros);
        conclude(end)?;
        Ok(list.to_vec())
    }

    async fn echo_later(&self, list: &[u8], micros: u64, end: End) -> Result<Vec<u8>, WorkError> {
        nap_later(micros).await;
        conclude(end)?;
        Ok(list.to_vec())
    }

    async fn never(&self, ctx: &Context) -> u64 {
        while !ctx.is_cancelled() {
            nap_later(200).await;
        }
        0
    }

    fn note(&self, _list: &[u8], end: End) {
        let _ = conclude(end);
    }

    async fn note_later(&self, _list: &[u8], micros: u64, end: End) {
        nap_later(micros).await;
        let _ = conclude(end);
    }

    fn lists(&self, count: u64, len: u64, end: End) -> Streaming<Vec<u8>> {
        Streaming::from_iter((0..count).map_while(move |number| {
            if number == count / 2 {
                match end {
                    End::Panic => panic!("{PANIC}"),
                    End::Early | End::Fail => return None,
                    End::Well => {}
                }
            }
            Some(list(number, len))
        }))
    }

    fn sent(&self, count: u64, len: u64, end: End) -> Result<Streaming<Vec<u8>>, WorkError> {
        if count == 0 {
            return Err(failure());
        }
        let (sink, lists) = Streaming::channel();
        thread::spawn(move || send(sink, count, len, end));
        Ok(lists)
    }

    async fn sent_later(&self, count: u64, len: u64, end: End) -> Streaming<Vec<u8>> {
        let (sink, lists) = Streaming::channel();
        smol::spawn(async move {
            for number in 0..count {
                if number == count / 2 && end != End::Well {
                    if end == End::Fail {
                        sink.fail("it was to fail");
                    }
                    return;
                }
                if sink.send_async(&list(number, len)).await.is_err() {
                    return;
                }
            }
        })
        .detach();
        lists
    }

    fn take(&self, most: u64, end: End, lists: Streaming<Vec<u8>>) -> Result<u64, WorkError> {
        let mut bytes = 0;
        for (number, item) in (0..most).zip(lists) {
            let item = item.map_err(|_| failure())?;
            assert_eq!(item[..8], number.to_le_bytes());
            bytes += item.len() as u64;
        }
        conclude(end)?;
        Ok(bytes)
    }

    async fn take_later(&self, most: u64, end: End, mut lists: Streaming<Vec<u8>>) -> Result<u64, WorkError> {
        let mut bytes = 0;
        for number in 0..most {
            let Some(item) = lists.next_async().await else { break };
            let item = item.map_err(|_| failure())?;
            assert_eq!(item[..8], number.to_le_bytes());
            bytes += item.len() as u64;
        }
        conclude(end)?;
        Ok(bytes)
    }

    fn both(&self, most: u64, end: End, lists: Streaming<Vec<u8>>) -> Streaming<Vec<u8>> {
        let mut left = most;
        Streaming::from_iter(lists.map_while(move |item| {
            if left == 0 {
                let _ = conclude(end);
                return None;
            }
            left -= 1;
            item.ok()
        }))
    }

    fn tell(&self, count: u64, last: End, end: End, listener: &ListenerClient) -> Result<u64, WorkError> {
        let mut sum = 0;
        for number in 0..count {
            let end = if number + 1 == count { last } else { End::Well };
            sum += listener.heard(number, end).map_err(|_| failure())?;
            let _ = listener.noted(number);
        }
        conclude(end)?;
        Ok(sum)
    }

    async fn tell_later(&self, count: u64, last: End, end: End, listener: &ListenerClient) -> Result<u64, WorkError> {
        let mut sum = 0;
        for number in 0..count {
            let end = if number + 1 == count { last } else { End::Well };
            sum += listener.heard_later(number, end).await.map_err(|_| failure())?;
        }
        conclude(end)?;
        Ok(sum)
    }

    fn keep(&self, listener: &ListenerClient) {
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.push(listener.clone());
        let one = if kept.len() > 3 { Some(kept.remove(0)) } else { None };
        drop(kept);
        if let Some(one) = one {
            // Its client may be gone long since.
            let _ = one.noted(1);
        }
    }

    fn hold(&self, list: Kept<Vec<u8>>, micros: u64, end: End) -> Result<u64, WorkError> {
        nap(micros);
        let len = list.get().len() as u64;
        if end != End::Early {
            self.keep_list(list);
        }
        conclude(end)?;
        Ok(len)
    }

    async fn hold_later(&self, list: Kept<Vec<u8>>, micros: u64, end: End) -> Result<u64, WorkError> {
        let len = list.get().len() as u64;
        if end != End::Early {
            self.keep_list(list);
        }
        nap_later(micros).await;
        conclude(end)?;
        Ok(len)
    }

    fn hold_quietly(&self, list: Kept<Vec<u8>>) {
        self.keep_list(list);
    }

    fn forget(&self) {
        let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        held.iter().for_each(|Held { list, copy }| assert!(list.get() == *copy, "a list that is held has changed"));
        drop(held);
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        drop(kept);
    }
}
