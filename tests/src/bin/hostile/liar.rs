//! The mirror: a server that answers as no server does, and what an honest client makes of it.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipc_core::layout::{INLINE, INLINE_ROOM};
use ipc_core::segment::{Area, Segment};
use ipc_core::{socket, word};
use ipc_rpc::__private::first_packet;
use ipc_rpc::{CallError, ClientConfig, Dispatch, Streaming, Trust};
use ipc_rpc_tests::helper;
use ipc_rpc_tests::random::Random;
use ipc_rpc_tests::raw::{self, FakeServer, Peer};
use ipc_rpc_tests::system;

use crate::honest::{Listener, record, tree, watch};
use crate::requests::{lend, settle};
use crate::service::{DeskClient, EarDispatcher, METHODS};

/// Answers what is lent in `segment`, one way or another; gives how many there were.
pub fn lie(segment: &Segment, random: &mut Random) -> u64 {
    let g = *segment.geometry();
    let mut lies = 0;
    for block in 0..g.blocks().min(64) {
        let Some(head) = segment.block(block) else { continue };
        if head.word.load(Ordering::Acquire) & word::STATE != word::REQUEST {
            continue;
        }
        let inline = g.block_at(block) + INLINE;
        let places = [inline, inline + INLINE_ROOM, g.caller_arena_at(), g.callee_arena_at(), g.len() as u32, 64];
        let (mut at, mut len) = (inline, random.below(u64::from(INLINE_ROOM)) as u32);
        match random.below(8) {
            0 => (at, len) = (random.edge(&places), random.edge(&places)),
            1 => (at, len) = (g.callee_arena_at() + random.below(5000) as u32, random.below(200_000) as u32),
            2 => len = random.edge(&places),
            _ => {
                let mask = [0xff, 3, 0x7f][random.below(3) as usize];
                let bytes: Vec<u8> = (0..len).map(|_| random.any() as u8 & mask).collect();
                raw::put(segment, Area::Inline(block), at, &bytes);
            }
        }
        head.reply_at.store(at, Ordering::Relaxed);
        head.reply_len.store(len, Ordering::Relaxed);
        let status = [0, 0, 0, 0, 1, 2, 3, 16, 17, 18, 19, 32, 33, 34, random.any() as u16];
        head.status.store(status[random.below(status.len() as u64) as usize], Ordering::Relaxed);
        segment.caller_flags().woken_at.store(random.any(), Ordering::Relaxed);
        segment.callee_flags().asleep.store(random.below(2) as u32, Ordering::Relaxed);
        if random.chance(50) {
            let cells = segment.announcement_cells();
            cells[random.below(cells.len() as u64) as usize].store(random.any(), Ordering::Relaxed);
        }
        if random.chance(4)
            && let Some(taken) = segment.taken(block)
        {
            taken.store(random.any() as u32, Ordering::Relaxed);
        }
        lies += 1;
        let value = match random.below(150) {
            0 => random.edge(&places),
            1 => word::REQUEST | word::CANCELLED,
            2 => word::FREE,
            3 => continue,
            _ => word::DONE | [0, word::WATCHED][random.below(2) as usize],
        };
        if head.word.swap(value, Ordering::AcqRel) & word::PARKED != 0 {
            system::wake(&head.word);
        }
    }
    lies
}

/// Serves one client after the other. At each line it says how many lies it has told.
pub fn serve(path: &str, seed: u64) -> ExitCode {
    let lies = Arc::<AtomicU64>::default();
    let told = lies.clone();
    helper::live_no_longer_than_the_test(move |_| println!("{}", told.load(Ordering::Relaxed)));
    let server = FakeServer::listen(path.to_owned());
    let mut random = Random::new(seed);
    println!("ready");
    loop {
        let Some((socket, hello, descriptors)) = server.try_accept() else { continue };
        lies.fetch_add(host(&socket, &hello, descriptors, &mut random), Ordering::Relaxed);
    }
}

fn host(socket: &OwnedFd, hello: &[u8], mut descriptors: Vec<OwnedFd>, random: &mut Random) -> u64 {
    let welcome = raw::welcome(hello, METHODS);
    let answer = match random.below(20) {
        0 => return 1,
        1 => welcome[..random.below(welcome.len() as u64) as usize].to_vec(),
        2 => {
            let mut other = welcome.clone();
            let at = random.below(other.len() as u64) as usize;
            other[at] = random.any() as u8;
            other
        }
        3 => vec![0xff; random.below(60_000) as usize],
        // Numbers of methods that are none.
        4 => welcome.iter().enumerate().map(|(at, byte)| if at < 16 { *byte } else { random.any() as u8 }).collect(),
        _ => welcome,
    };
    if system::send(socket.as_fd(), &answer, &[]).is_err() || descriptors.len() != 2 {
        return 1;
    }
    let Some(back) = descriptors.pop() else { return 1 };
    let segment = Segment::open(descriptors.remove(0), raw::geometry(hello)).expect("an honest client's memory");
    let (seed, begin) = (random.any(), Instant::now());
    let over = || begin.elapsed() > Duration::from_millis(300);
    thread::scope(|scope| {
        let calls = scope.spawn(move || call_objects(back, &mut Random::new(seed), begin));
        let mut lies = 1;
        while !over() && !raw::has_hung_up(socket.as_fd()) {
            lies += lie(&segment, random);
            if random.chance(100) {
                socket::ring(socket.as_fd());
            }
        }
        socket::shut_down(socket.as_fd());
        lies + calls.join().expect("calls that end")
    })
}

