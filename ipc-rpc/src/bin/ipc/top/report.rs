//! What servers have done between two readings.

use std::fs;
use std::io::{self, Write};
use std::time::Duration;

use ipc_rpc::{ClientState, MethodFigures, ServerState};
use serde_json::{Value, json};

use super::reading::{Method, Reading};
use crate::list;
use crate::table::Table;
use crate::text::{self, or_dash, printable};

/// A server, or what its trouble is called, and what it is.
pub struct Entry {
    pub name: String,
    pub server: Result<Live, (&'static str, String)>,
}

/// A server that answers.
pub struct Live {
    pub pid: i32,
    pub uid: u32,
    pub state: ServerState,
    /// The time that rates and latencies are of.
    pub over: Duration,
    pub services: Vec<ServiceReport>,
    pub clients: Vec<ClientReport>,
}

pub struct ServiceReport {
    pub name: String,
    pub measures: Option<Measures>,
    pub methods: Vec<MethodReport>,
}

pub struct MethodReport {
    pub name: String,
    /// `None`: they are not for this user.
    pub measures: Option<Measures>,
}

pub struct ClientReport {
    pub id: u64,
    pub pid: i32,
    pub uid: u32,
    /// What its process is called now.
    pub program: Option<String>,
    pub connected: Duration,
    pub calls: u64,
    pub calls_per_s: f64,
    pub in_flight: u64,
    pub queued: u32,
    pub blocks: u32,
    pub memory: u64,
    pub oldest: Option<Duration>,
}

/// Figures of a method or of all methods of a service: sums since the server began, and rates and latencies of late.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measures {
    pub calls: u64,
    pub errors: u64,
    /// Those of the errors that handlers have replied with.
    pub handler_errors: u64,
    pub received: u64,
    pub sent: u64,
    pub calls_per_s: f64,
    pub errors_per_s: f64,
    pub received_per_s: f64,
    pub sent_per_s: f64,
    pub p50: Option<u64>,
    pub p99: Option<u64>,
    pub in_flight: u64,
    pub oldest: Option<Duration>,
}

/// Figures as they are added up.
#[derive(Default)]
struct Sums {
    now: MethodFigures,
    before: MethodFigures,
    in_flight: u64,
    oldest: Option<Duration>,
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        add(&mut self.now, &other.now);
        add(&mut self.before, &other.before);
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.oldest = self.oldest.max(other.oldest);
    }

    fn measures(&self, over: Duration) -> Measures {
        let Sums { now, before, .. } = self;
        let rate = |now: u64, before: u64| per_second(now.saturating_sub(before), over);
        let durations = now.durations.since(&before.durations);
        let errors = |figures: &MethodFigures| sum(figures.errors);
        Measures {
            calls: now.calls,
            errors: errors(now),
            handler_errors: now.errors[0],
            received: now.received,
            sent: now.sent,
            calls_per_s: rate(now.calls, before.calls),
            errors_per_s: rate(errors(now), errors(before)),
            received_per_s: rate(now.received, before.received),
            sent_per_s: rate(now.sent, before.sent),
            p50: durations.quantile(0.5),
            p99: durations.quantile(0.99),
            in_flight: self.in_flight,
            oldest: self.oldest,
        }
    }
}

fn add(all: &mut MethodFigures, more: &MethodFigures) {
    all.calls = all.calls.saturating_add(more.calls);
    all.received = all.received.saturating_add(more.received);
    all.sent = all.sent.saturating_add(more.sent);
    for (all, more) in all.errors.iter_mut().zip(&more.errors) {
        *all = all.saturating_add(*more);
    }
    all.durations = all.durations.and(&more.durations);
}

/// A server says what it likes, also numbers that have no sum.
fn sum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::saturating_add)
}

fn per_second(count: u64, over: Duration) -> f64 {
    if over.is_zero() { 0.0 } else { count as f64 / over.as_secs_f64() }
}

