//! The view of a terminal: three lists, what is selected in them, and how its calls went.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Cell, Row, Sparkline, Table, TableState};

use super::report::{CLIENT, ClientReport, Entry, FIGURES, Live, Measures};
use crate::text::{self, printable};

/// Whether the view stays.
#[derive(Debug, PartialEq, Eq)]
pub enum Go {
    On,
    Away,
}

pub struct Screen {
    interval: Duration,
    report: Vec<Entry>,
    /// Reports so far.
    looks: u64,
    focus: usize,
    sort: usize,
    lists: [List; 3],
    /// Calls a second of each line, the latest last.
    history: HashMap<Key, VecDeque<u64>>,
}

/// A list, and what is selected in it.
#[derive(Default)]
struct List {
    lines: Vec<Item>,
    /// By the user; else it is the first line.
    selected: Option<Key>,
    state: TableState,
}

/// Tells the lines of all lists apart: server, service, method, client.
type Key = (String, String, String, u64);

struct Item {
    key: Key,
    title: String,
    cells: Vec<String>,
    order: [f64; ORDERS.len() - 1],
    is_failing: bool,
}

const SERVICES: usize = 0;
const METHODS: usize = 1;
const CLIENTS: usize = 2;
const TITLES: [&str; 3] = ["services", "methods", "clients"];

/// What lists can be sorted by; of clients some are others.
const ORDERS: [&str; 6] = ["calls/s", "active", "p99 / queued", "bytes / memory", "errors / calls", "name"];

/// Columns of a figure, and of a name at least.
const FIGURE: u16 = 7;
const LEAST_NAME: u16 = 12;

/// Values of the line that shows how calls went, more than a screen is wide.
const HISTORY: usize = 512;

impl Screen {
    pub fn new(interval: Duration) -> Self {
        let (lists, history) = (Default::default(), HashMap::new());
        Screen { interval, report: Vec::new(), looks: 0, focus: SERVICES, sort: 0, lists, history }
    }

    /// Has a new report.
    pub fn show(&mut self, report: Vec<Entry>) {
        self.report = report;
        self.looks += 1;
        let mut met = HashSet::new();
        for (key, rate) in rates(&self.report) {
            // The first report is of all the time before.
            if self.looks > 1 {
                let values = self.history.entry(key.clone()).or_default();
                values.push_back(rate.round() as u64);
                if values.len() > HISTORY {
                    values.pop_front();
                }
            }
            met.insert(key);
        }
        self.history.retain(|key, _| met.contains(key));
        self.fill();
    }

