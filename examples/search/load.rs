//! Two threads that ask a server without a pause, and count what they have asked.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use ipc_rpc::CallError;

use crate::service::{Query, SearchClient, SearchError};

/// Calls of one thread, by their method.
#[derive(Default)]
struct Calls {
    find: u64,
    stats: u64,
}

/// Asks for some time, and prints how many calls that were.
pub fn run(name: &str, query: &Query, time: Duration) -> Result<ExitCode, Box<dyn Error>> {
    let search = SearchClient::connect(name)?;
    let begin = Instant::now();
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| ask(&search, query, begin, time));
        let other = ask(&search, query, begin, time);
        (one.join(), other)
    });
    let (one, other) = (one.map_err(|_| "a thread has panicked")??, other?);
    let (find, stats, seconds) = (one.find + other.find, one.stats + other.stats, begin.elapsed().as_secs_f64());
    writeln!(io::stdout(), "{} calls in {seconds:.1} s: {find} find, {stats} stats", find + stats)?;
    Ok(ExitCode::SUCCESS)
}

fn ask(search: &SearchClient, query: &Query, begin: Instant, time: Duration) -> Result<Calls, CallError<SearchError>> {
    let mut calls = Calls::default();
    while begin.elapsed() < time {
        search.find(query)?;
        calls.find += 1;
        search.stats().map_err(CallError::widen)?;
        calls.stats += 1;
    }
    Ok(calls)
}
