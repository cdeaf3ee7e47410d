//! Random numbers that a seed determines.

/// A generator of pseudorandom numbers (`SplitMix64`).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is above 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Whether an event of this probability happens.
    pub(super) fn percent(&mut self, probability: usize) -> bool {
        self.below(100) < probability
    }

    /// Lines of text, less than `limit` bytes together.
    pub(super) fn text(&mut self, limit: usize) -> Vec<u8> {
        let length = self.below(limit);
        let mut text = Vec::with_capacity(length + 17);
        while text.len() < length {
            text.extend(format!("{:016x}\n", self.next()).bytes());
        }
        text.truncate(length);
        text
    }

    /// A UUID.
    pub(super) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        )
    }
}