impl Live {
    /// What the server has done since `earlier`, or since it began.
    pub fn between(earlier: Option<&Reading>, now: &Reading) -> Self {
        let earlier = earlier.filter(|earlier| now.continues(earlier));
        let state = &now.state;
        // Figures are read where they lie, when all servers have answered: that may be long after this one has.
        let between = |earlier: &Reading| now.read.saturating_duration_since(earlier.read);
        let over = earlier.map_or_else(|| age(state, state.started), between);
        let since = earlier.map_or(state.started, |earlier| earlier.state.now);
        let sums = |service: &str, method: &Method| {
            let figures = method.figures.clone()?;
            let before = earlier.and_then(|earlier| earlier.figures(service, &method.name));
            let running = || state.clients.iter().flat_map(|client| &client.running);
            let own = || running().filter(|call| call.method == method.number).map(|call| call.since);
            Some(Sums {
                now: figures,
                before: before.cloned().unwrap_or_default(),
                in_flight: own().count() as u64,
                oldest: own().min().map(|since| age(state, since)),
            })
        };
        let services = now.services.iter().map(|service| {
            let mut all: Option<Sums> = None;
            let methods = service.methods.iter().map(|method| {
                let sums = sums(&service.name, method);
                if let Some(sums) = &sums {
                    all.get_or_insert_default().add(sums);
                }
                MethodReport { name: method.name.clone(), measures: sums.map(|sums| sums.measures(over)) }
            });
            let methods = methods.collect();
            ServiceReport { name: service.name.clone(), methods, measures: all.map(|all| all.measures(over)) }
        });
        let clients = state.clients.iter().map(|client| {
            let before = earlier.and_then(|earlier| earlier.state.clients.iter().find(|known| known.id == client.id));
            ClientReport::of(client, before.map_or(0, |before| before.calls), state, age(state, since))
        });
        let (services, clients) = (services.collect(), clients.collect());
        Live { pid: now.pid, uid: now.uid, state: state.clone(), over, services, clients }
    }

    /// Calls that were sent and have not begun, and bytes of large replies, of all clients.
    pub fn waiting(&self) -> (u64, u64) {
        let clients = &self.clients;
        (sum(clients.iter().map(|client| client.queued.into())), sum(clients.iter().map(|client| client.memory)))
    }

    /// For how long the call has run that has run longest.
    pub fn oldest(&self) -> Option<Duration> {
        self.clients.iter().filter_map(|client| client.oldest).max()
    }
}

fn age(state: &ServerState, since: u64) -> Duration {
    Duration::from_nanos(state.now.saturating_sub(since))
}

impl ClientReport {
    fn of(client: &ClientState, calls_before: u64, state: &ServerState, over: Duration) -> Self {
        let program = fs::read_to_string(format!("/proc/{}/comm", client.pid)).ok();
        ClientReport {
            id: client.id,
            pid: client.pid,
            uid: client.uid,
            program: program.map(|name| name.trim_end().to_owned()),
            connected: age(state, client.since),
            calls: client.calls,
            calls_per_s: per_second(client.calls.saturating_sub(calls_before), over),
            in_flight: client.running.len() as u64,
            queued: client.queued,
            blocks: client.blocks,
            memory: client.memory,
            oldest: client.running.iter().map(|call| call.since).min().map(|since| age(state, since)),
        }
    }

    /// What it is called: its program and process.
    pub fn title(&self) -> String {
        let program = self.program.as_deref().unwrap_or("?");
        printable(&format!("{program} {}", self.pid))
    }
}

/// The columns of figures, behind a name.
pub const FIGURES: [&str; 8] = [">CALLS/S", ">ACTIVE", ">P50", ">P99", ">IN/S", ">OUT/S", ">ERR/S", ">OLDEST"];

