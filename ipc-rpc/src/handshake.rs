//! The handshake: what a client asks for and what a server answers, before any memory is shared.
//!
//! Both packets must be understood across versions of this crate and builds with other layouts, so they are written by hand:
//! little-endian numbers, texts with their length before them. They begin with a magic number and the protocol version;
//! nothing behind the version is read if that differs. The numbers H1.. are those of `docs/layout.md`, section 6.

use std::cmp::Ordering;
use std::fmt;

use ipc_core::layout::Geometry;
use ipc_core::socket::MAX_PACKET;

use crate::call_error::MethodName;
use crate::message::{MAX_DEPTH, Message};
use crate::service::{MethodDesc, ServiceDesc};

const MAGIC: &[u8; 8] = b"ipc-rpc\0";
/// The protocol of the shared memory: layout and moves of a block. Changed with either.
pub(crate) const PROTOCOL: u32 = 3;
/// A method that the server does not have, or has with another signature.
pub(crate) const NO_METHOD: u16 = u16::MAX;
/// Most bytes of lines about one mismatch.
const MAX_LINES: usize = 4096;

/// A method that client and server do not have in common; says what differs first.
///
/// Prints for example as `Calc::add argument 2: i64 here, i32 there`. Clients get it in
/// [`CallError::Incompatible`](crate::CallError::Incompatible) and [`ConnectError::Incompatible`](crate::ConnectError::Incompatible).
///
/// ```
/// use ipc_rpc::{CallError, Mismatch};
///
/// /// Is the server older than this program?
/// fn lacks_method(error: &CallError) -> bool {
///     matches!(error, CallError::Incompatible(mismatch) if mismatch.difference.is_none())
/// }
/// # let _ = lacks_method;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// The method.
    pub method: MethodName,
    /// What is different; `None`: the server does not have the method.
    pub difference: Option<Difference>,
}

/// The first difference between two signatures of a method.
///
/// ```
/// use ipc_rpc::{Difference, Mismatch};
///
/// /// For a log.
/// fn say(mismatch: &Mismatch) -> String {
///     match &mismatch.difference {
///         Some(Difference { place, here, there, .. }) => format!("{}: {place} is {here}, not {there}", mismatch.method),
///         None => format!("{} is missing", mismatch.method),
///     }
/// }
/// # let _ = say;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Where: `argument 2`, or `result`, with the field if there is one.
    pub place: String,
    /// What this side has there.
    pub here: String,
    /// What the other side has there.
    pub there: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.difference {
            None => write!(f, "the server has no method {}: it was built from an older trait", self.method),
            Some(d) => write!(f, "{} {}: {} here, {} there", self.method, d.place, d.here, d.there),
        }
    }
}

impl std::error::Error for Mismatch {}

/// Everything about a method that both sides must agree on, a line for each part.
pub(crate) fn signature(method: &MethodDesc) -> Vec<String> {
    let mut all = Vec::new();
    for (number, param) in method.params.iter().enumerate() {
        all.extend(
            crate::message::private_exports::lines(param.desc).iter().map(|l| format!("argument {}\t{l}", number + 1)),
        );
    }
    all.extend(crate::message::private_exports::lines(method.result).iter().map(|l| format!("result\t{l}")));
    all
}

