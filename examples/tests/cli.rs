//! The program `ipc`, run beside the search engine as its users run it.
#![deny(unsafe_code)]

mod util;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ipc_rpc::intercept::{Authenticate, Call, Next};
use ipc_rpc::{Health, Server, service};
use serde_json::{Value, json};
use tempfile::TempDir;
use util::{Finished, Place, Running, built};

/// A server called `notes` and a place for its clients.
struct Notes {
    // Dropped first.
    server: Running,
    place: Place,
    folder: TempDir,
}

impl Notes {
    fn serve() -> Self {
        let (folder, place) = (tempfile::tempdir().expect("a folder for notes"), Place::new());
        fs::write(folder.path().join("whales.md"), "# Notes\nTwo divers swim beside a blue whale.\n").expect("a note");
        let path = folder.path().to_str().expect("a name in UTF-8");
        let (server, line) = place.serve("search", &["--serve", "notes", path]);
        assert_eq!(line, "serving 1 documents as \"notes\"\n");
        Notes { server, place, folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(&built("", "ipc"));
        command.args(arguments);
        command
    }

    fn ipc(&self, arguments: &[&str]) -> Finished {
        Finished::from(self.command(arguments).output().expect("a tool that starts"))
    }

    /// What a command prints as JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let done = self.ipc(arguments);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
        serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"))
    }