    /// What a key does.
    pub fn key(&mut self, key: KeyEvent) -> Go {
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Go::Away,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Go::Away,
            KeyCode::Tab | KeyCode::Right => self.focus = (self.focus + 1) % 3,
            KeyCode::BackTab | KeyCode::Left => self.focus = (self.focus + 2) % 3,
            KeyCode::Char('s') => self.sort = (self.sort + 1) % ORDERS.len(),
            KeyCode::Char('S') => self.sort = (self.sort + ORDERS.len() - 1) % ORDERS.len(),
            KeyCode::Down | KeyCode::Char('j') => self.select(|at, _| at + 1),
            KeyCode::Up | KeyCode::Char('k') => self.select(|at, _| at.saturating_sub(1)),
            KeyCode::Home => self.select(|_, _| 0),
            KeyCode::End => self.select(|_, len| len),
            _ => {}
        }
        self.fill();
        Go::On
    }

    fn select(&mut self, to: impl Fn(usize, usize) -> usize) {
        let list = &mut self.lists[self.focus];
        let at = to(list.at(), list.lines.len()).min(list.lines.len().saturating_sub(1));
        list.selected = list.lines.get(at).map(|item| item.key.clone());
    }

    /// Sorts the lists anew: the methods are those of the selected service, the clients those of its server.
    fn fill(&mut self) {
        self.lists[SERVICES].fill(services(&self.report), self.sort);
        let selected = self.lists[SERVICES].item().map_or(Key::default(), |item| item.key.clone());
        let live = self.live(&selected);
        let methods = live.map_or(Vec::new(), |live| methods(&selected, live));
        let clients = live.map_or(Vec::new(), |live| clients(&selected, live));
        self.lists[METHODS].fill(methods, self.sort);
        self.lists[CLIENTS].fill(clients, self.sort);
    }

    fn entry(&self, key: &Key) -> Option<&Entry> {
        self.report.iter().find(|entry| entry.name == key.0)
    }

    fn live(&self, key: &Key) -> Option<&Live> {
        self.entry(key)?.server.as_ref().ok()
    }

    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let rows = [
            Constraint::Length(2),
            Constraint::Length(3),
            Constraint::Fill(2),
            Constraint::Fill(3),
            Constraint::Fill(2),
            Constraint::Length(1),
        ];
        let [head, graph, services, methods, clients, foot] = Layout::vertical(rows).areas(frame.area());
        frame.render_widget(Text::from(self.head()), head);
        self.draw_graph(frame, graph);
        for (number, area) in [services, methods, clients].into_iter().enumerate() {
            self.draw_list(frame, number, area);
        }
        frame.render_widget(Line::from("q quit  tab list  ↑↓ select  s sort").dim(), foot);
    }

    fn head(&self) -> Vec<Line<'static>> {
        let count = self.report.len();
        let servers = format!("{count} server{}", if count == 1 { "" } else { "s" });
        let (every, sort) = (text::span(self.interval), ORDERS[self.sort]);
        let of = if self.looks < 2 { "since they began" } else { "of late" };
        let first = Line::from(vec![
            Span::from("ipc top").bold(),
            Span::from(format!("  {servers}, every {every}, figures {of}, sorted by {sort}")),
        ]);
        let selected = self.lists[SERVICES].item().and_then(|item| self.entry(&item.key));
        let second = match selected {
            Some(entry) => Line::from(entry.summary()),
            None => Line::from("no servers with a plain name are running"),
        };
        vec![first, second]
    }

    fn draw_graph(&self, frame: &mut Frame<'_>, area: Rect) {
        let item = self.lists[self.focus].item();
        let name = item.map_or(String::new(), |item| format!(" of {}", item.title));
        let values = item.and_then(|item| self.history.get(&item.key));
        let width = usize::from(area.width);
        let shown: Vec<u64> =
            values.map_or(Vec::new(), |all| all.iter().skip(all.len().saturating_sub(width)).copied().collect());
        let (now, most) = (shown.last().copied().unwrap_or(0), shown.iter().max().copied().unwrap_or(0));
        let [now, most] = [now, most].map(|calls| text::scaled(calls as f64, ""));
        let title = format!("calls/s{name}: {now}, at most {most} ");
        let block = Block::new().borders(Borders::TOP).title(title);
        frame.render_widget(Sparkline::default().block(block).data(&shown), area);
    }

    fn draw_list(&mut self, frame: &mut Frame<'_>, number: usize, area: Rect) {
        let is_focused = self.focus == number;
        let list = &mut self.lists[number];
        let heads: &[&str] = if number == CLIENTS { &CLIENT } else { &FIGURES };
        let name = TITLES[number];
        let title = format!("{name} ({}) ", list.lines.len());
        let title = if is_focused { Span::from(title).bold() } else { Span::from(title) };
        // The last columns are those that a narrow terminal has no room for.
        let fitting = usize::from(area.width.saturating_sub(LEAST_NAME) / (FIGURE + 1));
        let heads = &heads[..heads.len().min(fitting)];
        let right = |text: &str| Cell::from(Text::from(text.to_owned()).alignment(Alignment::Right));
        let head =
            std::iter::once(Cell::from("NAME")).chain(heads.iter().map(|head| right(head.trim_start_matches('>'))));
        let rows = list.lines.iter().map(|item| {
            let cells = item.cells.iter().take(heads.len()).map(|cell| right(cell));
            let cells = std::iter::once(Cell::from(item.title.clone())).chain(cells);
            let style = if item.is_failing { Style::new().red() } else { Style::new() };
            Row::new(cells).style(style)
        });
        // 80 columns have room for all figures and a name of 15.
        let widths = std::iter::once(Constraint::Fill(1)).chain(heads.iter().map(|_| Constraint::Length(FIGURE)));
        let style = if is_focused { Style::new().reversed() } else { Style::new().bold() };
        let table = Table::new(rows, widths)
            .header(Row::new(head).dim())
            .row_highlight_style(style)
            .block(Block::new().borders(Borders::TOP).title(title));
        frame.render_stateful_widget(table, area, &mut list.state);
    }
}

