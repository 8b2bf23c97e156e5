//! Attacks before there is any shared memory: handshakes that end half-way, packets that are none, descriptors that are wrong.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use ipc_core::segment::Segment;
use ipc_core::{clock, socket};
use ipc_rpc_tests::raw;
use ipc_rpc_tests::system::{self, SEALS};

use crate::attacker::Attacker;

fn connect(attacker: &Attacker) -> OwnedFd {
    socket::connect(Path::new(&attacker.path), clock::after(Duration::from_secs(10))).expect("a server")
}

pub fn attack(attacker: &mut Attacker) {
    match attacker.random.below(4) {
        0 => half_way(attacker),
        1 => packets(attacker),
        2 => descriptors(attacker),
        _ => silence(attacker),
    }
}

/// Hangs up after each step there is.
fn half_way(attacker: &mut Attacker) {
    let segment = Segment::create(raw::geometry(&attacker.plain)).expect("memory");
    let socket = connect(attacker);
    let step = attacker.random.below(6);
    if step > 0 {
        let hello = if step == 1 { &attacker.plain[..40] } else { attacker.plain.as_slice() };
        let descriptors: &[BorrowedFd<'_>] = if step == 2 { &[] } else { &[segment.descriptor()] };
        let _ = system::send(socket.as_fd(), hello, descriptors);
    }
    if step > 3 {
        let _ = raw::receive(socket.as_fd());
    }
    if step == 5 {
        // Once more, over a connection that is one already.
        let _ = system::send(socket.as_fd(), &attacker.plain, &[segment.descriptor()]);
        let _ = system::send(socket.as_fd(), b"", &[]);
    }
    attacker.count("handshake that ends half-way", 1);
}

/// Bytes of the first packet that are others, fewer, or far too many.
fn packets(attacker: &mut Attacker) {
    let segment = Segment::create(raw::geometry(&attacker.plain)).expect("memory");
    for _ in 0..10 {
        let random = &mut attacker.random;
        let mut hello = attacker.plain.clone();
        match random.below(4) {
            0 => hello.truncate(random.below(hello.len() as u64) as usize),
            1 => hello.resize(random.below(70_000) as usize, random.any() as u8),
            2 => {
                // The numbers of its geometry.
                let at = raw::callable_at(&hello) - 12 + 4 * random.below(3) as usize;
                let number = random.edge(&[16, 1 << 18, 1 << 30, 16_384]);
                hello[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            _ => {
                for _ in 0..=random.below(4) {
                    let at = random.below(hello.len() as u64) as usize;
                    hello[at] = random.any() as u8;
                }
            }
        }
        if hello.is_empty() {
            hello.push(0);
        }
        let socket = connect(attacker);
        if system::send(socket.as_fd(), &hello, &[segment.descriptor()]).is_ok() {
            let _ = raw::receive(socket.as_fd());
        }
        attacker.count("first packet that is none", 1);
    }
}

/// None, too many, and such as are no memory or not sealed.
fn descriptors(attacker: &mut Attacker) {
    let geometry = raw::geometry(&attacker.plain);
    let len = geometry.len();
    let segment = Segment::create(geometry).expect("memory");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (end, _other) = socket::pair().expect("a pair of sockets");
    let wrong: [OwnedFd; 13] = [
        system::memfd(len, 0),
        system::memfd(len, libc::F_SEAL_SHRINK),
        system::memfd(len, libc::F_SEAL_SHRINK | libc::F_SEAL_GROW),
        system::memfd(len, SEALS | libc::F_SEAL_WRITE),
        system::memfd(len - 4096, SEALS),
        system::memfd(len + 4096, SEALS),
        system::memfd(0, SEALS),
        reader.into(),
        writer.into(),
        end,
        File::open("/").expect("a directory").into(),
        File::open("/dev/null").expect("a device").into(),
        File::open("/proc/self/exe").expect("a program").into(),
    ];
    let at = attacker.random.below(wrong.len() as u64 + 3) as usize;
    let good = segment.descriptor();
    let sent: Vec<BorrowedFd<'_>> = match wrong.get(at) {
        Some(one) => vec![one.as_fd()],
        None => vec![good; [0, 2, 8][at - wrong.len()]],
    };
    let hello = if attacker.random.chance(4) { &attacker.callable } else { &attacker.plain };
    let (_socket, answer) = raw::greet(&attacker.path, hello, &sent);
    assert!(answer.is_none_or(|answer| answer.get(12) == Some(&3)), "it was let in with descriptor {at}");
    attacker.count("descriptors: none, surplus, unsealed, pipes, folders", 1);
}

/// Connects and says nothing, many times, while others want to be heard.
fn silence(attacker: &mut Attacker) {
    let all: Vec<OwnedFd> = (0..20).map(|_| connect(attacker)).collect();
    attacker.count("connections that say nothing", all.len() as u64);
}