/// FNV-1a over the lines of a signature.
pub(crate) fn fingerprint(signature: &[String]) -> u64 {
    let bytes = signature.iter().flat_map(|line| line.bytes().chain([b'\n']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The first difference between two signatures.
fn difference(here: &[String], there: &[String]) -> Difference {
    let nothing = String::from("\tnothing");
    let longest = here.len().max(there.len());
    let at = (0..longest).find(|n| here.get(*n) != there.get(*n)).unwrap_or(0);
    let (here, there) = (here.get(at).unwrap_or(&nothing), there.get(at).unwrap_or(&nothing));
    let part = |line: &str| line.split_once('\t').map(|(p, t)| (p.to_owned(), t.to_owned())).unwrap_or_default();
    let ((here_place, here), (there_place, there)) = (part(here), part(there));
    // Of two places the earlier one is what the other side has nothing at: an argument less, or a field.
    let rank = |place: &str| match place.strip_prefix("argument ") {
        Some(number) => number.parse().unwrap_or(u32::MAX),
        None => u32::MAX - u32::from(!place.is_empty()),
    };
    let (mut place, mut texts) = match rank(&here_place).cmp(&rank(&there_place)) {
        Ordering::Equal => (here_place, [here, there]),
        Ordering::Less => (here_place, [here, String::from("nothing")]),
        Ordering::Greater => (there_place, [String::from("nothing"), there]),
    };
    // `Query.limit: u32` and `Query.limit: u64` share the field: name it once.
    let field = |t: &str| t.split_once(": ").map(|(field, _)| field.to_owned());
    if let (Some(a), Some(b)) = (field(&texts[0]), field(&texts[1]))
        && a == b
    {
        place = format!("{place}, {a}");
        texts = texts.map(|t| t.split_once(": ").map(|(_, kind)| kind.to_owned()).unwrap_or(t));
    }
    let [here, there] = texts;
    Difference { place, here, there }
}

/// How far `CLOCK_MONOTONIC` of this process is from that of the machine, in a time namespace: deadlines are sent as its
/// times. Empty where it is the same.
fn clock_probe() -> String {
    let offsets = std::fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    let numbers = offsets.lines().find_map(|line| line.strip_prefix("monotonic")).unwrap_or_default();
    let numbers = numbers.split_whitespace().collect::<Vec<_>>().join(" ");
    if numbers.is_empty() || numbers == "0 0" { String::new() } else { format!("{CLOCK}{numbers}") }
}

/// Comes before what is said about the clock.
const CLOCK: &str = " clock ";

/// What two probes say about their clocks, if that is all they differ by.
pub(crate) fn clocks<'a>(here: &'a str, there: &'a str) -> Option<(&'a str, &'a str)> {
    let parts = |probe: &'a str| probe.split_once(CLOCK).unwrap_or((probe, "0 0"));
    let ((layout, here), (other, there)) = (parts(here), parts(there));
    (layout == other).then_some((here, there))
}

/// Sizes and alignments of forms that features of rkyv in some other part of a program could change, and which clock it has.
pub(crate) fn format_probe() -> String {
    fn form<T: Message>() -> String {
        format!("{}/{}", size_of::<T::Form>(), align_of::<T::Form>())
    }
    format!(
        "u64 {} u128 {} f64 {} char {} String {} Vec {} Option {} Box {} nesting {MAX_DEPTH}{}",
        form::<u64>(),
        form::<u128>(),
        form::<f64>(),
        form::<char>(),
        form::<String>(),
        form::<Vec<u64>>(),
        form::<Option<u64>>(),
        form::<Box<u64>>(),
        clock_probe(),
    )
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }
    fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }
    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }
    fn text(&mut self, text: &str) {
        let text = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
        self.u16(text.len() as u16);
        self.0.extend(text);
    }
}

/// Reads a peer's packet; `None` as soon as something does not fit.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }
    fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }
    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
    fn text(&mut self) -> Option<&'a str> {
        let len = self.u16()?;
        std::str::from_utf8(self.take(usize::from(len))?).ok()
    }
}

/// What a client asks for.
pub(crate) struct Hello<'a> {
    pub(crate) probe: &'a str,
    pub(crate) geometry: Geometry,
    /// It can be called itself, over a second descriptor.
    pub(crate) callable: bool,
    /// It reads replies where they lie.
    pub(crate) in_place: bool,
    pub(crate) services: Vec<Asking<'a>>,
}

/// A service that a client asks for, and for each method its name and fingerprint.
pub(crate) struct Asking<'a> {
    pub(crate) service: &'a str,
    pub(crate) methods: Vec<(&'a str, u64)>,
}

/// The first packet of a client, as far as it was understood.
pub(crate) enum Asked<'a> {
    Hello(Hello<'a>),
    /// Another protocol version.
    OtherVersion,
    /// Not a client of ours.
    Nonsense,
}

