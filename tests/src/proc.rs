//! What `/proc` says of a process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// A thread of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The kernel function it sleeps in.
    pub waits_in: String,
    /// How often it has been switched off a core, willingly or not.
    pub switches: u64,
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// All threads of process `pid`.
pub fn threads(pid: u32) -> Vec<Thread> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut all: Vec<Thread> = tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let read = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
            let status = read("status");
            Some(Thread {
                id: path.file_name()?.to_str()?.parse().ok()?,
                name: read("comm").trim().to_owned(),
                waits_in: read("wchan"),
                switches: field(&status, "voluntary_ctxt_switches")? + field(&status, "nonvoluntary_ctxt_switches")?,
            })
        })
        .collect();
    all.sort_by_key(|t| t.id);
    all
}

/// Context switches of all threads of process `pid`, by thread.
pub fn switches(pid: u32) -> BTreeMap<u32, u64> {
    threads(pid).into_iter().map(|t| (t.id, t.switches)).collect()
}

/// What the descriptors of process `pid` are open on, sorted, with inode numbers left out.
pub fn descriptors(pid: u32) -> Vec<String> {
    let Ok(links) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let target = |link: fs::DirEntry| {
        let target = fs::read_link(link.path()).ok()?.to_string_lossy().into_owned();
        Some(target.split_once(":[").map_or(target.clone(), |(kind, _)| kind.to_owned()))
    };
    let mut all: Vec<String> = links.filter_map(|link| target(link.ok()?)).collect();
    all.sort();
    all
}

/// How many sockets process `pid` has; one that is open twice counts once.
pub fn sockets(pid: u32) -> usize {
    let Ok(links) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    let targets = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
    targets.filter(|t| t.to_string_lossy().starts_with("socket:")).collect::<BTreeSet<_>>().len()
}

/// How many segments process `pid` has mapped.
pub fn segments(pid: u32) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines().filter(|l| l.contains("memfd:ipc-rpc")).count()
}

/// What process `pid` has mapped of messages: the mappings, without their addresses.
pub fn mappings(pid: u32) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let memfds = maps.lines().filter(|line| line.contains("memfd:ipc-rpc"));
    let mut all: Vec<_> = memfds.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).collect();
    all.sort();
    all
}

/// Does the address lie in a segment of this very process?
pub fn is_shared(address: usize) -> bool {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().filter(|l| l.contains("memfd:ipc-rpc")).any(|line| {
        let range = line.split_whitespace().next().and_then(|r| r.split_once('-'));
        range.is_some_and(|(from, to)| {
            let number = |text| usize::from_str_radix(text, 16).unwrap_or(0);
            (number(from)..number(to)).contains(&address)
        })
    })
}

/// In which file, and how far from its start, memory of this very process lies: the number of the file, 0 for none.
pub fn place_of(address: usize) -> Option<(u64, u64)> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (from, to) = words.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (from, to, address) = (number(from)?, number(to)?, address as u64);
        let (offset, inode) = (number(words.nth(1)?)?, words.nth(1)?.parse().ok()?);
        (from..to).contains(&address).then_some((inode, address - from + offset))
    })
}

/// Bytes of memory that process `pid` has to itself, and bytes of shared memory that it has touched.
pub fn memory(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let of = |name| field(&status, name).unwrap_or(0) * 1024;
    (of("RssAnon"), of("RssShmem"))
}

/// Whether process `pid` is alive (a zombie is not).
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|s| !matches!(s, 'Z' | 'X'))
}

/// Has process `pid` a handler for `signal`?
pub fn handles(pid: u32, signal: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:")).map(str::trim);
    caught.and_then(|set| u64::from_str_radix(set, 16).ok()).is_some_and(|set| set >> (signal - 1) & 1 == 1)
}

/// Are all threads of process `pid` stopped by a signal?
pub fn is_stopped(pid: u32) -> bool {
    let stopped = |thread: Thread| {
        let stat = fs::read_to_string(format!("/proc/{pid}/task/{}/stat", thread.id)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    };
    threads(pid).into_iter().all(stopped)
}