impl List {
    /// Where the selection is.
    fn at(&self) -> usize {
        let selected = self.selected.as_ref();
        selected.and_then(|key| self.lines.iter().position(|item| item.key == *key)).unwrap_or(0)
    }

    fn item(&self) -> Option<&Item> {
        self.lines.get(self.at())
    }

    /// Has other lines; what was selected stays so if it is there.
    fn fill(&mut self, lines: Vec<Item>, sort: usize) {
        self.lines = lines;
        let most_first = |a: &Item, b: &Item| match (a.order.get(sort), b.order.get(sort)) {
            (Some(a), Some(b)) => b.total_cmp(a),
            _ => Ordering::Equal,
        };
        self.lines.sort_by(|a, b| most_first(a, b).then_with(|| a.title.cmp(&b.title)).then_with(|| a.key.cmp(&b.key)));
        self.state.select((!self.lines.is_empty()).then_some(self.at()));
    }
}

/// Calls a second of every line of every list.
fn rates(report: &[Entry]) -> Vec<(Key, f64)> {
    let mut all: Vec<(Key, f64)> = services(report).into_iter().map(|item| (item.key, item.order[0])).collect();
    for entry in report {
        let Ok(live) = &entry.server else { continue };
        let of = |service: &str| (entry.name.clone(), service.to_owned(), String::new(), 0);
        let methods = live.services.iter().flat_map(|service| methods(&of(&service.name), live));
        all.extend(methods.chain(clients(&of(""), live)).map(|item| (item.key, item.order[0])));
    }
    all
}

fn services(report: &[Entry]) -> Vec<Item> {
    let mut items = Vec::new();
    for entry in report {
        let name = printable(&entry.name);
        match &entry.server {
            Ok(live) => items.extend(live.services.iter().map(|service| {
                let key = (entry.name.clone(), service.name.clone(), String::new(), 0);
                let title = printable(&format!("{name} {}", service.name));
                Item {
                    is_failing: !live.state.health.is_ready(),
                    ..Item::measured(key, title, service.measures.as_ref())
                }
            })),
            Err((state, _)) => {
                let key = (entry.name.clone(), String::new(), String::new(), 0);
                let title = format!("{name} ({state})");
                items.push(Item { is_failing: true, ..Item::measured(key, title, None) });
            }
        }
    }
    items
}

fn methods((server, service, ..): &Key, live: &Live) -> Vec<Item> {
    let service = live.services.iter().find(|known| known.name == *service);
    let methods = service.map_or(&[][..], |service| &service.methods).iter().map(|method| {
        let service = service.map_or(String::new(), |service| service.name.clone());
        let key = (server.clone(), service, method.name.clone(), 0);
        Item::measured(key, printable(&method.name), method.measures.as_ref())
    });
    methods.collect()
}

fn clients((server, ..): &Key, live: &Live) -> Vec<Item> {
    let item = |client: &ClientReport| Item {
        // No client has number 0 here: that is for lines of other lists.
        key: (server.clone(), String::new(), String::new(), client.id.wrapping_add(1)),
        title: client.title(),
        cells: client.cells().into(),
        order: [
            client.calls_per_s,
            client.in_flight as f64,
            f64::from(client.queued),
            client.memory as f64,
            client.calls as f64,
        ],
        is_failing: false,
    };
    live.clients.iter().map(item).collect()
}

