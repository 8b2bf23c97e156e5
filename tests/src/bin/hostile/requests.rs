//! Attacks by requests whose words are as they should be: what they say is not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipc_core::layout::{INLINE_ROOM, RELEASE};
use ipc_core::segment::Area;
use ipc_core::word;
use ipc_rpc_tests::raw::{Peer, put};

use crate::attacker::Attacker;
use crate::service::{DOUBLED, NUMBERS, TOTAL, TWICE};

/// Longer than a server takes that does nothing else.
const SOON: Duration = Duration::from_millis(20);

/// Lends a block whose request has been written.
pub fn lend(peer: &Peer, block: u32) {
    if peer.set(block, word::REQUEST) & word::WATCHED == 0 {
        peer.push(block);
    }
}

/// Waits a moment for an answer. `false`: there is none, or the server has hung up.
pub fn settle(peer: &Peer, block: u32) -> bool {
    let begin = Instant::now();
    while peer.head(block).word.load(Ordering::Acquire) & word::STATE == word::REQUEST {
        if begin.elapsed() > SOON {
            return false;
        }
        thread::yield_now();
    }
    !peer.has_ended()
}

/// Sends a request about a stream or an object: any method, any tag.
fn say(peer: &Peer, block: u32, method: u16, target: u16, extra: u16, bytes: &[u8]) {
    peer.write(block, method, &bytes[..bytes.len().min(INLINE_ROOM as usize)]);
    peer.head(block).tag.store(u32::from(extra) << 16 | u32::from(target), Ordering::Relaxed);
    lend(peer, block);
}

pub fn attack(attacker: &mut Attacker) {
    let Some(peer) = attacker.attach() else { return };
    match attacker.random.below(8) {
        0..3 => archives(attacker, &peer),
        3 => deep_and_huge(attacker, &peer),
        4 => changing(attacker, &peer),
        5..7 => streams(attacker, &peer),
        _ => flood(attacker, &peer),
    }
}

/// Honest arguments with some bytes changed, which are offsets and lengths often; and contexts that there are none of.
fn archives(attacker: &mut Attacker, peer: &Peer) {
    for _ in 0..200 {
        let (method, mut bytes) = attacker.request();
        let random = &mut attacker.random;
        for _ in 0..=random.below(3) {
            let len = bytes.len() as u64;
            let at = random.below(len) as usize;
            let places = [len as u32, (len as u32).wrapping_neg(), at as u32, (at as u32).wrapping_neg()];
            match random.below(3) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = random.any() as u8,
                _ => {
                    let word = random.edge(&places).to_le_bytes();
                    let at = at & !3;
                    let len = bytes.len().min(at + 4) - at;
                    bytes[at..at + len].copy_from_slice(&word[..len]);
                }
            }
        }
        let block = random.below(16) as u32;
        let mut number = peer.numbers[usize::from(method)];
        let context = random.chance(4);
        if context {
            number |= 0x8000;
        }
        if bytes.len() > INLINE_ROOM as usize {
            let at = peer.segment.geometry().caller_arena_at() + 8 + 8192 * block;
            put(&peer.segment, Area::CallerArena, at, &bytes);
            peer.write(block, number, &[]);
            let head = peer.head(block);
            head.request_at.store(at, Ordering::Relaxed);
            head.request_len.store(bytes.len() as u32, Ordering::Relaxed);
            head.room.store(bytes.len() as u32 + random.below(64) as u32, Ordering::Relaxed);
        } else {
            peer.write(block, number, &bytes);
        }
        let extra = (bytes.len() as u64 / 8) << 4 | random.below(16);
        peer.head(block).tag.store((extra as u32) << 16, Ordering::Relaxed);
        lend(peer, block);
        attacker.count(if context { "context that is none" } else { "arguments with bytes changed" }, 1);
        if !settle(peer, block) {
            return;
        }
    }
}

/// Trees deeper than a message may be, in which the innermost refers to itself or to nothing; lists of more than there is.
fn deep_and_huge(attacker: &mut Attacker, peer: &Peer) {
    let Some((method, honest)) = attacker.requests.iter().find(|(method, _)| *method == 4).cloned() else { return };
    for _ in 0..50 {
        let random = &mut attacker.random;
        let block = random.below(16) as u32;
        let at = peer.segment.geometry().caller_arena_at() + 8 + 16_384 * block;
        // A tree is a number, and a list of trees: the offset of the first from here, and how many. Each of these has the
        // one before it as its only child.
        let size = 12usize;
        let levels = random.below(1300) as usize;
        let mut bytes = vec![0; size * levels];
        for level in 0..levels {
            let here = &mut bytes[size * level..size * (level + 1)];
            let (offset, count) = match (level, random.below(500)) {
                (0, _) => (0i32, 0u32),
                (_, 0) => (random.edge(&[12, 24]) as i32, random.edge(&[1, 1 << 20])),
                _ => (-(size as i32) - 4, 1),
            };
            here[4..8].copy_from_slice(&offset.to_le_bytes());
            here[8..12].copy_from_slice(&count.to_le_bytes());
        }
        if random.chance(3) {
            bytes = honest.clone();
            let len = bytes.len();
            bytes[len - 4..].copy_from_slice(&random.edge(&[1, 1 << 30]).to_le_bytes());
        }
        put(&peer.segment, Area::CallerArena, at, &bytes);
        peer.write(block, peer.numbers[usize::from(method)], &[]);
        let head = peer.head(block);
        head.request_at.store(at, Ordering::Relaxed);
        head.request_len.store(bytes.len() as u32, Ordering::Relaxed);
        head.room.store(16_376, Ordering::Relaxed);
        lend(peer, block);
        attacker.count("deep nesting, huge counts", 1);
        if !settle(peer, block) {
            return;
        }
    }
}

