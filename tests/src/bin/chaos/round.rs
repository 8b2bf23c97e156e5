//! One server, its clients, and what is done to them. When it is over all of it is compared with the journals.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use ipc_core::clock;
use ipc_rpc::ConnectError;
use ipc_rpc_tests::helper::{Helper, Place};
use ipc_rpc_tests::proc;
use ipc_rpc_tests::random::Random;

use crate::journal;
use crate::judge::{Death, Stop, Tally};
use crate::service::ChaosClient;

/// Far longer than counters take to go back.
const PATIENCE: Duration = Duration::from_secs(15);

/// Nothing has happened for so long: something is made to.
#[cfg(feature = "fail-points")]
const PROVOKED: Duration = Duration::from_millis(400);

/// Descriptors by kind, and threads, of processes at rest.
pub type Descriptors = BTreeMap<String, usize>;

fn descriptors(pid: u32) -> Descriptors {
    let mut all = Descriptors::new();
    for mut name in proc::descriptors(pid) {
        if name.contains("/ipc-rpc-test-") {
            name = "a file of the round".into();
        }
        *all.entry(name).or_default() += 1;
    }
    all
}

/// What servers and clients have open that were never in trouble.
#[derive(Debug, Clone, Default)]
pub struct Usual {
    server: Descriptors,
    client: Descriptors,
}

/// A process of the round.
pub struct Process {
    pub helper: Helper,
    number: u32,
    /// Has it said that it serves?
    bound: bool,
}

pub struct Round<'a> {
    place: Place,
    random: Random,
    server: Process,
    clients: Vec<Process>,
    deaths: HashMap<u32, Death>,
    stops: Vec<Stop>,
    numbers: u32,
    tally: &'a mut Tally,
    watched: &'a Mutex<Vec<u32>>,
}

fn start(place: &Place, arguments: &[&str]) -> Helper {
    let this = std::env::current_exe().expect("the path of this program").display().to_string();
    place.start(&this, arguments)
}

pub fn journal_of(place: &Place, number: u32) -> PathBuf {
    place.path().join(format!("journal-{number}"))
}

/// A server; it does at a step what `armed` says.
pub fn start_server(place: &Place, number: u32, armed: &[&str]) -> Process {
    let journal = journal_of(place, number).display().to_string();
    let (socket, number_text) = (place.socket(), number.to_string());
    let arguments = [&["serve", &socket, &journal, &number_text], armed].concat();
    Process { helper: start(place, &arguments), number, bound: false }
}

fn start_client(place: &Place, number: u32, seed: u64, armed: &[&str]) -> Process {
    let journal = journal_of(place, number).display().to_string();
    let (socket, number_text, seed) = (place.socket(), number.to_string(), seed.to_string());
    let arguments = [&["call", &socket, &journal, &number_text, &seed], armed].concat();
    Process { helper: start(place, &arguments), number, bound: true }
}

impl<'a> Round<'a> {
    /// Starts a server and so many clients. Numbers of those that are alive are kept in `watched`.
    pub fn start(seed: u64, clients: u32, tally: &'a mut Tally, watched: &'a Mutex<Vec<u32>>) -> Self {
        Round::start_armed(seed, clients, &[], &[], tally, watched)
    }

    /// The server, or the first client, does at a step what it is told.
    pub fn start_armed(
        seed: u64,
        clients: u32,
        server: &[&str],
        client: &[&str],
        tally: &'a mut Tally,
        watched: &'a Mutex<Vec<u32>>,
    ) -> Self {
        let place = Place::unwatched();
        let mut random = Random::new(seed);
        let armed = !server.is_empty();
        let mut server = start_server(&place, 1, server);
        if !armed {
            server.wait_bound(tally);
        }
        let arms = |n| if n == 0 { client } else { &[] };
        let all = (0..clients).map(|n| start_client(&place, 2 + n, random.any(), arms(n))).collect();
        let (deaths, stops) = (HashMap::new(), Vec::new());
        let round = Round { place, random, server, clients: all, deaths, stops, numbers: 2 + clients, tally, watched };
        round.note();
        round
    }

    fn note(&self) {
        let all = std::iter::once(&self.server).chain(&self.clients).map(|process| process.helper.pid()).collect();
        *self.watched.lock().expect("no panics") = all;
    }

