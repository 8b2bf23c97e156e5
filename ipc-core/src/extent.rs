//! Extents: the memory of messages that do not fit into a block, from an arena whose bookkeeping lives outside of it.
//!
//! # Algorithm
//! Segregated fit over a list of neighbouring runs. Free runs hang in size classes (eight to each power of two, so a class
//! wastes at most an eighth), two levels of bit masks find a class that surely fits; a run is split on allocation, and joined
//! with its neighbours when it is freed, all in constant time. The idea is that of TLSF (Masmano et al., 2004), with all
//! links in private vectors instead of headers in the memory itself.
//!
//! # Ownership
//! One process owns an arena and all of this; the peer sees only the bytes of what it was lent. A process killed at any
//! instruction leaves nothing to repair, a peer can corrupt nothing here.
//!
//! Pages are committed chunk by chunk before an extent is handed out (exhaustion is an error, never a signal), and
//! given back when they have not been needed for a while: `arena.rs`.

use crate::layout::EXTENT;

/// An allocated run: a place in the segment and the private number of its bookkeeping.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an extent that is not freed stays allocated"]
pub struct Extent {
    node: u32,
    offset: u32,
    len: u32,
}

impl Extent {
    /// Offset in the segment, a multiple of [`EXTENT`].
    pub fn offset(&self) -> u32 {
        self.offset
    }

    /// Bytes.
    #[allow(clippy::len_without_is_empty)] // An extent is never empty.
    pub fn len(&self) -> u32 {
        self.len
    }
}

const NONE: u32 = u32::MAX;
const CLASSES: usize = 32 * 8;

#[derive(Debug, Clone, Copy)]
struct Node {
    start: u32,
    units: u32,
    /// Neighbours in the arena.
    before: u32,
    after: u32,
    /// Links in the list of the size class while free; `next` also links unused nodes.
    previous: u32,
    next: u32,
    free: bool,
}

/// Allocates extents from the arena of `arena_len` bytes at segment offset `arena_at`. Sizes inside are in units of [`EXTENT`].
#[derive(Debug)]
pub struct Extents {
    arena_at: u32,
    nodes: Vec<Node>,
    unused: u32,
    heads: Box<[u32; CLASSES]>,
    powers: u32,
    classes: [u8; 32],
    used: u64,
}

impl Extents {
    /// An arena that is one free run.
    pub fn new(arena_at: u32, arena_len: u32) -> Self {
        let mut all = Extents {
            arena_at,
            nodes: Vec::with_capacity(64),
            unused: NONE,
            heads: Box::new([NONE; CLASSES]),
            powers: 0,
            classes: [0; 32],
            used: 0,
        };
        if arena_len >= EXTENT {
            let node = all.node(0, arena_len / EXTENT, NONE, NONE);
            all.link(node);
        }
        all
    }

    /// Bytes in allocated extents.
    pub fn used(&self) -> u64 {
        self.used * u64::from(EXTENT)
    }

    /// Free runs of at least `least` bytes, as segment offset and bytes: those of longer classes first.
    pub fn free_runs(&self, least: u32) -> impl Iterator<Item = (u32, u32)> {
        let units = least.div_ceil(EXTENT);
        let classes = (class_of(units)..CLASSES).rev().filter(|class| self.heads[*class] != NONE);
        let nodes = classes.flat_map(move |class| {
            let link = |node: u32| (node != NONE).then_some(node);
            std::iter::successors(link(self.heads[class]), move |node| link(self.nodes[*node as usize].next))
        });
        let runs = nodes.map(|node| &self.nodes[node as usize]).filter(move |run| run.units >= units);
        runs.map(|run| (self.arena_at + run.start * EXTENT, run.units * EXTENT))
    }

    /// Allocates at least `len` bytes, or `None` if no free run is that long.
    pub fn take(&mut self, len: u32) -> Option<Extent> {
        let units = len.div_ceil(EXTENT).max(1);
        let node = self.find(units)?;
        self.unlink(node);
        self.split(node, units);
        self.at(node).free = false;
        self.used += u64::from(units);
        Some(self.extent(node))
    }

    /// Makes an extent at least `len` bytes long without moving it, if the memory behind it is free.
    pub fn extend(&mut self, extent: &mut Extent, len: u32) -> bool {
        let wanted = len.div_ceil(EXTENT);
        let Node { units, after, .. } = *self.at(extent.node);
        if wanted <= units {
            return true;
        }
        if after == NONE || !self.at(after).free || units + self.at(after).units < wanted {
            return false;
        }
        self.unlink(after);
        self.absorb(extent.node, after);
        self.split(extent.node, wanted);
        self.used += u64::from(self.at(extent.node).units - units);
        *extent = self.extent(extent.node);
        true
    }

    /// Gives back what lies behind the first `len` bytes of an extent.
    pub fn shrink(&mut self, extent: &mut Extent, len: u32) {
        let units = self.at(extent.node).units;
        self.split(extent.node, len.div_ceil(EXTENT).max(1).min(units));
        self.used -= u64::from(units - self.at(extent.node).units);
        *extent = self.extent(extent.node);
    }

    /// Frees an extent; gives the free run it is part of now, as segment offset and bytes.
    pub fn free(&mut self, extent: Extent) -> (u32, u32) {
        let mut node = extent.node;
        self.used -= u64::from(self.at(node).units);
        let Node { before, after, .. } = *self.at(node);
        if after != NONE && self.at(after).free {
            self.unlink(after);
            self.absorb(node, after);
        }
        if before != NONE && self.at(before).free {
            self.unlink(before);
            self.absorb(before, node);
            node = before;
        }
        self.link(node);
        let Node { start, units, .. } = *self.at(node);
        (self.arena_at + start * EXTENT, units * EXTENT)
    }

