//! A service whose arguments and results are large, and whose handlers tell where they found them.

use std::sync::Mutex;
use std::time::Duration;

use ipc_rpc::{Archived, Context, Kept, Loan, LoanError, Message, service};

use crate::helper::until;
use crate::proc;

/// Where in which file memory lies.
#[derive(Message, Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// The file's number; 0: none, it is private.
    pub inode: u64,
    /// From its start, in bytes.
    pub offset: u64,
}

impl Spot {
    /// That of these values.
    ///
    /// # Panics
    /// The system does not say.
    pub fn of<T>(values: &[T]) -> Spot {
        let (inode, offset) = proc::place_of(values.as_ptr().addr()).expect("mapped memory");
        Spot { inode, offset: if inode == 0 { 0 } else { offset } }
    }
}

/// A plain type whose bits are not all values.
#[derive(Message, Debug, Clone, Copy, PartialEq)]
#[repr(C)]
#[message(plain)]
pub struct Cell {
    /// A number.
    pub height: u16,
    /// A truth.
    pub wet: bool,
    /// Another one.
    pub warm: bool,
}

/// A struct around something large.
#[derive(Message, Debug, Clone, PartialEq)]
pub struct Frame {
    /// Its name.
    pub title: String,
    /// Pixels.
    pub pixels: Loan<u8>,
    /// Something large besides.
    pub samples: Vec<f32>,
    /// Something small behind it.
    pub tags: Vec<String>,
}

/// A service whose arguments and results are large.
#[service]
pub trait Large {
    /// Where the bytes lie, and their sum.
    fn place(&self, bytes: &[u8]) -> (Spot, u64);
    /// The first of them.
    fn first(&self, bytes: &[u8]) -> u8;
    /// The same of several.
    fn places(&self, a: &[u64], b: &[u8], c: &[u64]) -> Vec<Spot>;
    /// The same, when the future that reads them has waited.
    async fn place_later(&self, bytes: &[u8]) -> (Spot, u64);
    /// The same for a client that is told nothing.
    #[rpc(oneway)]
    fn note(&self, bytes: &[u8]);
    /// What was noted last.
    fn noted(&self) -> Option<(Spot, u64)>;
    /// Where the parts of a frame lie, and whether they are all right.
    fn frame(&self, frame: &Archived<Frame>) -> (Spot, Spot, String);
    /// Where the bytes lie here, and at the servers of these names, to each of which the one before passes them on.
    fn relay(&self, way: &[String], bytes: Kept<Vec<u8>>) -> Vec<(Spot, u64)>;
    /// The same of a part of a struct, and of that part in another struct.
    fn relay_frame(&self, to: &str, frame: Kept<Frame>) -> Vec<(Spot, u64)>;
    /// Passes the bytes on to a server of this name when there is no file of the other name, after the answer.
    fn relay_later(&self, to: &str, gate: &str, bytes: Kept<Vec<u8>>);
    /// The bytes, and where they lie here.
    fn echo(&self, bytes: Kept<Vec<u8>>) -> (Spot, Loan<u8>);
    /// How many cells are wet.
    fn wet(&self, cells: &[Cell]) -> u64;
    /// Waits until there is no file of this name; then as `place`.
    fn place_when_gone(&self, gate: &str, bytes: &[u8]) -> (Spot, u64);
    /// The place where the caller can find `len` bytes of this value, and these bytes.
    fn make(&self, ctx: &Context, len: u64, value: u8) -> Result<(Spot, Loan<u8>), String>;
    /// A frame of so many pixels.
    async fn make_frame(&self, ctx: &Context, len: u64) -> Result<Frame, String>;
    /// Fails with bytes in hand.
    fn make_and_fail(&self, ctx: &Context, len: u64) -> Result<Loan<u8>, String>;
}

/// Serves [`Large`].
#[derive(Debug, Default)]
pub struct Hall {
    noted: Mutex<Option<(Spot, u64)>>,
}

/// Ready the second time it is asked.
async fn pause() {
    let mut asked = false;
    std::future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut asked, true) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// The sum of the bytes.
pub fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

#[allow(clippy::needless_pass_by_value)] // For `map_err`.
fn text(error: LoanError) -> String {
    error.to_string()
}

impl Large for Hall {
    fn place(&self, bytes: &[u8]) -> (Spot, u64) {
        (Spot::of(bytes), sum(bytes))
    }