    fn nap(&mut self, micros: u64) {
        std::thread::sleep(Duration::from_micros(self.random.below(micros)));
    }

    /// Kills so many processes, or until `deadline`; `servers` in eight of them are servers.
    pub fn kill(&mut self, kills: u64, servers: u64, deadline: u64) {
        let mut left = kills;
        while left > 0 && clock::now() < deadline {
            let soon = self.random.chance(4);
            self.nap(if soon { 2000 } else { 30_000 });
            let server = self.random.below(8) < servers;
            if self.random.chance(8) {
                self.pause(server);
                continue;
            }
            self.kill_one(server);
            left -= 1;
        }
    }

    /// Stops a process for a while, which must have no consequence at all.
    fn pause(&mut self, server: bool) {
        let of = self.random.below(self.clients.len() as u64) as usize;
        let (process, other) =
            if server { (&self.server, &self.clients[of]) } else { (&self.clients[of], &self.server) };
        let long = self.random.chance(30);
        let (from, numbers) = (clock::now(), [process.number, other.number]);
        process.helper.stop();
        let millis = if long { 1000 + self.random.below(500) } else { self.random.below(60) };
        // At times the other one is too, or is killed while it waits for somebody that is stopped.
        let both = self.random.chance(4);
        if both {
            other.helper.stop();
        }
        std::thread::sleep(Duration::from_millis(millis));
        if both {
            other.helper.go_on();
        }
        let kill = self.random.chance(4);
        if kill {
            // Of one that is stopped nothing is heard, so those that call it wait; those that it has called are told.
            self.kill_one(!server);
        }
        let process = if server { &self.server } else { &self.clients[of] };
        if self.random.chance(6) {
            self.kill_one_of(server, of);
        } else {
            process.helper.go_on();
        }
        let to = clock::now();
        self.stops.extend(numbers.map(|process| Stop { process, from, to }).into_iter().take(if both { 2 } else { 1 }));
        self.tally.pauses += 1;
    }

    fn kill_one(&mut self, server: bool) {
        let of = self.random.below(self.clients.len() as u64) as usize;
        self.kill_one_of(server, of);
    }

    fn kill_one_of(&mut self, server: bool, of: usize) {
        self.replace(server, of);
    }

    /// Kills a process, if it is not dead already, and starts another one in its place.
    fn replace(&mut self, server: bool, of: usize) {
        let number = self.numbers;
        self.numbers += 1;
        let process = if server { &mut self.server } else { &mut self.clients[of] };
        let from = clock::now();
        process.helper.kill();
        self.deaths.insert(process.number, Death { from, to: clock::now(), server });
        process.look_at_errors(self.tally);
        if server {
            self.tally.server_kills += 1;
            // Calls find nobody there.
            if self.random.chance(6) {
                self.nap(5000);
            }
            self.server = start_server(&self.place, number, &[]);
            if !self.random.chance(6) {
                self.server.wait_bound(self.tally);
            }
        } else {
            self.tally.client_kills += 1;
            self.clients[of] = start_client(&self.place, number, self.random.any(), &[]);
        }
        self.note();
    }