/// Writes the first packet: H1 magic, H2 version, H3 probe, H4 to H6 (H5 the caller's, H6 the callee's) geometry, H17 whether
/// the client is `callable`, H19 whether it reads replies `in_place`, H18 services, for each H7 its name, H8 and H9 methods.
pub(crate) fn hello(
    services: &[&ServiceDesc],
    geometry: &Geometry,
    callable: bool,
    in_place: bool,
) -> Result<Vec<u8>, String> {
    let mut w = Writer(MAGIC.to_vec());
    w.u32(PROTOCOL);
    w.text(&format_probe());
    w.u32(geometry.blocks());
    w.u32(geometry.caller_arena());
    w.u32(geometry.callee_arena());
    w.u8(u8::from(callable));
    w.u8(u8::from(in_place));
    w.u16(services.len() as u16);
    for service in services {
        w.text(service.name);
        w.u16(service.methods.len() as u16);
        for (number, method) in service.methods.iter().enumerate() {
            w.text(method.name);
            let known = service.fingerprints.and_then(|known| known.get(number).copied());
            w.u64(known.unwrap_or_else(|| fingerprint(&signature(method))));
        }
        if w.0.len() > MAX_PACKET {
            return Err(format!("the names of the {} methods of {} are too long", service.methods.len(), service.name));
        }
    }
    Ok(w.0)
}

/// Reads the first packet of a client.
pub(crate) fn asked(packet: &[u8]) -> Asked<'_> {
    let mut r = Reader(packet);
    if r.take(MAGIC.len()) != Some(MAGIC) {
        return Asked::Nonsense;
    }
    match r.u32() {
        Some(PROTOCOL) => {}
        Some(_) => return Asked::OtherVersion,
        None => return Asked::Nonsense,
    }
    let mut rest = || {
        let probe = r.text()?;
        let geometry = Geometry::new(r.u32()?, r.u32()?, r.u32()?)?;
        let (callable, in_place) = (r.flag()?, r.flag()?);
        let count = r.u16()?;
        let services = (0..count).map(|_| asking(&mut r)).collect::<Option<Vec<_>>>()?;
        Some(Hello { probe, geometry, callable, in_place, services })
    };
    rest().map_or(Asked::Nonsense, Asked::Hello)
}

fn asking<'a>(r: &mut Reader<'a>) -> Option<Asking<'a>> {
    let service = r.text()?;
    let count = r.u16()?;
    let methods = (0..count).map(|_| Some((r.text()?, r.u64()?))).collect::<Option<Vec<_>>>()?;
    Some(Asking { service, methods })
}

/// In place of a version (H2): not a client, but the next server of the same name. Understood by every version.
const SUCCESSOR: u32 = u32::MAX;

/// The packet by which a server asks another one for its listener: H1, H2.
pub(crate) fn successor() -> Vec<u8> {
    let mut w = Writer(MAGIC.to_vec());
    w.u32(SUCCESSOR);
    w.0
}

/// Answers a successor who gets the listener along with this.
pub(crate) fn handed_over() -> Vec<u8> {
    answer(HANDED_OVER).0
}

/// Reads the answer to a successor: nothing, or why the listener did not come along.
pub(crate) fn succeeded(packet: &[u8]) -> Result<(), String> {
    let mut r = Reader(packet);
    if r.take(MAGIC.len()) != Some(MAGIC) {
        return Err("what listens there is no server of ours".into());
    }
    // Other versions may say more behind the kind.
    match (r.u32(), r.u8()) {
        (Some(_), Some(HANDED_OVER)) => Ok(()),
        (Some(PROTOCOL), Some(REFUSED)) => Err(r.text().unwrap_or_default().into()),
        (Some(version), _) => {
            Err(format!("a server of protocol version {version} runs there, which does not hand over"))
        }
        (None, _) => Err("what listens there is no server of ours".into()),
    }
}

/// In place of a version (H2): not a client, but somebody who wants to know what the server is. Understood by every version.
const INSPECTOR: u32 = u32::MAX - 1;

/// The packet by which somebody asks a server what it is: H1, H2.
pub(crate) fn inspector() -> Vec<u8> {
    let mut w = Writer(MAGIC.to_vec());
    w.u32(INSPECTOR);
    w.0
}

/// Answers an inspector, who gets the files along with this.
pub(crate) fn inspection() -> Vec<u8> {
    answer(INSPECTED).0
}

