//! Attacks on the shared memory itself: each field that `docs/layout.md` has a number for, any byte anywhere, and the file.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use ipc_core::layout::{INLINE, INLINE_ROOM};
use ipc_core::queue::Kind;
use ipc_core::{socket, word};
use ipc_rpc_tests::raw::Peer;
use ipc_rpc_tests::system;

use crate::attacker::Attacker;

/// Steps of one attacker before it comes anew.
const STEPS: u64 = 400;

/// Offsets that mean something in the memory of `peer`.
fn places(peer: &Peer, block: u32) -> [u32; 8] {
    let g = peer.segment.geometry();
    let inline = g.block_at(block) + INLINE;
    let end = g.len() as u32;
    [inline, inline + INLINE_ROOM, g.block_at(0), g.caller_arena_at(), g.callee_arena_at(), end, 4096, 64]
}

/// Comes as an honest client, and goes on as none.
pub fn attack(attacker: &mut Attacker) {
    let Some(peer) = attacker.attach() else { return };
    let file = File::from(peer.segment.descriptor().try_clone_to_owned().expect("a descriptor"));
    // Some attackers try everything, some one thing again and again.
    let only = if attacker.random.chance(2) { Some(attacker.random.below(KINDS)) } else { None };
    for step in 0..STEPS {
        let block = attacker.random.below(8) as u32;
        if attacker.random.chance(3) {
            send(attacker, &peer, block);
            continue;
        }
        let kind = only.unwrap_or_else(|| attacker.random.below(KINDS));
        let kind = corrupt(attacker, &peer, &file, block, kind);
        attacker.count(kind, 1);
        if step % 16 == 0 && peer.has_ended() {
            return;
        }
    }
    if attacker.random.chance(3) {
        // Gone, as it seems, and goes on.
        socket::shut_down(peer.socket.as_fd());
        for block in 0..16 {
            send(attacker, &peer, block);
        }
        attacker.count("goes on after it has hung up", 1);
    }
}

/// An honest request, if the block can have one.
fn send(attacker: &mut Attacker, peer: &Peer, block: u32) {
    let (method, bytes) = attacker.request();
    if bytes.len() <= INLINE_ROOM as usize {
        peer.write(block, peer.numbers[usize::from(method)], &bytes);
    }
    let wish = [0, 0, word::PARKED, word::ANNOUNCE][attacker.random.below(4) as usize];
    if peer.set(block, word::REQUEST | wish) & word::WATCHED == 0 {
        peer.push(block);
    }
}

const KINDS: u64 = 17;

fn corrupt(attacker: &mut Attacker, peer: &Peer, file: &File, block: u32, kind: u64) -> &'static str {
    let random = &mut attacker.random;
    let (head, places) = (peer.head(block), places(peer, block));
    match kind {
        0 => {
            let legal = [0, 1, 2, 0x12, 0x21, 0x41, 0x81, 0xe1];
            let value = if random.chance(3) { random.edge(&places) } else { legal[random.below(8) as usize] };
            peer.set(block, value);
            "state word (L8.1)"
        }
        1 => {
            head.tag.store(random.edge(&places), Ordering::Relaxed);
            "tag (L8.2)"
        }
        2 => {
            head.method.store(random.edge(&places) as u16, Ordering::Relaxed);
            "method (L8.3)"
        }
        3 => {
            head.request_at.store(random.edge(&places), Ordering::Relaxed);
            "request_at (L8.5)"
        }
        4 => {
            head.request_len.store(random.edge(&places), Ordering::Relaxed);
            "request_len (L8.6)"
        }
        5 => {
            head.room.store(random.edge(&places), Ordering::Relaxed);
            "room (L8.7)"
        }
        6 => {
            head.status.store(random.any() as u16, Ordering::Relaxed);
            head.reply_at.store(random.edge(&places), Ordering::Relaxed);
            head.reply_len.store(random.edge(&places), Ordering::Relaxed);
            "fields that are the server's (L8.4, L8.8, L8.9)"
        }
        7 => {
            head.deadline.store([0, 1, random.any(), u64::MAX][random.below(4) as usize], Ordering::Relaxed);
            "deadline (L8.10)"
        }
        8 => {
            if let Some(taken) = peer.segment.taken(block) {
                taken.store(random.any() as u32, Ordering::Relaxed);
            }
            "taken (L16)"
        }
        9 => {
            let cells = [peer.segment.request_cells(), peer.segment.announcement_cells()][random.below(2) as usize];
            cells[random.below(cells.len() as u64) as usize].store(random.any(), Ordering::Relaxed);
            "cell"
        }
        10 => {
            let kind = [Kind::Request, Kind::Announcement][random.below(2) as usize];
            peer.push_offset(kind, random.edge(&places));
            "offset in a queue"
        }
        11 => {
            let flags = [peer.segment.callee_flags(), peer.segment.caller_flags()][random.below(2) as usize];
            flags.asleep.store(random.edge(&places), Ordering::Relaxed);
            flags.core.store(random.edge(&places), Ordering::Relaxed);
            flags.woken_at.store(random.any(), Ordering::Relaxed);
            "sleep flag, core, time of waking (L9)"
        }
        12 => {
            peer.head(block).word.fetch_or(word::CANCELLED, Ordering::AcqRel);
            "cancel flag"
        }
        13 => {
            let mut bytes = [0; 8];
            bytes.fill_with(|| random.any() as u8);
            let at = random.below(peer.segment.geometry().len());
            let _ = file.write_at(&bytes[..1 + random.below(8) as usize], at);
            "bytes anywhere"
        }
        14 => {
            // All of the head and the queues.
            let mut bytes = vec![0; 16 + random.below(500) as usize];
            bytes.fill_with(|| random.any() as u8);
            let at = random.below(u64::from(peer.segment.geometry().caller_arena_at()));
            let _ = file.write_at(&bytes, at);
            "many bytes among the words"
        }
        15 => {
            let (at, len) = (random.below(peer.segment.geometry().len()) & !4095, random.below(1 << 18) & !4095);
            assert!(file.set_len(at).is_err(), "a sealed file has shrunk");
            assert!(file.set_len(1 << 30).is_err(), "a sealed file has grown");
            assert!(system::add_seals(file.as_fd()).is_err(), "a sealed file was sealed further");
            let _ = system::punch(file.as_fd(), at, len.max(4096));
            "file shrunk, grown, sealed, punched"
        }
        _ => {
            for _ in 0..16 {
                socket::ring(peer.socket.as_fd());
            }
            let bytes = vec![7; random.below(3000) as usize];
            let _ = system::send(peer.socket.as_fd(), &bytes, &[file.as_fd(), peer.socket.as_fd()]);
            "doorbell: rings, packets, descriptors"
        }
    }
}
