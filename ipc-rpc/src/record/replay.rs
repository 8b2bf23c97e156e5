//! Recorded calls, made again.

use std::io::{self, Read};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{RecordedCall, Recording};
use crate::dynamic::{self, DynamicCallError, DynamicClient};

/// When recorded calls are made again.
///
/// The example at [`record`](crate::record) has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pace {
    /// Each as long after the first as it was.
    AsRecorded,
    /// Each when the one before has ended.
    AtOnce,
}

/// What has come of recorded calls.
///
/// The example at [`record`](crate::record) has one.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Replayed {
    /// Calls that were made.
    pub sent: u64,
    /// Those that ended as they did before.
    pub same: u64,
    /// Calls that were not made: what they refer to is not in the recording, or the server has no such method.
    pub left_out: u64,
    /// The first hundred that ended in another way.
    pub unlike: Vec<Unlike>,
    /// How long all took.
    pub took: Duration,
}

/// A call that ended in another way than before.
///
/// The example at [`record`](crate::record) has one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Unlike {
    /// Which call of the recording, from 0.
    pub number: u64,
    /// Its method.
    pub method: String,
    /// The reply that was recorded, or what was said in place of one.
    pub recorded: Value,
    /// The same of this time.
    pub replayed: Value,
}

/// Differences that are told.
const TOLD: usize = 100;

/// Makes the calls of a recording again, one after another, by a client of the same service.
///
/// Calls that failed are the same if they fail again. The example at [`record`](super) replays.
///
/// # Errors
///
/// The recording cannot be read. What goes wrong with a call is in the result.
pub fn replay<R: Read>(recording: &mut Recording<R>, client: &DynamicClient, pace: Pace) -> io::Result<Replayed> {
    let (start, mut first) = (Instant::now(), None);
    let mut result = Replayed::default();
    let mut number = 0;
    while let Some(call) = recording.next() {
        let call = call?;
        let at = Duration::from_nanos(call.begun.saturating_sub(*first.get_or_insert(call.begun)));
        if pace == Pace::AsRecorded {
            thread::sleep(at.saturating_sub(start.elapsed()));
        }
        match again(recording, client, &call) {
            None => result.left_out += 1,
            Some((method, recorded, replayed)) => {
                result.sent += 1;
                match (recorded, replayed) {
                    (Ok(recorded), Ok(replayed)) if recorded == replayed => result.same += 1,
                    (Err(_), Err(_)) => result.same += 1,
                    (recorded, replayed) if result.unlike.len() < TOLD => {
                        let told = |outcome: Result<Value, String>| outcome.unwrap_or_else(Value::from);
                        let (recorded, replayed) = (told(recorded), told(replayed));
                        result.unlike.push(Unlike { number, method, recorded, replayed });
                    }
                    _ => {}
                }
            }
        }
        number += 1;
    }
    result.took = start.elapsed();
    Ok(result)
}

/// The method of a call, how it ended, and how it ends now; `None`: it cannot be made.
type Outcomes = (String, Result<Value, String>, Result<Value, String>);

fn again<R: Read>(recording: &Recording<R>, client: &DynamicClient, call: &RecordedCall) -> Option<Outcomes> {
    let method = recording.method(call)?;
    let (present, known) = (0u16..).zip(&client.service().methods).find(|(_, known)| known.name == method.name)?;
    if known.fingerprint != method.fingerprint || recording.arguments(call).is_err() {
        return None;
    }
    let recorded = recording.reply(call).ok()?;
    let recorded = if call.is_replied() { Ok(recorded) } else { Err(recorded.to_string()) };
    let said = call.metadata.iter();
    let client = said.fold(client.clone(), |client, (key, value)| client.with_metadata(key.as_str(), value.as_str()));
    let replayed = match client.call_bytes(present, call.request.clone()) {
        Ok(_) if method.oneway => Ok(Value::Null),
        Ok(reply) => {
            let value = dynamic::decode(recording.description(), method.result, &reply);
            value.map_err(|error| DynamicCallError::Reply(error).to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    Some((method.name.clone(), recorded, replayed))
}