/// Reads the answer to an inspector: the version of the protocol, or an answer that brings nothing along, if it is one.
pub(crate) fn inspected(packet: &[u8]) -> Result<u32, Option<Answer>> {
    let mut r = Reader(packet);
    if r.take(MAGIC.len()) == Some(MAGIC)
        && let (Some(PROTOCOL), Some(INSPECTED)) = (r.u32(), r.u8())
    {
        return Ok(PROTOCOL);
    }
    Err(answered(packet, &[]))
}

/// In place of a version (H2): not a client, but somebody who records calls.
#[cfg(feature = "dynamic")]
const RECORDER: u32 = u32::MAX - 2;

/// What somebody who records calls asks for.
#[cfg(feature = "dynamic")]
pub(crate) enum ToRecord<'a> {
    /// To write so many bytes of calls of a service to the file that comes along.
    Start { service: &'a str, limit: u64 },
    /// To end the recording of this number.
    Stop { number: u64 },
}

/// The packet that asks a server to record calls to the file that comes along: H1, H2, H21 what is asked for, H22 the service,
/// H23 the limit.
#[cfg(feature = "dynamic")]
pub(crate) fn record(service: &str, limit: u64) -> Vec<u8> {
    let mut w = Writer(MAGIC.to_vec());
    w.u32(RECORDER);
    w.u8(0);
    w.text(service);
    w.u64(limit);
    w.0
}

/// The packet that asks for the end of a recording: H1, H2, H21, H24 its number.
#[cfg(feature = "dynamic")]
pub(crate) fn stop_recording(number: u64) -> Vec<u8> {
    let mut w = Writer(MAGIC.to_vec());
    w.u32(RECORDER);
    w.u8(1);
    w.u64(number);
    w.0
}

/// Reads either; `None`: the packet is neither.
#[cfg(feature = "dynamic")]
pub(crate) fn asked_to_record(packet: &[u8]) -> Option<ToRecord<'_>> {
    let mut r = Reader(packet);
    if r.take(MAGIC.len()) != Some(MAGIC) || r.u32() != Some(RECORDER) {
        return None;
    }
    match r.u8()? {
        0 => Some(ToRecord::Start { service: r.text()?, limit: r.u64()? }),
        1 => Some(ToRecord::Stop { number: r.u64()? }),
        _ => None,
    }
}

/// Answers that calls are recorded: H24 the recording's number.
#[cfg(feature = "dynamic")]
pub(crate) fn recording(number: u64) -> Vec<u8> {
    let mut w = answer(RECORDING);
    w.u64(number);
    w.0
}

/// Says that a recording has ended: H25 calls in it, H26 calls left out, H27 why.
#[cfg(feature = "dynamic")]
pub(crate) fn recorded(end: &crate::record::RecordEnd) -> Vec<u8> {
    let mut w = answer(RECORDED);
    w.u64(end.calls);
    w.u64(end.left_out);
    w.text(&end.reason);
    w.0
}

/// Reads the answer to who wants to record: the recording's number, or another answer if it is one.
#[cfg(feature = "dynamic")]
pub(crate) fn told_of_recording(packet: &[u8]) -> Result<u64, Option<Answer>> {
    let mut r = Reader(packet);
    if r.take(MAGIC.len()) == Some(MAGIC)
        && let (Some(PROTOCOL), Some(RECORDING), Some(number)) = (r.u32(), r.u8(), r.u64())
    {
        return Ok(number);
    }
    Err(answered(packet, &[]))
}

/// Reads how a recording has ended.
#[cfg(feature = "dynamic")]
pub(crate) fn told_of_end(packet: &[u8]) -> Option<crate::record::RecordEnd> {
    let mut r = Reader(packet);
    if r.take(MAGIC.len()) != Some(MAGIC) || r.u32()? != PROTOCOL || r.u8()? != RECORDED {
        return None;
    }
    let (calls, left_out, reason) = (r.u64()?, r.u64()?, r.text()?.to_owned());
    Some(crate::record::RecordEnd { calls, left_out, reason })
}

/// What a server answers.
pub(crate) enum Answer {
    Welcome {
        /// The server reads requests where they lie.
        in_place: bool,
        /// For each method asked for, of one service after the other: its number, or why there is none.
        methods: Vec<Result<u16, Mismatch>>,
    },
    /// The server speaks another version of the protocol.
    Version(u32),
    /// The server's messages have another format.
    Format(String),
    /// The server wants none of it, and says why.
    Refused(String),
}