    /// Waits until the one that was told so has died or stopped; lets it go on in the second case. `false`: it never has.
    #[cfg(feature = "fail-points")]
    pub fn meet(&mut self, server: bool, kills: bool) -> bool {
        let (begin, until, mut next) = (clock::now(), clock::after(PATIENCE), clock::after(PROVOKED));
        loop {
            let process = if server { &self.server } else { &self.clients[0] };
            let pid = process.helper.pid();
            if !proc::is_alive(pid) {
                self.replace(server, 0);
                break;
            }
            if !kills && proc::is_stopped(pid) {
                self.nap(60_000);
                let process = if server { &self.server } else { &self.clients[0] };
                process.helper.go_on();
                self.stops.push(Stop { process: process.number, from: begin, to: clock::now() });
                self.tally.pauses += 1;
                break;
            }
            let now = clock::now();
            if now > until {
                return false;
            }
            if now > next {
                // Some steps are taken only when somebody has died.
                next = clock::after(PROVOKED);
                self.kill_one_of(!server, 0);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        self.nap(30_000);
        true
    }

    /// Lets everybody come to rest, and looks for what is left over and for claims that are not true.
    pub fn end(mut self, usual: Option<&Usual>) -> Usual {
        self.server.wait_bound(self.tally);
        let mut now = Usual::default();
        if self.rest() {
            now = self.look_for_leftovers(usual);
        }
        self.watched.lock().expect("no panics").clear();
        self.clients.clear();
        self.server.helper.kill();
        // Whoever comes by removes the socket of one that was killed.
        match ChaosClient::connect(self.place.socket()) {
            Err(ConnectError::NoServer { .. }) => {}
            other => self.tally.wrong(format!("after the end: {:?}", other.err())),
        }
        let left: Vec<_> = self.place.files().into_iter().filter(|name| !name.starts_with("journal-")).collect();
        if !left.is_empty() {
            self.tally.wrong(format!("left over: files {left:?}"));
        }
        let records: Vec<_> =
            (1..self.numbers).flat_map(|number| journal::read(&journal_of(&self.place, number))).collect();
        self.tally.judge(&records, &self.deaths, &self.stops);
        now
    }

    /// Has every client end its calls, and then its connections. `false`: one of them cannot.
    fn rest(&mut self) -> bool {
        let idle = ["busy: 0", "tasks: 0", "streams: 0", "callbacks: 0", "retired: 0"];
        let none = ["clients: 0", "busy: 0", "reply_extents: 0", "retired: 0"];
        for (command, answer, usage) in [("rest", "rests", &idle[..]), ("disconnect", "disconnected", &none)] {
            let alive = self.clients.iter().filter(|client| proc::is_alive(client.helper.pid())).count();
            if alive < self.clients.len() {
                self.tally.wrong("a client has ended by itself".into());
                return false;
            }
            self.clients.iter_mut().for_each(|client| client.helper.say(command));
            let said: Vec<_> = self.clients.iter_mut().map(|client| client.helper.line()).collect();
            for (client, line) in self.clients.iter().zip(&said).filter(|(_, line)| *line != answer) {
                let threads = proc::threads(client.helper.pid()).into_iter();
                let threads: Vec<_> = threads.map(|t| format!("{} in {}", t.name, t.waits_in)).collect();
                self.tally.wrong(format!("client {}: {line}; {threads:?}", client.number));
                client.look_at_errors(self.tally);
            }
            self.server.wait_usage(usage, self.tally);
            if said.iter().any(|line| line != answer) {
                return false;
            }
        }
        true
    }

    /// What the processes have open that were not killed, and may not have more of than others.
    fn look_for_leftovers(&mut self, usual: Option<&Usual>) -> Usual {
        if !wait(|| proc::segments(self.server.helper.pid()) == 0) {
            self.tally.wrong("left over: segments of the server".into());
        }
        let mut now = Usual::default();
        let mut look = |process: &Process, known: Option<&Descriptors>| {
            let pid = process.helper.pid();
            let is_more =
                |(kind, count): (&String, &usize), known: &Descriptors| known.get(kind).is_none_or(|n| count > n);
            if let Some(known) = known
                && !wait(|| !descriptors(pid).iter().any(|of| is_more(of, known)))
            {
                self.tally.wrong(format!("left over: {:?}, usual is {known:?}", descriptors(pid)));
            }
            process.look_at_errors(self.tally);
            descriptors(pid)
        };
        now.server = look(&self.server, usual.map(|usual| &usual.server));
        for client in &self.clients {
            now.client = look(client, usual.map(|usual| &usual.client));
        }
        now
    }
}

fn wait(mut rested: impl FnMut() -> bool) -> bool {
    let until = clock::after(PATIENCE);
    loop {
        if rested() {
            return true;
        }
        if clock::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Process {
    fn look_at_errors(&self, tally: &mut Tally) {
        let errors = self.helper.errors();
        if !errors.is_empty() {
            tally.wrong(format!("process {} says: {errors}", self.number));
        }
    }

    pub fn wait_bound(&mut self, tally: &mut Tally) {
        if !self.bound {
            let line = self.helper.line();
            if line != "bound" {
                tally.wrong(format!("server {}: {line:?} {}", self.number, self.helper.errors()));
            }
            self.bound = true;
        }
    }

    fn wait_usage(&mut self, parts: &[&str], tally: &mut Tally) {
        let mut usage = String::new();
        let idle = wait(|| {
            self.helper.say("usage");
            usage = self.helper.line();
            parts.iter().all(|part| usage.contains(part))
        });
        if !idle {
            tally.wrong(format!("left over: {usage}"));
        }
    }
}