    fn extent(&mut self, node: u32) -> Extent {
        let Node { start, units, .. } = *self.at(node);
        Extent { node, offset: self.arena_at + start * EXTENT, len: units * EXTENT }
    }

    // Node numbers never come from a peer: they are made in `node` and only ever kept in private fields.
    fn at(&mut self, node: u32) -> &mut Node {
        &mut self.nodes[node as usize]
    }

    fn node(&mut self, start: u32, units: u32, before: u32, after: u32) -> u32 {
        let new = Node { start, units, before, after, previous: NONE, next: NONE, free: false };
        if self.unused == NONE {
            self.nodes.push(new);
            return (self.nodes.len() - 1) as u32;
        }
        let node = self.unused;
        self.unused = self.at(node).next;
        *self.at(node) = new;
        node
    }

    /// Shortens `node` to `units`; the rest becomes a free run of its own, joined with a free one behind it.
    fn split(&mut self, node: u32, units: u32) {
        let Node { start, units: all, after, .. } = *self.at(node);
        if all == units {
            return;
        }
        self.at(node).units = units;
        let rest = self.node(start + units, all - units, node, after);
        self.at(node).after = rest;
        if after != NONE {
            self.at(after).before = rest;
            if self.at(after).free {
                self.unlink(after);
                self.absorb(rest, after);
            }
        }
        self.link(rest);
    }

    /// Joins `next`, which is in no list, into `node`, its neighbour before.
    fn absorb(&mut self, node: u32, next: u32) {
        let Node { units, after, .. } = *self.at(next);
        self.at(node).units += units;
        self.at(node).after = after;
        if after != NONE {
            self.at(after).before = node;
        }
        self.at(next).next = self.unused;
        self.unused = next;
    }

    fn link(&mut self, node: u32) {
        let class = class_of(self.at(node).units);
        let head = self.heads[class];
        let n = self.at(node);
        n.free = true;
        n.previous = NONE;
        n.next = head;
        if head != NONE {
            self.at(head).previous = node;
        }
        self.heads[class] = node;
        self.classes[class / 8] |= 1 << (class % 8);
        self.powers |= 1 << (class / 8);
    }

    fn unlink(&mut self, node: u32) {
        let Node { units, previous, next, .. } = *self.at(node);
        if next != NONE {
            self.at(next).previous = previous;
        }
        if previous != NONE {
            self.at(previous).next = next;
            return;
        }
        let class = class_of(units);
        self.heads[class] = next;
        if next == NONE {
            self.classes[class / 8] &= !(1 << (class % 8));
            if self.classes[class / 8] == 0 {
                self.powers &= !(1 << (class / 8));
            }
        }
    }

    /// A free run of at least `units`: the first of a class that surely fits, else the first that happens to fit in the
    /// class of `units` itself.
    fn find(&mut self, units: u32) -> Option<u32> {
        let exact = class_of(units);
        let from = if class_start(exact) >= units { exact } else { exact + 1 };
        if from < CLASSES {
            let (power, step) = (from / 8, from % 8);
            let here = self.classes[power] & (0xffu8 << step);
            if here != 0 {
                return Some(self.heads[power * 8 + here.trailing_zeros() as usize]);
            }
            let above = if power + 1 < 32 { self.powers & (u32::MAX << (power + 1)) } else { 0 };
            if above != 0 {
                let power = above.trailing_zeros() as usize;
                return Some(self.heads[power * 8 + self.classes[power].trailing_zeros() as usize]);
            }
        }
        let mut node = self.heads[exact];
        while node != NONE {
            if self.at(node).units >= units {
                return Some(node);
            }
            node = self.at(node).next;
        }
        None
    }
}

/// The size class of a run: power of two and the three bits behind the leading one.
fn class_of(units: u32) -> usize {
    if units < 8 {
        return units as usize;
    }
    let power = units.ilog2();
    let step = (units >> (power - 3)) & 7;
    ((power - 2) * 8 + step) as usize
}

/// The shortest run of a class.
fn class_start(class: usize) -> u32 {
    if class < 8 {
        return class as u32;
    }
    let (power, step) = ((class / 8 + 2) as u32, (class % 8) as u32);
    (8 + step) << (power - 3)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ordered_and_contain_their_start() {
        for class in 1..200 {
            assert_eq!(class_of(class_start(class)), class);
            assert!(class_start(class) < class_start(class + 1));
            assert_eq!(class_of(class_start(class + 1) - 1), class);
        }
        assert!(class_of(u32::MAX / EXTENT) < CLASSES);
    }

    #[test]
    fn takes_extends_shrinks_and_joins() {
        let mut all = Extents::new(4096, 64 * 16);
        let mut a = all.take(65).unwrap();
        assert_eq!((a.offset(), a.len()), (4096, 128));
        let b = all.take(1).unwrap();
        assert!(!all.extend(&mut a, 129), "b is in the way");
        let (at, len) = all.free(b);
        assert_eq!((at, len), (4096 + 128, 64 * 14));
        assert_eq!(all.free_runs(64).collect::<Vec<_>>(), [(at, len)]);
        assert!(all.free_runs(64 * 15).next().is_none());
        assert!(all.extend(&mut a, 64 * 16));
        assert!(all.take(1).is_none());
        all.shrink(&mut a, 64);
        assert_eq!(all.used(), 64);
        assert_eq!(all.free(a), (4096, 64 * 16));
        assert_eq!(all.used(), 0);
    }
}