const WELCOME: u8 = 0;
const VERSION: u8 = 1;
const FORMAT: u8 = 2;
const REFUSED: u8 = 3;
const HANDED_OVER: u8 = 4;
const INSPECTED: u8 = 5;
#[cfg(feature = "dynamic")]
const RECORDING: u8 = 6;
#[cfg(feature = "dynamic")]
const RECORDED: u8 = 7;

fn answer(kind: u8) -> Writer {
    let mut w = Writer(MAGIC.to_vec());
    w.u32(PROTOCOL);
    w.u8(kind);
    w
}

/// Answers a client of another version: H1, H2, and H10 the kind of answer.
pub(crate) fn other_version() -> Vec<u8> {
    answer(VERSION).0
}

/// Answers a client whose messages have another format: H15 the probe of this side.
pub(crate) fn other_format() -> Vec<u8> {
    let mut w = answer(FORMAT);
    w.text(&format_probe());
    w.0
}

/// Answers a client that is not let in: H16 why.
pub(crate) fn refused(why: &str) -> Vec<u8> {
    let mut w = answer(REFUSED);
    w.text(why);
    w.0
}

/// Answers a client that is let in: H20 whether requests are read `in_place`, H11, then for each method asked for H12 its number, or H13 and H14 the signature the
/// server has for that name.
pub(crate) fn welcome(methods: &[Result<u16, Option<&[String]>>], in_place: bool) -> Vec<u8> {
    let mut w = answer(WELCOME);
    w.u8(u8::from(in_place));
    w.u16(methods.len() as u16);
    for method in methods {
        match method {
            Ok(number) => w.u16(*number),
            Err(signature) => {
                w.u16(NO_METHOD);
                let mut text = signature.map(|lines| lines.join("\n")).unwrap_or_default();
                let room = MAX_PACKET.saturating_sub(w.0.len() + 5 * methods.len() + 8);
                if text.len() > room.min(MAX_LINES) {
                    // The client needs the first difference only; cut at a whole line, never to nothing.
                    let cut = text.as_bytes()[..room.min(MAX_LINES)].iter().rposition(|b| *b == b'\n').unwrap_or(0);
                    text.truncate(cut);
                }
                w.u8(u8::from(signature.is_some()));
                w.text(&text);
            }
        }
    }
    w.0
}