impl Item {
    fn measured(key: Key, title: String, measures: Option<&Measures>) -> Self {
        let order = measures.map_or([-1.0; ORDERS.len() - 1], |m| {
            let (p99, bytes) = (m.p99.unwrap_or(0) as f64, m.received_per_s + m.sent_per_s);
            [m.calls_per_s, m.in_flight as f64, p99, bytes, m.errors_per_s]
        });
        Item { key, title, cells: Measures::cells(measures).into(), order, is_failing: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::report::{MethodReport, ServiceReport};
    use ipc_rpc::{Health, ServerState};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn measures(calls_per_s: f64) -> Option<Measures> {
        Some(Measures {
            calls_per_s,
            errors_per_s: 0.41,
            received_per_s: 100.0 * calls_per_s,
            sent_per_s: 1e9,
            p50: Some(7040),
            p99: Some(1_000_000_000),
            in_flight: 3,
            oldest: Some(Duration::from_millis(12)),
            ..Measures::default()
        })
    }

    fn live(name: &str, calls_per_s: f64) -> Entry {
        let mut state = ServerState::default();
        (state.started, state.now, state.clients_count) = (0, 90_000_000_000, 2);
        let method =
            |name: &str, share: f64| MethodReport { name: name.into(), measures: measures(share * calls_per_s) };
        let methods = vec![method("find", 0.25), method("stats", 0.75)];
        let service = ServiceReport { name: "Search".into(), measures: measures(calls_per_s), methods };
        let client = |id: u64| ClientReport {
            id,
            pid: 4242,
            uid: 0,
            program: Some(format!("client{id}")),
            connected: Duration::from_secs(61),
            calls: 123_456,
            calls_per_s: calls_per_s / 2.0,
            in_flight: id,
            queued: 2,
            blocks: 256,
            memory: 1_500_000,
            oldest: None,
        };
        let over = Duration::from_secs(1);
        let clients = vec![client(1), client(2)];
        let server = Live { pid: 77, uid: 0, state, over, services: vec![service], clients };
        Entry { name: name.into(), server: Ok(server) }
    }

    fn report(calls_per_s: f64) -> Vec<Entry> {
        let mut sick = live("mail", 10.0);
        if let Ok(live) = &mut sick.server {
            live.state.health = Health::Failing("disk\x1b full".into());
        }
        let silent = Entry { name: "old".into(), server: Err(("silent", "it does not answer".into())) };
        vec![sick, live("notes", calls_per_s), silent]
    }

    fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| format!("{}\n", line(y).trim_end())).collect()
    }

    fn press(screen: &mut Screen, keys: &[KeyCode]) {
        for key in keys {
            assert_eq!(screen.key(KeyEvent::from(*key)), Go::On);
        }
    }

    #[test]
    fn a_small_terminal_has_room_for_everything() {
        let mut screen = Screen::new(Duration::from_secs(1));
        for calls_per_s in [0.0, 20_000.0, 80_000.0, 40_000.0] {
            screen.show(report(calls_per_s));
        }
        let expected = "\
ipc top  3 servers, every 1 s, figures of late, sorted by calls/s
notes: ready, pid 77, up 1 m, clients 2, queued 4, memory 3.00 MB
calls/s of notes Search: 40.0k, at most 80.0k ──────────────────────────────────
 █
▄██
services (3) ───────────────────────────────────────────────────────────────────
NAME             CALLS/S  ACTIVE     P50     P99    IN/S   OUT/S   ERR/S  OLDEST
notes Search       40.0k       3 7.04 µs     1 s 4.00 MB 1.00 GB     0.4   12 ms
mail Search           10       3 7.04 µs     1 s 1.00 kB 1.00 GB     0.4   12 ms
old (silent)           -       -       -       -       -       -       -       -
methods (2) ────────────────────────────────────────────────────────────────────
NAME             CALLS/S  ACTIVE     P50     P99    IN/S   OUT/S   ERR/S  OLDEST
stats              30.0k       3 7.04 µs     1 s 3.00 MB 1.00 GB     0.4   12 ms
find               10.0k       3 7.04 µs     1 s 1.00 MB 1.00 GB     0.4   12 ms




clients (2) ────────────────────────────────────────────────────────────────────
NAME                     CALLS/S  ACTIVE  QUEUED  MEMORY   CALLS   SINCE  OLDEST
client1 4242               20.0k       1       2 1.50 MB    123k     1 m       -
client2 4242               20.0k       2       2 1.50 MB    123k     1 m       -

q quit  tab list  ↑↓ select  s sort
";
        assert_eq!(drawn(&mut screen, 80, 24), expected);
    }

