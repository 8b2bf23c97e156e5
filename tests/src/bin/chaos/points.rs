//! Processes that die or stop at a named step of the protocol (`ipc-core/src/fail_point.rs`).

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use ipc_core::fail_point::{self, Point, Side};
use ipc_rpc_tests::random::Random;
use ipc_rpc_tests::system;

use crate::journal::Journal;

/// What this process does to itself, and when.
struct Armed {
    point: Point,
    passes_left: AtomicI64,
    kills: bool,
    journal: Arc<Journal>,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Has this process do at a step what the arguments say: the step, the number of the pass, `kill` or `stop`.
pub fn arm(arguments: &[&str], journal: &Arc<Journal>) {
    let &[point, pass, what] = arguments else { return };
    let Some(point) = Point::ALL.iter().copied().find(|known| format!("{known:?}") == point) else { return };
    let passes_left = AtomicI64::new(pass.parse().unwrap_or(1));
    let _ = ARMED.set(Armed { point, passes_left, kills: what == "kill", journal: journal.clone() });
    fail_point::on_pass(|point| {
        let Some(armed) = ARMED.get().filter(|armed| armed.point == point) else { return };
        if armed.passes_left.fetch_sub(1, Ordering::Relaxed) == 1 {
            if armed.kills {
                armed.journal.died();
            }
            system::kill(std::process::id(), if armed.kills { system::KILL } else { system::STOP });
        }
    });
}

/// A pass of a step that is to be tried: not the first one, unless there is no other.
pub fn pass(point: Point, random: &mut Random) -> u64 {
    match point {
        Point::SocketBound | Point::Listening => 1,
        _ => 1 + random.below(4),
    }
}

/// What is to be tried: each step in each process that passes it, which dies or stops there.
pub fn all() -> impl Iterator<Item = (Point, bool, bool)> {
    let ways = [(true, true), (true, false), (false, true), (false, false)];
    Point::ALL.iter().flat_map(move |point| ways.map(|(server, kills)| (*point, server, kills))).filter(
        |(point, server, _)| match point.side() {
            Side::Both => true,
            Side::Client => !server,
            Side::Server => *server,
        },
    )
}