/// Calls the objects of a client, once it lends some, with any numbers and any bytes.
fn call_objects(back: OwnedFd, random: &mut Random, begin: Instant) -> u64 {
    let desc = EarDispatcher::new(Listener).service();
    let Some(hello) = first_packet(desc, 16, 1 << 16, false) else { return 0 };
    let segment = Segment::create(raw::geometry(&hello)).expect("memory");
    if system::send(back.as_fd(), &hello, &[segment.descriptor()]).is_err() {
        return 0;
    }
    let soon = ipc_core::clock::after(Duration::from_millis(250));
    if !socket::wait_readable(back.as_fd(), soon).unwrap_or(false) {
        return 1;
    }
    let Some(peer) = Peer::welcomed(back, segment) else { return 1 };
    let mut calls = 1;
    while begin.elapsed() < Duration::from_millis(300) && !peer.has_ended() {
        let block = random.below(16) as u32;
        let bytes: Vec<u8> = (0..random.below(40)).map(|_| random.any() as u8).collect();
        let method = match random.below(3) {
            0 => 0x3f10 + random.below(3) as u16,
            1 => random.any() as u16,
            _ => peer.numbers[random.below(peer.numbers.len() as u64) as usize],
        };
        peer.write(block, method, &bytes);
        peer.head(block).tag.store(random.edge(&[1, 2, 3, 1 << 16]), Ordering::Relaxed);
        lend(&peer, block);
        settle(&peer, block);
        calls += 1;
    }
    calls
}

/// An honest client of the liar, which survives it: it gets errors, or values of the right type. At the line `end` it says
/// how many calls it made and how they ended.
pub fn suffer(path: &str, seed: u64) -> ExitCode {
    let over = Arc::<AtomicU64>::default();
    let told = over.clone();
    helper::live_no_longer_than_the_test(move |_| told.store(1, Ordering::Relaxed));
    let steps = Arc::<AtomicU64>::default();
    watch("a client of the hostile server", steps.clone());
    let mut victim = Victim { random: Random::new(seed), steps, values: 0, errors: 0, strangers: 0 };
    println!("ready");
    while over.load(Ordering::Relaxed) == 0 {
        victim.visit(path);
    }
    println!("{} {} {}", victim.values, victim.errors, victim.strangers);
    ExitCode::SUCCESS
}

struct Victim {
    random: Random,
    steps: Arc<AtomicU64>,
    values: u64,
    errors: u64,
    /// Connections that did not come about.
    strangers: u64,
}

impl Victim {
    fn note<T, E>(&mut self, result: Result<T, CallError<E>>) -> Option<T> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(value) => {
                self.values += 1;
                Some(value)
            }
            Err(_) => {
                self.errors += 1;
                None
            }
        }
    }

    fn visit(&mut self, path: &str) {
        let config = ClientConfig {
            timeout: Some(Duration::from_millis(5)),
            connect_timeout: Duration::from_millis(500),
            blocks: 8,
            trust: Some(Trust::Snapshot),
            ..ClientConfig::default()
        };
        self.steps.fetch_add(1, Ordering::Relaxed);
        let Ok(client) = DeskClient::connect_with(path, &config) else {
            self.strangers += 1;
            thread::sleep(Duration::from_millis(1));
            return;
        };
        let ear = EarDispatcher::new(Listener);
        let numbers = || Streaming::from_iter(0..50u64);
        for n in 0..=self.random.below(40) {
            match self.random.below(13) {
                0 => _ = self.note(client.add(n, 1)),
                1 => _ = self.note(client.echo(&[1; 500])),
                2 => _ = self.note(client.twice("text", &[1.0], &record(n))),
                3 => _ = self.note(client.record(record(n))),
                4 => _ = self.note(client.leaves(&tree(n))),
                5 => _ = self.note(smol::block_on(client.echo_later(b"later"))),
                6 => {
                    let noted = client.note(n);
                    self.note(noted);
                    self.note(client.with_timeout(Duration::from_millis(5)).flush());
                }
                7 => {
                    let items = self.note(client.numbers(100));
                    items.into_iter().flatten().take(200).for_each(|item| _ = self.note(item));
                }
                8 => _ = self.note(smol::block_on(client.total(numbers()))),
                9 => {
                    let items = self.note(client.doubled(numbers()));
                    items.into_iter().flatten().take(200).for_each(|item| _ = self.note(item));
                }
                10 => _ = self.note(client.tell(3, &ear)),
                11 => _ = self.note(smol::block_on(client.tell_later(3, &ear))),
                _ => {
                    let view = client.view().echo(b"bytes");
                    self.note(view.map(|reply| reply.get().len()));
                }
            }
        }
    }
}
