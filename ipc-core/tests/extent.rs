//! The extent allocator against a map with one entry a unit.
#![cfg(not(loom))]

use ipc_core::extent::{Extent, Extents};
use ipc_core::layout::EXTENT;
use proptest::prelude::*;

/// One flag for each [`EXTENT`] bytes of an arena: is it allocated?
struct Map {
    at: u32,
    taken: Vec<bool>,
}

impl Map {
    fn units(&self, extent: &Extent) -> std::ops::Range<usize> {
        assert!(extent.len() > 0 && extent.len().is_multiple_of(EXTENT), "{extent:?}");
        assert!(extent.offset() >= self.at && (extent.offset() - self.at).is_multiple_of(EXTENT), "{extent:?}");
        let start = ((extent.offset() - self.at) / EXTENT) as usize;
        let end = start + (extent.len() / EXTENT) as usize;
        assert!(end <= self.taken.len(), "{extent:?} ends outside of the arena");
        start..end
    }

    /// Notes the units of an extent as allocated; none of them may be.
    fn take(&mut self, extent: &Extent) {
        for unit in self.units(extent) {
            assert!(!self.taken[unit], "unit {unit} belongs to two extents");
            self.taken[unit] = true;
        }
    }

    fn free(&mut self, extent: &Extent) {
        let units = self.units(extent);
        self.taken[units].fill(false);
    }

    /// Free units from `unit` on.
    fn free_from(&self, unit: usize) -> usize {
        self.taken[unit..].iter().take_while(|taken| !**taken).count()
    }

    fn longest_free(&self) -> usize {
        (0..self.taken.len()).map(|unit| self.free_from(unit)).max().unwrap_or(0)
    }

    /// The free run around `unit`.
    fn run_around(&self, unit: usize) -> (u32, u32) {
        let start = (0..=unit).rev().take_while(|&u| !self.taken[u]).last().unwrap();
        (self.at + start as u32 * EXTENT, self.free_from(start) as u32 * EXTENT)
    }

    fn used(&self) -> u64 {
        self.taken.iter().filter(|taken| **taken).count() as u64 * u64::from(EXTENT)
    }
}

/// Units that `len` bytes need.
fn needed(len: u32) -> usize {
    len.div_ceil(EXTENT).max(1) as usize
}

#[derive(Debug, Clone)]
enum Step {
    Take(u32),
    Extend(usize, u32),
    Shrink(usize, u32),
    Free(usize),
}

fn step() -> impl Strategy<Value = Step> {
    // Mostly small, so that the arena breaks into many runs; at times larger than the arena.
    let len = || prop_oneof![8 => 0..20 * EXTENT, 2 => 0..120 * EXTENT, 1 => any::<u32>()];
    prop_oneof![
        4 => len().prop_map(Step::Take),
        2 => (any::<usize>(), len()).prop_map(|(which, len)| Step::Extend(which, len)),
        2 => (any::<usize>(), len()).prop_map(|(which, len)| Step::Shrink(which, len)),
        3 => any::<usize>().prop_map(Step::Free),
    ]
}

proptest! {
    #[test]
    fn extents_behave_as_the_map(
        at in (0u32..100).prop_map(|page| page * 4096),
        units in 0usize..260,
        odd in 0..EXTENT,
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut all = Extents::new(at, units as u32 * EXTENT + odd);
        let mut map = Map { at, taken: vec![false; units] };
        let mut live: Vec<Extent> = vec![];
        for step in steps {
            match step {
                Step::Take(len) => match all.take(len) {
                    Some(extent) => {
                        prop_assert_eq!(extent.len() as usize, needed(len) * EXTENT as usize);
                        map.take(&extent);
                        live.push(extent);
                    }
                    None => prop_assert!(map.longest_free() < needed(len), "{len} bytes would have fitted"),
                },
                Step::Extend(..) | Step::Shrink(..) | Step::Free(_) if live.is_empty() => {}
                Step::Extend(which, len) => {
                    let number = which % live.len();
                    let extent = &mut live[number];
                    let (offset, before) = (extent.offset(), map.units(extent));
                    let fits = map.free_from(before.end) + before.len() >= needed(len);
                    map.free(extent);
                    prop_assert_eq!(all.extend(extent, len), fits);
                    prop_assert_eq!(extent.offset(), offset, "moved");
                    let expected = if fits { before.len().max(needed(len)) } else { before.len() };
                    prop_assert_eq!(extent.len() as usize, expected * EXTENT as usize);
                    map.take(extent);
                }
                Step::Shrink(which, len) => {
                    let number = which % live.len();
                    let extent = &mut live[number];
                    let (offset, before) = (extent.offset(), map.units(extent).len());
                    map.free(extent);
                    all.shrink(extent, len);
                    prop_assert_eq!(extent.offset(), offset, "moved");
                    prop_assert_eq!(extent.len() as usize, before.min(needed(len)) * EXTENT as usize);
                    map.take(extent);
                }
                Step::Free(which) => {
                    let extent = live.swap_remove(which % live.len());
                    let unit = map.units(&extent).start;
                    map.free(&extent);
                    prop_assert_eq!(all.free(extent), map.run_around(unit), "not joined with its neighbours");
                }
            }
            prop_assert_eq!(all.used(), map.used());
            let runs: Vec<_> = all.free_runs(1).collect();
            prop_assert_eq!(runs.iter().map(|run| run.1).max().unwrap_or(0), map.longest_free() as u32 * EXTENT);
            prop_assert_eq!(runs.iter().map(|run| u64::from(run.1)).sum::<u64>(), units as u64 * u64::from(EXTENT) - map.used());
        }
        for extent in live {
            let _ = all.free(extent);
        }
        prop_assert_eq!(all.used(), 0);
        if units > 0 {
            let whole = all.take(units as u32 * EXTENT);
            prop_assert_eq!(whole.map(|e| (e.offset(), e.len())), Some((at, units as u32 * EXTENT)), "not one run again");
        }
    }
}
