//! Repeatable chance. In: a seed and a request's number. Out: the same throws every time, without a
//! state shared between requests, so that request 4711 is the same in every run and for every target.

/// Throws for one request (SplitMix64: 64 bits of state, passes BigCrush, a few instructions).
pub struct Dice(u64);

impl Dice {
    /// The throws that belong to `number` under `seed`.
    pub fn of(seed: u64, number: u64) -> Self {
        let mut dice = Self(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        dice.next();
        dice
    }

    /// 64 even bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number in `0..limit`; `limit` is not 0. (High word of the product: no modulo bias worth naming.)
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// One of `choices`, which is not empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// True in `share` of all throws; `share` is in 0..=1.
    pub fn chance(&mut self, share: f64) -> bool {
        ((self.next() >> 11) as f64) < share * (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn the_same_seed_and_number_throw_the_same() {
        let throws = |seed, number| {
            let mut dice = Dice::of(seed, number);
            [dice.next(), dice.next(), dice.below(10)]
        };
        assert_eq!(throws(1, 2), throws(1, 2));
        assert_ne!(throws(1, 2), throws(1, 3));
        assert_ne!(throws(1, 2), throws(2, 2));
    }

    #[test]
    fn throws_are_even_and_in_range() {
        let mut counts = [0_u32; 10];
        let mut hits = 0;
        for number in 0..100_000 {
            let mut dice = Dice::of(7, number);
            counts[dice.below(10) as usize] += 1;
            hits += u32::from(dice.chance(0.25));
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        assert!((24_000..26_000).contains(&hits), "{hits}");
        let mut dice = Dice::of(7, 0);
        assert!((0..1000).all(|_| dice.chance(1.0)) && (0..1000).all(|_| !dice.chance(0.0)));
    }
}