impl Measures {
    /// As the cells of [`FIGURES`].
    pub fn cells(measures: Option<&Measures>) -> [String; 8] {
        let Some(m) = measures else { return std::array::from_fn(|_| "-".to_owned()) };
        [
            text::rate(m.calls_per_s),
            m.in_flight.to_string(),
            or_dash(m.p50.map(text::time)),
            or_dash(m.p99.map(text::time)),
            text::bytes(m.received_per_s.round()),
            text::bytes(m.sent_per_s.round()),
            text::rate(m.errors_per_s),
            or_dash(m.oldest.map(text::span)),
        ]
    }

    fn json(measures: Option<&Measures>) -> Value {
        // The names are there for who is not told the figures, too.
        json!({
            "calls": measures.map(|m| m.calls),
            "errors": measures.map(|m| m.errors),
            "handler_errors": measures.map(|m| m.handler_errors),
            "received_bytes": measures.map(|m| m.received),
            "sent_bytes": measures.map(|m| m.sent),
            "calls_per_s": measures.map(|m| m.calls_per_s),
            "errors_per_s": measures.map(|m| m.errors_per_s),
            "received_bytes_per_s": measures.map(|m| m.received_per_s),
            "sent_bytes_per_s": measures.map(|m| m.sent_per_s),
            "p50_ns": measures.and_then(|m| m.p50),
            "p99_ns": measures.and_then(|m| m.p99),
            "in_flight": measures.map(|m| m.in_flight),
            "oldest_s": measures.and_then(|m| m.oldest).map(|oldest| oldest.as_secs_f64()),
        })
    }
}

/// The columns of a client, behind its name.
pub const CLIENT: [&str; 7] = [">CALLS/S", ">ACTIVE", ">QUEUED", ">MEMORY", ">CALLS", ">SINCE", ">OLDEST"];

impl ClientReport {
    /// As the cells of [`CLIENT`].
    pub fn cells(&self) -> [String; 7] {
        [
            text::rate(self.calls_per_s),
            self.in_flight.to_string(),
            self.queued.to_string(),
            text::bytes(self.memory as f64),
            text::scaled(self.calls as f64, ""),
            text::span(self.connected),
            or_dash(self.oldest.map(text::span)),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "pid": self.pid,
            "uid": self.uid,
            "program": self.program,
            "connected_s": self.connected.as_secs_f64(),
            "calls": self.calls,
            "calls_per_s": self.calls_per_s,
            "in_flight": self.in_flight,
            "queued": self.queued,
            "blocks": self.blocks,
            "memory_bytes": self.memory,
            "oldest_s": self.oldest.map(|oldest| oldest.as_secs_f64()),
        })
    }
}

impl Entry {
    pub fn json(&self) -> Value {
        let live = match &self.server {
            Ok(live) => live,
            Err((state, reason)) => return json!({"name": self.name, "state": state, "reason": reason}),
        };
        let named = |name: &str, measures| {
            let mut all = Measures::json(measures);
            all["name"] = json!(name);
            all
        };
        let services = live.services.iter().map(|service| {
            let mut all = named(&service.name, service.measures.as_ref());
            let methods = service.methods.iter().map(|method| named(&method.name, method.measures.as_ref()));
            all["methods"] = methods.collect();
            all
        });
        let ((queued, memory), state) = (live.waiting(), &live.state);
        json!({
            "name": self.name,
            "state": list::state(state),
            "reason": list::reason(state),
            "pid": live.pid,
            "uid": live.uid,
            "uptime_s": list::uptime(state).as_secs_f64(),
            "over_s": live.over.as_secs_f64(),
            "clients_count": state.clients_count,
            "workers": state.workers,
            "streams": state.streams,
            "callbacks": state.callbacks,
            "rejected": state.rejected,
            "queued": queued,
            "memory_bytes": memory,
            "oldest_s": live.oldest().map(|oldest| oldest.as_secs_f64()),
            "services": services.collect::<Vec<_>>(),
            "clients": live.clients.iter().map(ClientReport::json).collect::<Vec<_>>(),
        })
    }