    #[test]
    fn a_narrow_terminal_has_fewer_columns() {
        let mut screen = Screen::new(Duration::from_secs(1));
        screen.show(report(20_000.0));
        let drawn = drawn(&mut screen, 40, 24);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[6], "NAME             CALLS/S  ACTIVE     P50", "{drawn}");
        assert_eq!(lines[7], "notes Search       20.0k       3 7.04 µs", "{drawn}");
    }

    #[test]
    fn keys_select_and_sort() {
        let mut screen = Screen::new(Duration::from_secs(1));
        screen.show(report(100.0));
        let titles = |screen: &Screen, list: usize| {
            screen.lists[list].lines.iter().map(|item| item.title.clone()).collect::<Vec<_>>()
        };
        assert_eq!(titles(&screen, SERVICES), ["notes Search", "mail Search", "old (silent)"]);
        assert_eq!(titles(&screen, METHODS), ["stats", "find"]);
        // The selected line stays selected when it moves.
        press(&mut screen, &[KeyCode::Home]);
        screen.show(report(1.0));
        assert_eq!(titles(&screen, SERVICES), ["mail Search", "notes Search", "old (silent)"]);
        assert_eq!(screen.lists[SERVICES].at(), 1);
        press(&mut screen, &[KeyCode::End]);
        assert_eq!((titles(&screen, METHODS), titles(&screen, CLIENTS)), (vec![], vec![]));
        press(&mut screen, &[KeyCode::Home, KeyCode::Tab, KeyCode::Down, KeyCode::Down]);
        assert_eq!((screen.focus, screen.lists[METHODS].at()), (METHODS, 1));
        press(&mut screen, &[KeyCode::Up, KeyCode::BackTab, KeyCode::BackTab]);
        assert_eq!((screen.focus, screen.lists[METHODS].at()), (CLIENTS, 0));
        // By calls in flight.
        assert_eq!(titles(&screen, CLIENTS), ["client1 4242", "client2 4242"]);
        press(&mut screen, &[KeyCode::Char('s')]);
        assert_eq!(titles(&screen, CLIENTS), ["client2 4242", "client1 4242"]);
        press(&mut screen, &[KeyCode::Char('S'), KeyCode::Char('S')]);
        assert_eq!(ORDERS[screen.sort], "name");
        // A server that is gone takes its selection along.
        screen.show(vec![live("notes", 1.0)]);
        assert_eq!(titles(&screen, SERVICES), ["notes Search"]);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(screen.key(control_c), Go::Away);
        assert_eq!(screen.key(KeyEvent::from(KeyCode::Char('q'))), Go::Away);
    }

    #[test]
    fn no_size_and_no_report_is_too_small() {
        let mut screen = Screen::new(Duration::from_secs(1));
        for (width, height) in [(1, 1), (10, 3), (80, 5), (300, 100)] {
            drawn(&mut screen, width, height);
        }
        screen.show(vec![]);
        press(&mut screen, &[KeyCode::Down, KeyCode::Tab, KeyCode::Up, KeyCode::End]);
        assert!(drawn(&mut screen, 80, 24).contains("no servers"));
        screen.show(report(f64::MAX));
        for (width, height) in [(1, 1), (10, 3), (80, 5), (300, 100)] {
            drawn(&mut screen, width, height);
        }
    }
}
