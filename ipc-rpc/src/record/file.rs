//! The file of a recording: `docs/layout.md`, section 10.
#![allow(unsafe_code)]
// The derive implements `Message`.

use std::io::{self, Read, Write};

use ipc_core::layout::REPLIED;
use serde_json::Value;

use crate::Message;
use crate::describe::{Description, MethodInfo, ServiceInfo};
use crate::dynamic::{self, DynamicError};
use crate::message::{MAX_SIZE, bytes};

const MAGIC: &[u8; 8] = b"ipc-rec\0";
const VERSION: u32 = 1;

/// Kinds of records.
const HEAD: u32 = 1;
pub(super) const CALL: u32 = 2;
pub(super) const END: u32 = 3;

/// What a recording is of.
#[derive(Message)]
#[message(crate = crate)]
struct Head {
    service: String,
    description: Vec<u8>,
}

/// A call as it was recorded.
///
/// The example at [`record`](crate::record) has one.
#[derive(Message, Debug, Clone, Default, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub struct RecordedCall {
    /// When its handler was about to begin, in nanoseconds from the start of the recording. Calls stand in the order in which
    /// they ended.
    pub begun: u64,
    /// Nanoseconds until it was answered.
    pub took: u64,
    /// The process that called.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// The number of the method in its service.
    pub method: u32,
    /// What the caller said beside the arguments.
    pub metadata: Vec<(String, String)>,
    /// The trace that it belongs to.
    pub trace: Option<u128>,
    /// The arguments: the archive of their tuple.
    pub request: Vec<u8>,
    /// How it ended: 0 with a reply.
    pub status: u16,
    /// The archive of the reply, or the text of what went wrong.
    pub reply: Vec<u8>,
}

impl RecordedCall {
    /// Has the handler given a reply, be it an error of its own?
    ///
    /// The example at [`record`](crate::record) does so.
    pub fn is_replied(&self) -> bool {
        self.status == REPLIED
    }
}

/// How a recording ended.
///
/// The example at [`record`](crate::record) has one.
#[derive(Message, Debug, Clone, Default, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub struct RecordEnd {
    /// Calls that were recorded.
    pub calls: u64,
    /// Calls that were not: larger than a record can be, or with a reply that lies elsewhere.
    pub left_out: u64,
    /// Why the server ended it; empty: it was asked to.
    pub reason: String,
}

/// A recording that is read: an iterator over its calls.
///
/// The example at [`record`](crate::record) has one.
#[derive(Debug)]
pub struct Recording<R> {
    reader: R,
    service: ServiceInfo,
    description: Description,
    end: Option<RecordEnd>,
}

/// Writes what a recording begins with; gives its length.
pub(super) fn begin(to: &mut impl Write, service: &str, description: &Description) -> io::Result<()> {
    to.write_all(MAGIC)?;
    to.write_all(&VERSION.to_le_bytes())?;
    let description = description.to_bytes().map_err(io::Error::other)?;
    let head = bytes::to_bytes(&Head { service: service.to_owned(), description }).map_err(io::Error::other)?;
    to.write_all(&record_head(HEAD, &head))?;
    to.write_all(&head)
}

/// What the archive of a record stands behind: kind, length.
pub(super) fn record_head(kind: u32, archive: &[u8]) -> [u8; 8] {
    // No archive is longer than `MAX_SIZE`.
    (u64::from(kind) | (archive.len() as u64) << 32).to_le_bytes()
}

impl<R: Read> Recording<R> {
    /// Reads what a recording begins with. The file may be anybody's.
    ///
    /// The example at [`record`](crate::record) does so.
    ///
    /// # Errors
    ///
    /// The reader's, and `InvalidData` if it is no recording.
    pub fn read(mut reader: R) -> io::Result<Self> {
        let mut first = [0; 12];
        reader.read_exact(&mut first)?;
        let (magic, version) = first.split_at(MAGIC.len());
        if magic != MAGIC || version != VERSION.to_le_bytes() {
            return Err(invalid("the file is no recording of this version"));
        }
        let Some((HEAD, head)) = next(&mut reader)? else { return Err(invalid("the recording has no head")) };
        let head: Head = bytes::from_bytes(&head).map_err(invalid)?;
        let description = Description::from_bytes(&head.description).map_err(invalid)?;
        let service = description.service(&head.service).cloned();
        let service = service.ok_or_else(|| invalid("the recording does not describe its service"))?;
        Ok(Recording { reader, service, description, end: None })
    }

    /// The service whose calls these are.
    ///
    /// The example at [`record`](crate::record) does so.
    pub fn service(&self) -> &ServiceInfo {
        &self.service
    }

    /// What the server has served.
    ///
    /// The example at [`record`](crate::record) does so.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// How the recording ended, when all calls have been read; `None`: the server, or the recorder, was killed.
    ///
    /// The example at [`record`](crate::record) does so.
    pub fn end(&self) -> Option<&RecordEnd> {
        self.end.as_ref()
    }

    /// The method of a call.
    ///
    /// The example at [`record`](crate::record) does so.
    pub fn method(&self, call: &RecordedCall) -> Option<&MethodInfo> {
        self.service.methods.get(call.method as usize)
    }

    /// The arguments of a call, by their names.
    ///
    /// The example at [`record`](crate::record) does so.
    ///
    /// # Errors
    ///
    /// What they refer to is not in the recording, or cannot be written as JSON.
    pub fn arguments(&self, call: &RecordedCall) -> Result<Value, DynamicError> {
        let method = self.method(call).ok_or_else(|| unknown(call))?;
        dynamic::decode_arguments(&self.description, method, &call.request)
    }

    /// The reply of a call: `null` if it has none, and a text if something went wrong.
    ///
    /// The example at [`record`](crate::record) does so.
    ///
    /// # Errors
    ///
    /// What it refers to is not in the recording, or cannot be written as JSON.
    pub fn reply(&self, call: &RecordedCall) -> Result<Value, DynamicError> {
        let method = self.method(call).ok_or_else(|| unknown(call))?;
        match (call.is_replied(), method.oneway) {
            (false, _) => Ok(String::from_utf8_lossy(&call.reply).into()),
            (true, true) => Ok(Value::Null),
            (true, false) => dynamic::decode(&self.description, method.result, &call.reply),
        }
    }
}

impl<R: Read> Iterator for Recording<R> {
    type Item = io::Result<RecordedCall>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.end.is_some() {
            return None;
        }
        match next(&mut self.reader) {
            Ok(Some((CALL, archive))) => Some(bytes::from_bytes(&archive).map_err(invalid)),
            Ok(Some((END, archive))) => match bytes::from_bytes(&archive) {
                Ok(end) => {
                    self.end = Some(end);
                    None
                }
                Err(error) => Some(Err(invalid(error))),
            },
            Ok(Some((kind, _))) => Some(Err(invalid(format!("there are no records of kind {kind}")))),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// Reads a record; `None`: there is no whole one.
fn next(reader: &mut impl Read) -> io::Result<Option<(u32, Vec<u8>)>> {
    let mut head = [0; 8];
    match reader.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let [a, b, c, d, len @ ..] = head;
    let len = u32::from_le_bytes(len) as usize;
    if len > MAX_SIZE {
        return Err(invalid("a record is longer than any can be"));
    }
    let mut archive = Vec::new();
    reader.take(len as u64).read_to_end(&mut archive)?;
    Ok((archive.len() == len).then(|| (u32::from_le_bytes([a, b, c, d]), archive)))
}

fn unknown(call: &RecordedCall) -> DynamicError {
    DynamicError { path: String::new(), reason: format!("the service has no method number {}", call.method) }
}

fn invalid(why: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}