/// Reads a server's answer to a client that asked for these services; `None`: not a server of ours.
pub(crate) fn answered(packet: &[u8], services: &[&ServiceDesc]) -> Option<Answer> {
    let mut r = Reader(packet);
    if r.take(MAGIC.len())? != MAGIC {
        return None;
    }
    let version = r.u32()?;
    if version != PROTOCOL {
        return Some(Answer::Version(version));
    }
    match r.u8()? {
        WELCOME => {
            let in_place = r.flag()?;
            let count = services.iter().map(|service| service.methods.len()).sum();
            if usize::from(r.u16()?) != count {
                return None;
            }
            let mut methods = Vec::with_capacity(count);
            for (service, method) in services.iter().flat_map(|s| s.methods.iter().map(move |m| (s, m))) {
                let name = MethodName { service: service.name, method: method.name };
                methods.push(match r.u16()? {
                    NO_METHOD => {
                        let known = r.u8()? != 0;
                        let there: Vec<String> = r.text()?.lines().map(str::to_owned).collect();
                        let difference = known.then(|| match service.fingerprints {
                            None => difference(&signature(method), &there),
                            Some(_) => Difference {
                                place: "the signature".into(),
                                here: "that of the description".into(),
                                there: "another one".into(),
                            },
                        });
                        Err(Mismatch { method: name, difference })
                    }
                    number => Ok(number),
                });
            }
            Some(Answer::Welcome { in_place, methods })
        }
        VERSION => Some(Answer::Version(version)),
        FORMAT => Some(Answer::Format(r.text()?.to_owned())),
        REFUSED => Some(Answer::Refused(r.text()?.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ParamDesc;

    static NARROW: ServiceDesc = ServiceDesc {
        name: "Calc",
        docs: "",
        methods: &[MethodDesc {
            name: "add",
            docs: "",
            params: &[
                ParamDesc { name: "a", desc: <i64 as Message>::desc },
                ParamDesc { name: "b", desc: <i32 as Message>::desc },
            ],
            result: <i64 as Message>::desc,
            oneway: false,
            idempotent: false,
            asynchronous: false,
            long: false,
        }],
        callbacks: &[],
        fingerprints: None,
    };
    static WIDE: ServiceDesc = ServiceDesc {
        name: "Calc",
        docs: "",
        methods: &[MethodDesc {
            name: "add",
            docs: "",
            params: &[
                ParamDesc { name: "a", desc: <i64 as Message>::desc },
                ParamDesc { name: "b", desc: <i64 as Message>::desc },
            ],
            result: <i64 as Message>::desc,
            oneway: false,
            idempotent: false,
            asynchronous: false,
            long: false,
        }],
        callbacks: &[],
        fingerprints: None,
    };

    #[test]
    fn the_first_difference_is_named() {
        let theirs = signature(&NARROW.methods[0]);
        assert_ne!(fingerprint(&theirs), fingerprint(&signature(&WIDE.methods[0])));
        let packet = welcome(&[Err(Some(&theirs))], true);
        let Some(Answer::Welcome { methods, .. }) = answered(&packet, &[&WIDE]) else { panic!() };
        let text = methods[0].as_ref().unwrap_err().to_string();
        assert_eq!(text, "Calc::add argument 2: i64 here, i32 there");
        let Some(Answer::Welcome { methods, .. }) = answered(&welcome(&[Err(None)], true), &[&WIDE]) else { panic!() };
        assert!(methods[0].as_ref().unwrap_err().to_string().contains("no method Calc::add"));
    }

    #[test]
    fn differences_of_fields_and_of_length() {
        let lines = |all: &[&str]| all.iter().map(|l| l.to_string()).collect::<Vec<_>>();
        let here = lines(&["argument 1\tQuery", "argument 1\tQuery.limit: u32", "result\t()"]);
        let there = lines(&["argument 1\tQuery", "argument 1\tQuery.limit: u64", "result\t()"]);
        let d = difference(&here, &there);
        assert_eq!((&*d.place, &*d.here, &*d.there), ("argument 1, Query.limit", "u32", "u64"));
        let longer = lines(&["argument 1\tQuery", "argument 1\tQuery.limit: u32", "argument 2\tu8", "result\t()"]);
        let d = difference(&longer, &here);
        assert_eq!((&*d.place, &*d.here, &*d.there), ("argument 2", "u8", "nothing"));
        let d = difference(&here, &longer);
        assert_eq!((&*d.place, &*d.here, &*d.there), ("argument 2", "nothing", "u8"));
        let smaller = lines(&["argument 1\tQuery", "argument 2\tu8", "result\t()"]);
        let d = difference(&smaller, &longer);
        assert_eq!((&*d.place, &*d.here, &*d.there), ("argument 1", "nothing", "Query.limit: u32"));
        let more = lines(&["result\tHits", "result\tHits.all: Vec"]);
        let d = difference(&more[..1], &more);
        assert_eq!((&*d.place, &*d.here, &*d.there), ("result", "nothing", "Hits.all: Vec"));
    }

    #[test]
    fn packets_survive_the_way_and_every_cut_is_noticed() {
        let geometry = Geometry::new(8, 1 << 16, 1 << 16).unwrap();
        let packet = hello(&[&WIDE, &NARROW], &geometry, true, false).unwrap();
        let Asked::Hello(hello) = asked(&packet) else { panic!() };
        assert_eq!((hello.geometry, hello.callable, hello.in_place), (geometry, true, false));
        assert_eq!(hello.services.len(), 2);
        assert_eq!((hello.services[1].service, hello.services[1].methods.len()), ("Calc", 1));
        for cut in 0..packet.len() {
            assert!(matches!(asked(&packet[..cut]), Asked::Nonsense));
        }
        let packet = welcome(&[Ok(3)], false);
        for cut in 0..packet.len() {
            assert!(answered(&packet[..cut], &[&WIDE]).is_none());
        }
        let mut other = packet.clone();
        other[8] = 9;
        assert!(matches!(answered(&other, &[&WIDE]), Some(Answer::Version(9))));
    }
}