    fn first(&self, bytes: &[u8]) -> u8 {
        bytes.first().copied().unwrap_or(0)
    }

    fn places(&self, a: &[u64], b: &[u8], c: &[u64]) -> Vec<Spot> {
        vec![Spot::of(a), Spot::of(b), Spot::of(c)]
    }

    async fn place_later(&self, bytes: &[u8]) -> (Spot, u64) {
        pause().await;
        (Spot::of(bytes), sum(bytes))
    }

    fn note(&self, bytes: &[u8]) {
        *self.noted.lock().expect("no panic") = Some((Spot::of(bytes), sum(bytes)));
    }

    fn noted(&self) -> Option<(Spot, u64)> {
        *self.noted.lock().expect("no panic")
    }

    fn frame(&self, frame: &Archived<Frame>) -> (Spot, Spot, String) {
        let tags: Vec<_> = frame.tags().iter().collect();
        (Spot::of(frame.pixels()), Spot::of(frame.samples()), format!("{} {}", frame.title(), tags.join("+")))
    }

    fn relay(&self, way: &[String], bytes: Kept<Vec<u8>>) -> Vec<(Spot, u64)> {
        let mut all = vec![(Spot::of(bytes.get()), sum(bytes.get()))];
        if let Some((next, rest)) = way.split_first() {
            let next = LargeClient::connect(next).expect("a server");
            all.extend(next.relay(rest, bytes.get()).expect("a reply"));
        }
        all
    }

    fn relay_frame(&self, to: &str, frame: Kept<Frame>) -> Vec<(Spot, u64)> {
        let next = LargeClient::connect(to).expect("a server");
        let (pixels, samples) = (frame.pixels(), frame.samples());
        let there = next.place(pixels).expect("a reply");
        let copied = next.places(&[], &[], &[0; 1]).expect("a reply");
        assert_eq!(copied.len(), 3);
        let part = || Loan::part_of(&frame, |frame| frame.pixels());
        let mut changed = part();
        changed[0] ^= 1;
        assert!(!changed.is_shared() && changed[0] != pixels[0] && changed[1..] == pixels[1..]);
        let other = Frame { title: String::new(), pixels: part(), samples: vec![], tags: vec![] };
        let (in_other, _, _) = next.frame(&other).expect("a reply");
        vec![(Spot::of(pixels), sum(pixels)), there, (Spot::of(samples), 0), (in_other, sum(&other.pixels))]
    }

    fn relay_later(&self, to: &str, gate: &str, bytes: Kept<Vec<u8>>) {
        let (to, gate) = (to.to_owned(), gate.to_owned());
        std::thread::spawn(move || {
            until(|| !std::fs::exists(&gate).expect("a folder"));
            let next = LargeClient::connect(to).expect("a server");
            next.note(bytes.get()).expect("a call");
            next.flush().expect("an answer");
        });
    }

    fn echo(&self, bytes: Kept<Vec<u8>>) -> (Spot, Loan<u8>) {
        (Spot::of(bytes.get()), bytes.into())
    }

    fn wet(&self, cells: &[Cell]) -> u64 {
        cells.iter().filter(|cell| cell.wet).count() as u64
    }

    fn place_when_gone(&self, gate: &str, bytes: &[u8]) -> (Spot, u64) {
        std::fs::write(format!("{gate}.in"), "").expect("a file");
        until(|| !std::fs::exists(gate).expect("a folder"));
        (Spot::of(bytes), sum(bytes))
    }

    fn make(&self, ctx: &Context, len: u64, value: u8) -> Result<(Spot, Loan<u8>), String> {
        let mut bytes = ctx.loan::<u8>(len as usize).map_err(text)?;
        bytes.fill(value);
        Ok((Spot::of(&bytes), bytes))
    }

    async fn make_frame(&self, ctx: &Context, len: u64) -> Result<Frame, String> {
        let mut pixels = ctx.loan::<u8>(len as usize).map_err(text)?;
        pixels.fill(9);
        pause().await;
        let tags = (0..100).map(|n| n.to_string()).collect();
        Ok(Frame { title: "made".into(), pixels, samples: vec![0.5; 5000], tags })
    }

    fn make_and_fail(&self, ctx: &Context, len: u64) -> Result<Loan<u8>, String> {
        let bytes = ctx.loan::<u8>(len as usize).map_err(text)?;
        std::thread::sleep(Duration::from_millis(1));
        Err(format!("{} bytes and no idea", bytes.len()))
    }
}
