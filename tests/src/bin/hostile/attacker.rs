//! A process that does nothing but harm, as far as it can: one attack after the other, picked at random and counted by kind.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ipc_core::word;
use ipc_rpc::ClientConfig;
use ipc_rpc_tests::helper::{self, Place};
use ipc_rpc_tests::random::Random;
use ipc_rpc_tests::raw::{self, FakeServer, Peer};
use ipc_rpc_tests::system;

use crate::honest::{record, tree};
use crate::service::{DeskClient, METHODS};
use crate::{greetings, lent, memory, requests};

/// The numbers of blocks and bytes that attackers bring.
pub fn small() -> ClientConfig {
    ClientConfig { blocks: 16, arguments: 1 << 18, replies: 1 << 18, ..ClientConfig::default() }
}

/// What an attacker knows, and what it has done.
pub struct Attacker {
    pub path: String,
    pub random: Random,
    /// The first packet of an honest client that has an end of a pair of sockets to send along; and of one that has not.
    pub callable: Vec<u8>,
    pub plain: Vec<u8>,
    /// Arguments that an honest client has sent, with the number of the method.
    pub requests: Vec<(u16, Vec<u8>)>,
    counts: BTreeMap<&'static str, u64>,
}

impl Attacker {
    pub fn new(path: &str, seed: u64) -> Self {
        let place = Place::unwatched();
        let callable = raw::overhear(&place, |path| DeskClient::connect_with(path, &small()));
        let mut plain = callable.clone();
        let at = raw::callable_at(&plain);
        plain[at] = 0;
        let requests = overhear_requests(&place);
        Attacker {
            path: path.to_owned(),
            random: Random::new(seed),
            callable,
            plain,
            requests,
            counts: BTreeMap::new(),
        }
    }

    /// Something was tried.
    pub fn count(&mut self, kind: &'static str, times: u64) {
        *self.counts.entry(kind).or_default() += times;
    }

    /// A client that was let in; `None`: it was pushed out by other newcomers.
    pub fn attach(&self) -> Option<Peer> {
        Peer::try_attach(&self.path, &self.plain, &[])
    }

    /// One of the honest requests.
    pub fn request(&mut self) -> (u16, Vec<u8>) {
        let at = self.random.below(self.requests.len() as u64);
        self.requests[at as usize].clone()
    }

    fn attack(&mut self) {
        match self.random.below(16) {
            0..5 => memory::attack(self),
            5..10 => requests::attack(self),
            10..13 => greetings::attack(self),
            _ => lent::attack(self),
        }
    }
}

/// Attacks between the lines `go` and `rest`, until `end`; then says what it has tried, a line for each kind.
pub fn work(path: &str, seed: u64) -> ExitCode {
    let (tell, told) = mpsc::channel();
    helper::live_no_longer_than_the_test(move |line| drop(tell.send(line.to_owned())));
    let mut attacker = Attacker::new(path, seed);
    println!("ready");
    let mut going = false;
    loop {
        let line = if going { told.try_recv().ok() } else { told.recv().ok() };
        match line.as_deref() {
            Some("go") => going = true,
            Some("rest") => {
                going = false;
                println!("rests");
            }
            Some(_) => break,
            None if !going => return ExitCode::FAILURE,
            None => {}
        }
        // What fails in here is an attack that was parried: a server that hangs up in the middle of it.
        if going && catch_unwind(AssertUnwindSafe(|| attacker.attack())).is_err() {
            attacker.count("attacks parried half-way", 1);
        }
    }
    for (kind, count) in &attacker.counts {
        println!("{kind}: {count}");
    }
    println!("end");
    ExitCode::SUCCESS
}

/// What an honest client writes into its memory, read by a server that answers nothing.
fn overhear_requests(place: &Place) -> Vec<(u16, Vec<u8>)> {
    let server = FakeServer::listen(place.join("requests.sock"));
    let mut all = Vec::new();
    thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let config = ClientConfig { timeout: Some(Duration::from_secs(5)), ..small() };
            let client = DeskClient::connect_with(server.path(), &config).expect("the server above");
            let _ = client.add(1, 2);
            let _ = client.echo(b"some bytes");
            let _ = client.echo(&[7; 3000]);
            let _ = client.twice("a text that is not short", &[1.0, 2.0, 3.0], &record(7));
            let _ = client.record(record(4));
            let _ = client.leaves(&tree(5));
            let _ = smol::block_on(client.echo_later(b"some bytes for later"));
            let _ = client.note(3);
        });
        let (_socket, segment) = server.welcome(METHODS);
        while !calls.is_finished() {
            for head in (0..16).filter_map(|n| segment.block(n)) {
                if head.word.load(Ordering::Acquire) & word::STATE != word::REQUEST {
                    continue;
                }
                let (at, len) = (head.request_at.load(Ordering::Relaxed), head.request_len.load(Ordering::Relaxed));
                all.push((head.method.load(Ordering::Relaxed), raw::get(&segment, at, len)));
                // The server stops: nothing was run.
                head.status.store(3, Ordering::Relaxed);
                head.reply_len.store(0, Ordering::Relaxed);
                head.word.swap(word::DONE, Ordering::AcqRel);
                system::wake(&head.word);
            }
            thread::yield_now();
        }
    });
    assert!(all.len() >= 7, "{} requests overheard", all.len());
    all
}
