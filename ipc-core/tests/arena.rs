//! An arena of a real segment: whoever has an extent finds in it what was written there, whatever becomes of others.
#![cfg(not(any(loom, shuttle)))]

use ipc_core::arena::Arena;
use ipc_core::extent::Extent;
use ipc_core::layout::{CHUNK, EXTENT, Geometry};
use ipc_core::segment::{Area, Segment};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// At least so many bytes, and so many more if there is room.
    Take(u32, u32),
    Extend(usize, u32),
    Shrink(usize, u32),
    Free(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![4 => 0..40 * EXTENT, 2 => 0..2 * CHUNK, 1 => any::<u32>()];
    prop_oneof![
        4 => (len(), 0..CHUNK).prop_map(|(needed, more)| Step::Take(needed, more)),
        2 => (any::<usize>(), len()).prop_map(|(which, len)| Step::Extend(which, len)),
        2 => (any::<usize>(), len()).prop_map(|(which, len)| Step::Shrink(which, len)),
        3 => any::<usize>().prop_map(Step::Free),
    ]
}

/// Bytes that say whose they are.
fn fill(segment: &Segment, extent: &Extent, mark: u8) {
    let at = segment.bytes(Area::CallerArena, extent.offset(), extent.len()).expect("inside of the arena");
    // SAFETY: so many bytes, committed, and nobody else has them.
    unsafe { at.as_ptr().write_bytes(mark, extent.len() as usize) };
}

fn is_filled(segment: &Segment, extent: &Extent, mark: u8) -> bool {
    let at = segment.bytes(Area::CallerArena, extent.offset(), extent.len()).expect("inside of the arena");
    // SAFETY: as above.
    let bytes = unsafe { std::slice::from_raw_parts(at.as_ptr(), extent.len() as usize) };
    bytes.iter().all(|byte| *byte == mark)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn extents_keep_what_is_written(
        chunks in 1u32..5,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let geometry = Geometry::new(1, chunks * CHUNK, CHUNK).unwrap();
        let segment = Segment::create(geometry).unwrap();
        let arena = Arena::new(&segment, geometry.caller_arena_at(), geometry.caller_arena());
        let mut live: Vec<(Extent, u8)> = vec![];
        let mut next = 0u8;
        for step in steps {
            let which = |which: usize, live: &[_]| which % live.len();
            match step {
                Step::Take(needed, more) => {
                    if let Ok(extent) = arena.take(&segment, needed, needed.saturating_add(more)) {
                        prop_assert!(extent.len() >= needed);
                        next = next.wrapping_add(1);
                        fill(&segment, &extent, next);
                        live.push((extent, next));
                    }
                }
                _ if live.is_empty() => {}
                Step::Extend(n, len) => {
                    let n = which(n, &live);
                    let (extent, mark) = &mut live[n];
                    let before = extent.len();
                    let grown = arena.extend(&segment, extent, len);
                    let least = if grown { len.max(before) } else { before };
                    prop_assert!(extent.len() >= least);
                    fill(&segment, extent, *mark);
                }
                Step::Shrink(n, len) => {
                    let n = which(n, &live);
                    let before = live[n].0.len();
                    arena.shrink(&mut live[n].0, len);
                    prop_assert!(live[n].0.len() >= len.min(before) && live[n].0.len() <= before);
                }
                Step::Free(n) => {
                    let (extent, mark) = live.swap_remove(which(n, &live));
                    prop_assert!(is_filled(&segment, &extent, mark));
                    arena.free(extent);
                }
            }
            for (extent, mark) in &live {
                prop_assert!(is_filled(&segment, extent, *mark), "somebody else wrote to {extent:?}");
            }
            prop_assert_eq!(arena.usage().used, live.iter().map(|(extent, _)| u64::from(extent.len())).sum::<u64>());
        }
        for (extent, _) in live {
            arena.free(extent);
        }
        prop_assert_eq!(arena.usage().used, 0);
    }
}