    /// What there is to be said of the server in one line.
    pub fn summary(&self) -> String {
        let live = match &self.server {
            Ok(live) => live,
            Err((state, reason)) => return printable(&format!("{}: {state}: {reason}", self.name)),
        };
        let ((queued, memory), state) = (live.waiting(), &live.state);
        let some = |name: &str, count: u64| if count > 0 { format!(", {name} {count}") } else { String::new() };
        printable(&format!(
            "{}: {}, pid {}, up {}, clients {}, queued {queued}, memory {}{}{}{}",
            self.name,
            list::state(state),
            live.pid,
            text::span(list::uptime(state)),
            state.clients_count,
            text::bytes(memory as f64),
            some("streams", state.streams),
            some("rejected", state.rejected),
            list::reason(state).map_or(String::new(), |why| format!("; {why}")),
        ))
    }
}

/// All of a report as plain tables.
pub fn tables(report: &[Entry], out: &mut impl Write) -> io::Result<()> {
    for (number, entry) in report.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", entry.summary())?;
        let Ok(live) = &entry.server else { continue };
        let mut methods = Table::new(&HEAD_OF_METHODS);
        for service in &live.services {
            let calls = |measures: Option<&Measures>| or_dash(measures.map(|m| m.calls.to_string()));
            let mut row = |name: String, measures: Option<&Measures>| {
                methods.row([name, calls(measures)].into_iter().chain(Measures::cells(measures)).collect());
            };
            row(printable(&service.name), service.measures.as_ref());
            for method in &service.methods {
                row(printable(&format!("  {}", method.name)), method.measures.as_ref());
            }
        }
        methods.write(out)?;
        if !live.clients.is_empty() {
            let mut clients = Table::new(&HEAD_OF_CLIENTS);
            for client in &live.clients {
                clients.row(std::iter::once(client.title()).chain(client.cells()).collect());
            }
            clients.write(out)?;
        }
    }
    Ok(())
}

const HEAD_OF_METHODS: [&str; 10] = behind("SERVICE", ">CALLS");

const fn behind(name: &'static str, calls: &'static str) -> [&'static str; 10] {
    let [a, b, c, d, e, f, g, h] = FIGURES;
    [name, calls, a, b, c, d, e, f, g, h]
}

