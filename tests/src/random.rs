//! Numbers that look random and are the same for the same seed.

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.any() % limit.max(1)
    }

    /// A number that is likely to be at some edge, or near one of `places`, of which there is one at least.
    pub fn edge(&mut self, places: &[u32]) -> u32 {
        let near = (self.below(5) as u32).wrapping_sub(2);
        match self.below(4) {
            0 => near,
            1 => (1u32 << self.below(32)).wrapping_add(near),
            2 => places[self.below(places.len() as u64) as usize].wrapping_add(near),
            _ => self.any() as u32,
        }
    }

    /// Once in so many times.
    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}
