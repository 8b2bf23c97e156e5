//! One client value, servers that are killed and restarted, and every increment accounted for.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipc_rpc::{CallError, ClientConfig, Reconnect};
use ipc_rpc_tests::helper::Place;

use crate::journal::{self, How};
use crate::judge::Tally;
use crate::round::{journal_of, start_server};
use crate::service::{ChaosClient, answer};

const THREADS: u64 = 4;

/// Makes so many increments that are idempotent, and as many that are not, while the server is killed and started again so
/// often. An increment is a line in the journal of the server that made it.
pub fn run(count: u64, restarts: u64, watched: &Mutex<Vec<u32>>, steps: &AtomicU64, tally: &mut Tally) {
    let place = Place::unwatched();
    let serve = |number: u32, tally: &mut Tally| {
        let mut server = start_server(&place, number, &[]);
        *watched.lock().expect("no panics") = vec![server.helper.pid()];
        server.wait_bound(tally);
        server
    };
    let mut server = serve(1, tally);
    let reconnect = Reconnect { patience: Duration::from_secs(600), ..Reconnect::default() };
    let config = ClientConfig { timeout: None, reconnect: Some(reconnect), ..ClientConfig::default() };
    let client = ChaosClient::connect_with(place.socket(), &config).expect("a server");
    let done = AtomicU64::new(0);
    let increment = |id: u64| {
        let result = if id.is_multiple_of(2) { client.touch_again(id, 0) } else { client.touch(id, 0) };
        done.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(got) if got == answer(id) => How::Replied,
            Err(CallError::MayHaveRun { .. }) => How::MayHaveRun,
            other => {
                eprintln!("increment {id}: {other:?}");
                How::Wrong
            }
        }
    };
    let increment = &increment;
    let outcomes = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || (thread..2 * count).step_by(THREADS as usize).map(increment).collect()))
            .collect();
        for restart in 1..=restarts {
            while done.load(Ordering::Relaxed) < 2 * count / (restarts + 1) * restart {
                std::thread::sleep(Duration::from_micros(200));
            }
            steps.fetch_add(1, Ordering::Relaxed);
            server.helper.kill();
            server = serve(1 + restart as u32, tally);
            tally.server_kills += 1;
        }
        threads.into_iter().map(|thread| thread.join().expect("no panics")).collect::<Vec<Vec<How>>>()
    });
    drop(server);
    let mut runs: HashMap<u64, u64> = HashMap::new();
    for record in (1..=1 + restarts as u32).flat_map(|number| journal::read(&journal_of(&place, number))) {
        *runs.entry(record.id).or_default() += 1;
        tally.runs += 1;
    }
    let (mut lost, mut again, mut once, mut unknown, mut unknown_ran, mut wrong) = (0u64, 0u64, 0u64, 0u64, 0u64, 0u64);
    for id in 0..2 * count {
        let how = outcomes[(id % THREADS) as usize][(id / THREADS) as usize];
        let ran = runs.get(&id).copied().unwrap_or(0);
        match (id.is_multiple_of(2), how, ran) {
            (true, How::Replied, 1..) => again += u64::from(ran > 1),
            (true, ..) => lost += 1,
            (false, How::Replied, 1) => once += 1,
            (false, How::MayHaveRun, 0..=1) => (unknown, unknown_ran) = (unknown + 1, unknown_ran + ran),
            (false, ..) => wrong += 1,
        }
    }
    println!("{count} idempotent increments: {lost} lost, {again} made more than once");
    println!("{count} others: {once} made once, {unknown} may have been made ({unknown_ran} were), {wrong} wrong");
    if lost + wrong > 0 {
        tally.wrong(format!("{lost} increments are lost, {wrong} wrong"));
    }
}
