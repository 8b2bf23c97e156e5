//! Attacks over the channel back: a client that lends objects and does not answer calls as an honest one does.

use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use ipc_core::segment::Segment;
use ipc_core::socket;
use ipc_rpc_tests::random::Random;
use ipc_rpc_tests::raw::{self, Peer};
use ipc_rpc_tests::system;

use crate::attacker::Attacker;
use crate::liar;
use crate::requests::{lend, settle};
use crate::service::{KEEP, METHODS_OF_EAR, TELL};

pub fn attack(attacker: &mut Attacker) {
    let (ours, theirs) = socket::pair().expect("a pair of sockets");
    let Some(peer) = Peer::try_attach(&attacker.path, &attacker.callable, &[theirs.as_fd()]) else { return };
    drop(theirs);
    let mut random = Random::new(attacker.random.any());
    thread::scope(|scope| {
        let back = scope.spawn(move || answer(&ours, &mut random));
        for n in 0..20u32 {
            // How often it is to be told, and the number of the object; `tell_later` takes the same.
            let number = attacker.random.edge(&[1, 1 << 16]);
            let (method, request) = match attacker.random.below(3) {
                0 => (KEEP, number.to_le_bytes().to_vec()),
                later => (TELL + later as usize - 1, [[3u8, 0, 0, 0], number.to_le_bytes()].concat()),
            };
            let block = n % 16;
            peer.write(block, peer.numbers[method], &request);
            lend(&peer, block);
            attacker.count("calls of objects that lie", 1);
            if !settle(&peer, block) && peer.has_ended() {
                break;
            }
        }
        // Word about objects, which is for clients to hear.
        for method in 0x3f10..0x3f14 {
            peer.write(15, method, &[]);
            lend(&peer, 15);
            settle(&peer, 15);
            attacker.count("word about objects, to the server", 1);
        }
        socket::shut_down(peer.socket.as_fd());
        let lies = back.join().expect("a liar that ends");
        attacker.count("answers of objects that lie", lies);
    });
}

/// Plays the client's side of the channel back for a moment.
fn answer(socket: &OwnedFd, random: &mut Random) -> u64 {
    let soon = ipc_core::clock::after(Duration::from_millis(60));
    if random.chance(8) || !socket::wait_readable(socket.as_fd(), soon).unwrap_or(false) {
        return 0;
    }
    let Some((hello, mut descriptors)) = raw::receive(socket.as_fd()) else { return 0 };
    if descriptors.is_empty() {
        return 0;
    }
    let welcome = raw::welcome(&hello, METHODS_OF_EAR);
    let answer = match random.below(8) {
        0 => return 1,
        1 => b"no".to_vec(),
        2 => welcome[..random.below(welcome.len() as u64) as usize].to_vec(),
        3 => vec![0xff; 5000],
        _ => welcome,
    };
    let _ = system::send(socket.as_fd(), &answer, &[]);
    let Ok(segment) = Segment::open(descriptors.remove(0), raw::geometry(&hello)) else { return 1 };
    let begin = Instant::now();
    let mut lies = 0;
    while begin.elapsed() < Duration::from_millis(40) {
        lies += liar::lie(&segment, random);
        if lies > 0 && random.chance(20) {
            socket::ring(socket.as_fd());
        }
        thread::yield_now();
    }
    lies
}