const HEAD_OF_CLIENTS: [&str; 8] = {
    let [a, b, c, d, e, f, g] = CLIENT;
    ["CLIENT", a, b, c, d, e, f, g]
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;
    use std::time::Instant;

    use crate::top::reading::Service;
    use ipc_rpc::RunningCall;

    fn figures(calls: u64, nanoseconds: u64) -> MethodFigures {
        let mut figures = MethodFigures::default();
        (figures.calls, figures.received, figures.sent) = (calls, 10 * calls, 100 * calls);
        figures.errors[0] = calls / 10;
        figures.errors[16] = calls / 100;
        figures.durations.add(nanoseconds, calls);
        figures
    }

    fn reading(started: u64, now: u64, calls: u64) -> Reading {
        let mut state = ServerState::default();
        (state.pid, state.started, state.now) = (7, started, now);
        let mut client = ClientState::default();
        (client.id, client.calls, client.queued, client.memory) = (1, calls, 3, 5000);
        let mut running = RunningCall::default();
        (running.method, running.since) = (1, now - 500_000_000);
        client.running = vec![running, RunningCall::default()];
        state.clients = vec![client];
        let method = |name: &str, number, nanoseconds| Method {
            name: name.into(),
            number,
            figures: Some(figures(calls, nanoseconds)),
        };
        let methods = vec![method("get", 0, 1000), method("put", 1, 1_000_000)];
        let services = vec![Service { name: "Store".into(), methods }];
        Reading { pid: 7, uid: 0, read: epoch() + Duration::from_nanos(now), state, services }
    }

    const SECOND: u64 = 1_000_000_000;

    /// The same for all readings of a test.
    fn epoch() -> Instant {
        static EPOCH: OnceLock<Instant> = OnceLock::new();
        *EPOCH.get_or_init(Instant::now)
    }

    #[test]
    fn rates_and_latencies_are_those_between_two_readings() {
        let (before, now) = (reading(SECOND, 11 * SECOND, 1000), reading(SECOND, 13 * SECOND, 3000));
        let live = Live::between(Some(&before), &now);
        assert_eq!(live.over, Duration::from_secs(2));
        let put = live.services[0].methods[1].measures.clone().unwrap();
        assert_eq!((put.calls, put.calls_per_s, put.received_per_s, put.sent_per_s), (3000, 1e3, 1e4, 1e5));
        assert_eq!((put.errors, put.handler_errors, put.errors_per_s), (330, 300, 110.0));
        assert_eq!((put.in_flight, put.oldest), (1, Some(Duration::from_millis(500))));
        assert!((900_000..1_100_000).contains(&put.p50.unwrap()));
        let all = live.services[0].measures.clone().unwrap();
        assert_eq!((all.calls, all.calls_per_s, all.in_flight), (6000, 2e3, 2));
        assert!(all.p50.unwrap() < 1100 && all.p99.unwrap() > 900_000);
        assert_eq!((live.clients[0].calls_per_s, live.clients[0].in_flight), (1e3, 2));
        assert_eq!(live.waiting(), (3, 5000));
    }

    #[test]
    fn figures_that_were_read_late_are_of_a_longer_time() {
        let (before, mut now) = (reading(SECOND, 11 * SECOND, 1000), reading(SECOND, 13 * SECOND, 3000));
        now.read += Duration::from_secs(2);
        let live = Live::between(Some(&before), &now);
        assert_eq!(live.over, Duration::from_secs(4));
        assert_eq!(live.services[0].methods[0].measures.as_ref().unwrap().calls_per_s, 500.0);
        // Of its clients the server has spoken before.
        assert_eq!(live.clients[0].calls_per_s, 1e3);
    }

    #[test]
    fn numbers_that_have_no_sum_are_the_largest() {
        let mut now = reading(SECOND, 2 * SECOND, 10);
        for method in &mut now.services[0].methods {
            let figures = method.figures.as_mut().unwrap();
            (figures.calls, figures.received, figures.sent) = (u64::MAX, u64::MAX, u64::MAX);
            figures.errors.fill(u64::MAX);
        }
        let client = &mut now.state.clients[0];
        client.memory = u64::MAX;
        let clients = vec![client.clone(); 2];
        now.state.clients = clients;
        let live = Live::between(None, &now);
        let all = live.services[0].measures.as_ref().unwrap();
        assert_eq!((all.calls, all.errors, all.sent), (u64::MAX, u64::MAX, u64::MAX));
        assert_eq!(live.waiting(), (6, u64::MAX));
    }

    #[test]
    fn a_server_that_has_begun_anew_is_measured_from_then_on() {
        let (before, now) = (reading(SECOND, 11 * SECOND, 1_000_000), reading(12 * SECOND, 14 * SECOND, 100));
        let live = Live::between(Some(&before), &now);
        assert_eq!(live.over, Duration::from_secs(2));
        assert_eq!(live.services[0].methods[0].measures.as_ref().unwrap().calls_per_s, 50.0);
        assert_eq!(live.clients[0].calls_per_s, 50.0);
    }

    #[test]
    fn what_is_not_for_this_user_is_a_dash() {
        let mut now = reading(SECOND, 2 * SECOND, 10);
        now.services[0].methods.iter_mut().for_each(|method| method.figures = None);
        let entry = Entry { name: "a".into(), server: Ok(Live::between(None, &now)) };
        let put = &entry.json()["services"][0]["methods"][1];
        let names = put.as_object().unwrap().iter();
        assert_eq!(names.filter(|(_, value)| !value.is_null()).collect::<Vec<_>>(), [(&"name".into(), &json!("put"))]);
        assert!(put.get("p99_ns").is_some() && put.get("calls").is_some());
        let mut out = Vec::new();
        tables(&[entry], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().any(|line| line.split_whitespace().eq(["put"].into_iter().chain(["-"; 9]))), "{text}");
    }
}