    /// The message of a command that fails with this status and says nothing on standard output.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let done = self.ipc(arguments);
        assert_eq!((done.code, done.out.as_str(), done.err.lines().count()), (Some(code), "", 1), "{done:?}");
        done.err.trim_end().strip_prefix("ipc: ").expect("an error of this program").to_owned()
    }

    fn signal(&self, signal: &str) {
        let pid = self.server.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Do two counts agree to one percent?
fn agree(one: f64, other: f64) -> bool {
    (one - other).abs() <= other / 100.0
}

#[test]
fn a_load_is_seen_while_it_runs() {
    let notes = Notes::serve();
    // It is killed when all is seen.
    let load = notes.place.example("search").args(["--load", "notes", "blue whale", "--seconds", "1000"]).spawn();
    let load = Running(load.expect("a load"));
    let server = loop {
        let report = notes.json(&["top", "notes", "--once", "--json"]);
        let server = report["servers"][0].clone();
        let has_begun = server["clients"][0]["calls"].as_u64() > Some(0);
        if has_begun && server["services"][0]["p50_ns"].as_u64() > Some(0) {
            break server;
        }
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!((&server["name"], &server["state"]), (&json!("notes"), &json!("ready")));
    assert_eq!(server["pid"], json!(notes.server.0.id()));
    let client = &server["clients"][0];
    assert_eq!((&client["pid"], &client["program"]), (&json!(load.0.id()), &json!("search")), "{server}");

    let mut top = Running(notes.command(&["top", "--json", "--interval", "0.2"]).spawn().expect("a tool"));
    let mut lines = BufReader::new(top.0.stdout.take().expect("its output")).lines();
    let mut line = || -> Value { serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON") };
    let (one, other) = (line(), line());
    drop(top);
    let service = |report: &Value, name: &str| number(&report["servers"][0]["services"][0][name]);
    let calls = service(&other, "calls") - service(&one, "calls");
    assert!(calls > 0.0, "{one}\n{other}");
    let over = number(&other["servers"][0]["over_s"]);
    assert!(agree(service(&other, "calls_per_s") * over, calls), "{one}\n{other}");

    let plain = notes.ipc(&["top", "--once", "--interval", "0.1"]);
    assert!(plain.out.starts_with("notes: ready, pid ") && !plain.out.contains('\x1b'), "{plain:?}");
    assert!(plain.out.lines().any(|line| line.starts_with("  find ")), "{plain:?}");
    assert!(plain.out.lines().any(|line| line.starts_with("search ")), "{plain:?}");
    let list = notes.ipc(&["list"]);
    let row = list.out.lines().nth(1).expect("a server");
    assert!(row.starts_with("notes ") && row.contains("Search (find, stats)"), "{list:?}");
    let list = notes.json(&["list", "--json"]);
    let expected = json!([{"name": "Search", "methods": ["find", "stats"]}]);
    assert_eq!((&list["servers"][0]["services"], &list["servers"][0]["clients"]), (&expected, &json!(1)), "{list}");
}

#[test]
fn what_is_counted_is_what_the_load_has_counted() {
    let notes = Notes::serve();
    let load = Finished::from(
        notes.place.example("search").args(["--load", "notes", "--seconds", "2"]).output().expect("a load"),
    );
    let counts: Vec<f64> = load.out.split(|c: char| !c.is_ascii_digit() && c != '.').flat_map(str::parse).collect();
    let [all, _seconds, find, stats] = counts[..] else { panic!("{load:?}") };
    assert!(load.code == Some(0) && find > 0.0 && find + stats == all, "{load:?}");
    let report = notes.json(&["top", "--once", "--json"]);
    let service = &report["servers"][0]["services"][0];
    assert!(agree(number(&service["calls"]), all), "{load:?}{report}");
    let methods = service["methods"].as_array().expect("methods");
    for (method, (name, count)) in methods.iter().zip([("find", find), ("stats", stats)]) {
        assert_eq!(method["name"], json!(name));
        assert!(agree(number(&method["calls"]), count), "{load:?}{report}");
        assert_eq!((&method["in_flight"], &method["errors"]), (&json!(0), &json!(0)), "{report}");
    }
}

#[test]
fn a_description_is_rust_or_json() {
    let notes = Notes::serve();
    let described = notes.ipc(&["describe", "notes"]);
    assert_eq!(described.code, Some(0), "{described:?}");
    for line in [
        "/// A search engine over the text files of one folder.",
        "    fn find(&self, query: &Query) -> Result<Vec<Hit>, SearchError>;",
        "    /// The most hits to return.",
        "    Regex { ignore_case: bool },",
    ] {
        assert!(described.out.lines().any(|known| known == line), "{line}: {}", described.out);
    }
    let described = notes.json(&["describe", "notes", "--json"]);
    let find = &described["services"][0]["methods"][0];
    assert_eq!(find["params"][0]["type"], json!("Query"));
    let query = usize::try_from(find["params"][0]["type_number"].as_u64().expect("a number")).expect("a small one");
    let query = &described["types"][query];
    assert_eq!((&query["kind"], &query["name"]), (&json!("struct"), &json!("Query")));
    let limit = &query["fields"][2];
    assert_eq!((&limit["name"], &limit["type"]), (&json!("limit"), &json!("u32")));
    assert_eq!(limit["docs"], json!("The most hits to return."));
}

#[test]
fn calls_take_json_and_give_it() {
    let notes = Notes::serve();
    let query = |text: &str| json!({"text": text, "mode": "Words", "limit": 3});
    let hits = notes.json(&["call", "notes", "find", &json!({"query": query("blue")}).to_string()]);
    let hit = &hits[0];
    assert_eq!((&hit["line"], &hit["text"]), (&json!(2), &json!("Two divers swim beside a blue whale.")));
    assert_eq!(hit["marks"], json!([{"start": 25, "end": 29}]));
    let regex = json!([{"text": "BLUE", "mode": {"Regex": {"ignore_case": true}}, "limit": 3}]);
    assert_eq!(notes.json(&["call", "notes", "Search.find", &regex.to_string()]), hits);
    assert_eq!(notes.json(&["call", "notes", "stats"]), json!({"documents": 1, "skipped": 0}));
    let pretty = notes.ipc(&["call", "--pretty", "notes", "Search::stats", "[]"]);
    assert_eq!(pretty.out, "{\n  \"documents\": 1,\n  \"skipped\": 0\n}\n");

    let mut tool =
        Running(notes.command(&["call", "notes", "find", "-"]).stdin(Stdio::piped()).spawn().expect("a tool"));
    let mut input = tool.0.stdin.take().expect("its input");
    write!(input, "{}", json!({"query": query("divers")})).expect("a tool that reads");
    drop(input);
    let mut found = String::new();
    tool.0.stdout.take().expect("its output").read_to_string(&mut found).expect("text");
    assert!(found.contains("\"line\":2"), "{found}");

    let empty = json!([query("")]).to_string();
    assert_eq!(notes.fails(4, &["call", "notes", "find", &empty]), "the handler's error: \"EmptyQuery\"");
    let failed = notes.ipc(&["--json", "call", "notes", "find", &empty]);
    let error: Value = serde_json::from_str(&failed.err).expect("JSON");
    assert_eq!((failed.code, &error["error"], &error["value"]), (Some(4), &json!("handler"), &json!("EmptyQuery")));
}

#[test]
fn what_is_wrong_with_a_call_is_said() {
    let notes = Notes::serve();
    let hint = "`ipc describe notes` prints its methods and types";
    let fails = |code, arguments: &[&str]| notes.fails(code, arguments);
    assert_eq!(fails(2, &["call", "notes", "search"]), format!("it has no method \"search\", but find, stats; {hint}"));
    assert_eq!(fails(2, &["call", "notes", "Find.stats"]), format!("it serves no \"Find\", but Search; {hint}"));
    let error = fails(2, &["call", "notes", "Search.search"]);
    assert_eq!(error, format!("Search has no method \"search\", but find, stats; {hint}"));
    let error = fails(2, &["call", "notes", "find", "{\"query\": blue}"]);
    assert!(error.starts_with("the arguments are no JSON: ") && error.ends_with("; texts stand in \"\""), "{error}");
    let wrong = json!([{"text": "blue", "mode": "Words", "limit": "x"}]).to_string();
    let error = fails(2, &["call", "notes", "find", &wrong]);
    assert_eq!(error, format!("query.limit: expected u32, found \"x\"; {hint}"));
    let error = fails(2, &["call", "notes", "find"]);
    assert_eq!(error, format!("find needs the argument \"query\"; {hint}"));
    let error = fails(2, &["top"]);
    assert_eq!(error, "standard output is no terminal: use --once or --json");
    for command in ["describe", "ping", "top"] {
        let error = fails(3, &[command, "other"]);
        assert!(error.starts_with("no server at ") && error.contains("`ipc list`"), "{error}");
    }
    let error = fails(2, &["call", "notes", "find", "{"]);
    assert!(error.starts_with("the arguments are no JSON: EOF") && !error.contains("texts"), "{error}");
    let wrong = json!([{"text": "blue", "mode": "Words", "limit": 1e20}]).to_string();
    let error = fails(2, &["call", "notes", "find", &wrong]);
    assert!(error.starts_with("query.limit: expected u32, found 1e+20, which is too large"), "{error}");
    assert!(fails(2, &["call", "notes", "find", "[]"]).starts_with("find takes 1 argument, found 0; "));
    assert_eq!(notes.ipc(&["top", "--interval", "0"]).code, Some(2));
    assert_eq!(notes.ipc(&["fly"]).code, Some(2));
    for wrong in [&["fly", "--json"][..], &["--json", "call"], &["list", "--timeout", "x", "--json"]] {
        let done = notes.ipc(wrong);
        let error: Value = serde_json::from_str(&done.err).expect("JSON");
        assert_eq!((done.code, &error["error"]), (Some(2), &json!("usage")), "{done:?}");
        let message = error["message"].as_str().expect("a text");
        assert!(!message.is_empty() && !message.contains("Usage") && !message.starts_with("error"), "{message}");
    }
    assert_eq!(notes.ipc(&["list", "--help", "--json"]).code, Some(0));
    for (name, reason) in [("..", "a service name is no folder"), ("/", "what is at / is not an ipc-rpc server")] {
        let done = notes.ipc(&["describe", name]);
        assert!(done.err.contains(reason), "{done:?}");
    }
}

#[service]
trait Prices {
    fn price(&self, article: &str) -> Result<u64, String>;
}

struct List;

impl Prices for List {
    fn price(&self, article: &str) -> Result<u64, String> {
        if article == "tea" { Ok(450) } else { Err(format!("no {article}\u{202e}\nmany  ready")) }
    }
}

#[test]
fn calls_say_what_they_are_told_to() {
    let place = Place::new();
    let path = place.path().join("prices.sock").display().to_string();
    let server = Server::builder().service(PricesDispatcher::new(List)).intercept(Authenticate::with("xyzzy"));
    let server = server.intercept(|call: Call, next: Next| async move {
        match (call.metadata().get("shop"), call.metadata().get("day")) {
            (Some("corner"), Some("1=2")) => next.run(call).await,
            _ => Err(call.denied("say which shop, and when")),
        }
    });
    let server = server.bind(&path).expect("a server");
    let handle = server.handle();
    handle.set_health(Health::NotReady("reads\nother  ready\u{202e}".into()));
    let serving = thread::spawn(move || server.run());
    let ipc = |arguments: &[&str]| {
        let mut command = place.command(&built("", "ipc"));
        Finished::from(command.args(arguments).env("SHOP_TOKEN", "xyzzy").output().expect("a tool that starts"))
    };
    let call = |more: &[&str]| ipc(&[&["call", &path, "price", "[\"tea\"]"], more].concat());
    let (shop, token) = (["--metadata", "shop=corner", "--metadata", "day=1=2"], ["--token-from", "SHOP_TOKEN"]);
    let done = call(&[&shop[..], &token].concat());
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(0), "450\n", ""), "{done:?}");
    for (more, said) in [(&shop[..], "it comes without a token"), (&token[..], "say which shop")] {
        let done = call(more);
        assert!(done.code == Some(1) && done.err.contains(said), "{done:?}");
    }
    for (more, said) in [(["--token-from", "NO_SUCH"], "NO_SUCH: "), (["--metadata", "shop"], "expected KEY=VALUE")] {
        let done = call(&more);
        assert!(done.code == Some(2) && done.err.contains(said), "{done:?}");
    }
    // What a server says stays on its line, and in its order.
    let done = ipc(&["top", &path, "--once"]);
    assert!(done.out.contains("not ready") && done.out.contains("reads other  ready\u{fffd}\n"), "{done:?}");
    assert!(!done.out.lines().any(|line| line.starts_with("other")), "{done:?}");

    // The recording does not have the token.
    let file = place.path().join("calls");
    let file = file.to_str().expect("a name in UTF-8");
    let mut recorder = place.command(&built("", "ipc"));
    let mut recorder = Running(recorder.args(["record", &path, "--output", file]).spawn().expect("a tool"));
    BufReader::new(recorder.0.stderr.take().expect("its messages")).read_line(&mut String::new()).expect("a line");
    assert_eq!(call(&[&shop[..], &token].concat()).code, Some(0));
    let pid = recorder.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    assert!(recorder.0.wait().expect("an end").success());
    let replayed = ipc(&[&["replay", &path, file][..], &token].concat());
    assert!(replayed.code == Some(0) && replayed.out.contains("1 ended as before"), "{replayed:?}");
    assert_eq!(ipc(&["replay", &path, file]).code, Some(1));
    let notes = Notes::serve();
    let error = notes.fails(2, &["replay", "notes", file]);
    assert!(error.ends_with("has calls of \"Prices\", but notes serves Search"), "{error}");
    handle.shutdown();
    serving.join().expect("a thread").expect("a server");
}

#[test]
fn a_ping_goes_there_and_back() {
    let notes = Notes::serve();
    let times = notes.json(&["ping", "notes", "--count", "100", "--json"]);
    let ordered = ["min_ns", "p50_ns", "p99_ns", "max_ns"].map(|name| number(&times[name]));
    assert!(ordered.is_sorted() && ordered[0] > 0.0 && times["count"] == json!(100), "{times}");
    let line = notes.ipc(&["ping", "notes"]).out;
    assert!(line.starts_with("notes: 1000 round trips, min "), "{line}");
    // No handler ran, and nothing was wrong.
    let report = notes.json(&["top", "notes", "--once", "--json"]);
    assert_eq!(report["servers"][0]["services"][0]["calls"], json!(0), "{report}");
    assert_eq!(report["servers"][0]["rejected"], json!(0), "{report}");
}

#[test]
fn calls_are_recorded_and_made_again() {
    let notes = Notes::serve();
    let file = notes.place.path().join("calls");
    let file = file.to_str().expect("a name in UTF-8");
    let record = ["record", "notes", "--output", file, "--seconds", "1", "--json"];
    let mut recorder = Running(notes.command(&record).spawn().expect("a tool"));
    let mut line = String::new();
    BufReader::new(recorder.0.stderr.take().expect("its messages")).read_line(&mut line).expect("a line");
    assert_eq!(line, "recording Search of notes\n");
    // As many as there is time for: who records says how many it were.
    let (mut made, query) = (0, json!([{"text": "", "mode": "Words", "limit": 3}]).to_string());
    while recorder.0.try_wait().expect("a tool").is_none() {
        notes.json(&["call", "notes", "stats"]);
        notes.fails(4, &["call", "notes", "find", &query]);
        made += 2;
    }
    let mut end = String::new();
    recorder.0.stdout.take().expect("its output").read_to_string(&mut end).expect("text");
    let end: Value = serde_json::from_str(&end).expect("JSON");
    let calls = end["calls"].as_u64().expect("a number");
    assert!((1..=made).contains(&calls) && end["left_out"] == json!(0) && end["reason"] == json!(""), "{end}");

    let replayed = notes.json(&["replay", "notes", file, "--json"]);
    let [sent, same] = ["sent", "same"].map(|name| replayed[name].as_u64().expect("a number"));
    assert_eq!((sent, same, &replayed["is_whole"]), (calls, calls, &json!(true)), "{replayed}");
    // The file is there.
    assert!(notes.fails(2, &record[..6]).contains("File exists"));

    // A server that has other notes.
    let others = Notes::serve();
    fs::write(others.folder.path().join("more.md"), "A second document.\n").expect("a note");
    drop(others.server);
    let path = others.folder.path().to_str().expect("a name in UTF-8");
    let (_server, _) = others.place.serve("search", &["--serve", "others", path]);
    let replay = others.place.command(&built("", "ipc")).args(["replay", "others", file]).output();
    let replay = Finished::from(replay.expect("a tool that starts"));
    let now = "stats: {\"documents\":1,\"skipped\":0} was recorded, now {\"documents\":2,\"skipped\":0}";
    assert!(replay.code == Some(1) && replay.out.contains(now), "{replay:?}");
    assert!(replay.err.contains(" calls ended in another way"), "{replay:?}");

    assert!(notes.fails(2, &["replay", "notes", "no-such-file"]).starts_with("no-such-file: No such file"));
    assert!(notes.fails(2, &["record", "notes", "Other", "--output", "x", "--seconds", "1"]).contains("but Search"));
    // Without a terminal, and for no time that is said: until a signal comes.
    let more = notes.place.path().join("more calls");
    let record = ["record", "notes", "--output", more.to_str().expect("a name in UTF-8")];
    let mut recorder = Running(notes.command(&record).spawn().expect("a tool"));
    BufReader::new(recorder.0.stderr.take().expect("its messages")).read_line(&mut String::new()).expect("a line");
    notes.json(&["call", "notes", "stats"]);
    let pid = recorder.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    let mut end = String::new();
    recorder.0.stdout.take().expect("its output").read_to_string(&mut end).expect("text");
    assert_eq!(end, "1 calls recorded\n");
    assert!(recorder.0.wait().expect("an end").success());
}

#[test]
fn a_killed_server_is_called_so_until_somebody_comes_by() {
    let mut notes = Notes::serve();
    notes.server.0.kill().expect("a server");
    notes.server.0.wait().expect("its end");
    for _ in 0..2 {
        let list = notes.json(&["list", "--json"]);
        assert_eq!((&list["servers"][0]["name"], &list["servers"][0]["state"]), (&json!("notes"), &json!("killed")));
        notes.fails(3, &["call", "notes", "stats"]);
    }
    // A client.
    let load = notes.place.example("search").args(["--load", "notes", "--seconds", "1"]).output();
    assert!(!load.expect("a load").status.success());
    let list = notes.ipc(&["list"]);
    assert_eq!((list.code, list.out.lines().count()), (Some(0), 1), "{list:?}");
    assert!(list.err.starts_with("ipc: no servers"), "{list:?}");
}

#[test]
fn more_are_listed_than_are_asked_at_a_time() {
    let notes = Notes::serve();
    let folder = notes.place.path().join("ipc-rpc");
    let others: Vec<String> = (0..100).map(|number| format!("other{number:03}")).collect();
    let bind = |name: &String| UnixListener::bind(folder.join(name).with_extension("sock")).expect("a socket");
    let _sockets: Vec<UnixListener> = others.iter().map(bind).collect();
    let list = notes.json(&["list", "--json"]);
    let servers = list["servers"].as_array().expect("servers");
    let listed: Vec<&str> = servers.iter().map(|server| server["name"].as_str().expect("a name")).collect();
    assert_eq!((listed[0], &listed[1..]), ("notes", &others.iter().map(String::as_str).collect::<Vec<_>>()[..]));
    assert_eq!((&servers[0]["state"], &servers[100]["state"]), (&json!("ready"), &json!("no server")));
}

#[test]
fn a_stopped_server_keeps_nobody_waiting() {
    let notes = Notes::serve();
    notes.signal("-STOP");
    let list = notes.json(&["list", "--json", "--timeout", "0.2"]);
    assert_eq!(list["servers"][0]["state"], json!("silent"));
    let top = notes.json(&["top", "--once", "--json", "--timeout", "0.2"]);
    assert_eq!(top["servers"][0]["state"], json!("silent"));
    for arguments in [&["ping", "notes"][..], &["describe", "notes"], &["call", "notes", "stats"], &["top", "notes"]] {
        let error = notes.fails(1, &[arguments, &["--timeout", "0.2"]].concat());
        assert!(error.contains("did not answer within 200ms; it may be stopped"), "{error}");
    }
    notes.signal("-CONT");
    assert_eq!(notes.json(&["call", "notes", "stats"])["documents"], json!(1));
}

/// The view of a terminal, until it is asked to end.
fn view(notes: &Notes, use_it: impl FnOnce(&mut dyn Write, &mut dyn FnMut(&[&str])), end: impl FnOnce(&mut dyn Write)) {
    let ipc = built("", "ipc");
    let view = format!("stty rows 24 cols 80; echo $$ >pid; exec {} top --interval 0.1", ipc.display());
    let mut script = notes.place.command("script".as_ref());
    script.args(["-qec", &view, "/dev/null"]).stdin(Stdio::piped()).current_dir(notes.place.path());
    let mut script = Running(script.env("TERM", "xterm").spawn().expect("a pseudo-terminal"));
    let (mut keys, mut output) = (script.0.stdin.take().expect("keys"), script.0.stdout.take().expect("a screen"));
    let mut seen = Vec::new();
    let mut until = |words: &[&str]| {
        while !words.iter().all(|word| String::from_utf8_lossy(&seen).contains(word)) {
            let mut some = [0; 4096];
            let len = output.read(&mut some).expect("a screen");
            assert_ne!(len, 0, "{:?} before {words:?}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&some[..len]);
        }
    };
    use_it(&mut keys, &mut until);
    end(&mut keys);
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).expect("the end of a screen");
    assert!(script.0.wait().expect("an end").success());
    // The screen is as it was before.
    assert!(String::from_utf8_lossy(&rest).contains("\x1b[?1049l"), "{:?}", String::from_utf8_lossy(&rest));
}

#[test]
fn the_view_of_a_terminal_shows_servers_and_obeys_keys_and_signals() {
    if Command::new("script").arg("--version").output().is_err() {
        return; // There is no pseudo-terminal to be had from a shell; the rest is tested in the program.
    }
    let notes = Notes::serve();
    let shown = ["ipc", "Search", "find", "stats", "calls/s", "quit"];
    view(
        &notes,
        |keys, until| {
            until(&shown);
            keys.write_all(b"\ts").expect("keys");
            until(&["active"]);
        },
        |keys| keys.write_all(b"q").expect("a key"),
    );
    view(
        &notes,
        |_, until| until(&shown),
        |_| {
            let pid = fs::read_to_string(notes.place.path().join("pid")).expect("a file with a number");
            assert!(Command::new("kill").arg(pid.trim()).status().expect("kill").success());
        },
    );
}

#[test]
fn shells_are_told_what_to_complete() {
    let notes = Notes::serve();
    for shell in ["bash", "zsh", "fish"] {
        let script = notes.ipc(&["completions", shell]);
        assert!(script.code == Some(0) && script.out.contains("describe"), "{script:?}");
    }
}