/// Bytes that go on changing while the request is checked and while its handler reads.
fn changing(attacker: &mut Attacker, peer: &Peer) {
    let found = attacker.requests.iter().find(|(method, _)| usize::from(*method) == TWICE).cloned();
    let Some((_, honest)) = found else { return };
    let at = peer.segment.geometry().caller_arena_at() + 8;
    put(&peer.segment, Area::CallerArena, at, &honest);
    let over = AtomicBool::new(false);
    let mut flips: Vec<(u32, u8)> = Vec::new();
    for _ in 0..=attacker.random.below(4) {
        let place = attacker.random.below(honest.len() as u64) as usize;
        flips.push((place as u32, honest[place] ^ 1 << attacker.random.below(8)));
    }
    thread::scope(|scope| {
        let (over, flips, honest) = (&over, &flips, &honest);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                for (place, value) in flips {
                    put(&peer.segment, Area::CallerArena, at + place, &[*value]);
                    put(&peer.segment, Area::CallerArena, at + place, &[honest[*place as usize]]);
                }
            }
        });
        for n in 0..100 {
            let block = n % 16;
            peer.write(block, peer.numbers[TWICE], &[]);
            let head = peer.head(block);
            head.request_at.store(at, Ordering::Relaxed);
            head.request_len.store(honest.len() as u32, Ordering::Relaxed);
            head.room.store(honest.len() as u32, Ordering::Relaxed);
            lend(peer, block);
            attacker.count("bytes that change after they were checked", 1);
            if !settle(peer, block) {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// Word about streams: those that there are, in the wrong order and number, and those that there are none of.
fn streams(attacker: &mut Attacker, peer: &Peer) {
    const NEXT: u16 = 0x3f00;
    const OPEN_INPUT: u16 = 0x3f01;
    const ITEM: u16 = 0x3f02;
    const END: u16 = 0x3f03;
    const CLOSE: u16 = 0x3f04;
    let items = [5u64.to_le_bytes().as_slice(), &[1, 2, 3], &[0xff; 100]].map(<[u8]>::to_vec);
    for _ in 0..150 {
        let random = &mut attacker.random;
        let block = random.below(16) as u32;
        let stream = if random.chance(8) { random.any() as u16 } else { random.below(4) as u16 };
        let number = if random.chance(3) { random.any() as u16 } else { random.below(300) as u16 };
        let item = &items[random.below(3) as usize];
        match random.below(9) {
            0 => say(peer, block, peer.numbers[NUMBERS], stream, 0, &u32::MAX.to_le_bytes()),
            1 => say(peer, block, OPEN_INPUT, stream, number, &[]),
            2 => say(peer, block, peer.numbers[[TOTAL, DOUBLED][random.below(2) as usize]], stream, 0, &[]),
            3 | 4 => say(peer, block, NEXT, stream, number, &[]),
            5 => say(peer, block, ITEM, stream, number, item),
            6 => say(peer, block, END, stream, number, item),
            7 => say(peer, block, CLOSE, stream, number % 8, &[]),
            _ => say(peer, block, 0x3f05 + random.below(0x30) as u16, stream, number, item),
        }
        attacker.count("streams: credits, items, ends, numbers", 1);
        // Items and credits that are not due stay; their blocks are used again nevertheless, now and then.
        if attacker.random.chance(2) && !settle(peer, block) && peer.has_ended() {
            return;
        }
    }
}

/// As many requests as fit, again and again; nobody reads the answers, or gives their memory back.
fn flood(attacker: &mut Attacker, peer: &Peer) {
    let at = peer.segment.geometry().caller_arena_at() + 8;
    let archive = attacker.requests.iter().filter(|(method, _)| *method == 1).max_by_key(|(_, bytes)| bytes.len());
    let Some((method, list)) = archive.cloned() else { return };
    let begin = Instant::now();
    let mut sent = 0;
    put(&peer.segment, Area::CallerArena, at, &list);
    while begin.elapsed() < Duration::from_millis(30) && !peer.has_ended() {
        for block in 0..16 {
            if peer.head(block).word.load(Ordering::Acquire) & word::STATE == word::REQUEST {
                continue;
            }
            peer.write(block, peer.numbers[usize::from(method)], &[]);
            let head = peer.head(block);
            head.request_at.store(at, Ordering::Relaxed);
            head.request_len.store(list.len() as u32, Ordering::Relaxed);
            head.room.store(list.len() as u32, Ordering::Relaxed);
            if attacker.random.chance(50) {
                head.method.store(RELEASE, Ordering::Relaxed);
            }
            head.word.store(word::REQUEST, Ordering::Release);
            peer.push(block);
            sent += 1;
        }
        thread::yield_now();
    }
    attacker.count("flood of requests whose replies are not read", sent);
}
