//! Recorded calls, made again.

use std::io::{self, Read};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{RecordedCall, Recording};
use crate::dynamic::{self, DynamicCallError, DynamicClient, decode_arguments};

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
    // By what the server has said: what the file says of types may be anybody's.
    let description = client.description();
    let reply = |bytes: &[u8]| match known.oneway {
        true => Ok(Value::Null),
        false => dynamic::decode(description, known.result, bytes),
    };
    if known.fingerprint != method.fingerprint || decode_arguments(description, known, &call.request).is_err() {
        return None;
    }
    let recorded = match call.is_replied() {
        true => Ok(reply(&call.reply).ok()?),
        false => Err(String::from_utf8_lossy(&call.reply).into_owned()),
    };
    let said = call.metadata.iter();
    let client = said.fold(client.clone(), |client, (key, value)| client.with_metadata(key.as_str(), value.as_str()));
    let replayed = client.call_bytes(present, call.request.clone());
    let replayed = replayed.and_then(|bytes| reply(&bytes).map_err(DynamicCallError::Reply));
    Some((known.name.clone(), recorded, replayed.map_err(|error| error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::super::file::{self, CALL};
    use super::*;
    use crate::describe::{Description, Primitive, TypeInfo};
    use crate::message::bytes;
    use crate::{ClientConfig, Server};

    #[crate::service(crate = crate)]
    trait Words {
        fn length(&self, word: String) -> u32;
    }

    struct Plain;

    impl Words for Plain {
        fn length(&self, word: String) -> u32 {
            word.len() as u32
        }
    }

    /// A recording of one call, whose file says that its arguments are of types like this.
    fn recording(change: impl FnOnce(&mut Description)) -> Vec<u8> {
        let mut description = Description::of_client::<WordsClient>();
        change(&mut description);
        let mut written = Vec::new();
        file::begin(&mut written, "Words", &description).unwrap();
        // No text.
        let request = vec![0xfe; 8];
        let call = RecordedCall { request, reply: vec![0; 4], ..RecordedCall::default() };
        let call = bytes::to_bytes(&call).unwrap();
        written.extend(file::record_head(CALL, &call));
        written.extend(call);
        written
    }

    #[test]
    fn arguments_are_judged_by_what_the_server_says() {
        let path = std::env::temp_dir().join(format!("ipc-rpc-replay-{}.sock", std::process::id()));
        let name = path.display().to_string();
        let server = Server::bind(&name).unwrap();
        let handle = server.handle();
        let serving = std::thread::spawn(|| server.serve(WordsDispatcher::new(Plain)));
        let client = DynamicClient::ask(&name, "Words", &ClientConfig::default()).unwrap();
        let hostile = recording(|description| {
            let types = &mut description.types;
            let byte = types.len() as u32;
            types.extend([TypeInfo::Primitive(Primitive::U8), TypeInfo::Array(byte, 8)]);
            description.services[0].methods[0].params[0].ty = byte + 1;
        });
        for file in [hostile, recording(|_| ())] {
            let replayed = replay(&mut Recording::read(&file[..]).unwrap(), &client, Pace::AtOnce).unwrap();
            assert_eq!((replayed.sent, replayed.left_out), (0, 1));
        }
        handle.shutdown();
        serving.join().unwrap().unwrap();
    }
}
