//! Which keys are asked for: the same seeded zipf sequence in every stack, drawn before the first request.

use std::{
    cell::Cell,
    io::Write,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Zipf};

/// Keys are `cache:0` … `cache:99999`.
pub const KEYS: u32 = 100_000;

/// What `cache_set` writes: 1 KiB.
pub const VALUE: &[u8] = &[b'x'; 1024];

/// Skew of the popularity: the exponent that YCSB made customary.
const EXPONENT: f64 = 0.99;

/// Any constant will do, as long as all stacks share it.
const SEED: u64 = 0x5EED_0CAC_4E00;

/// Length of the sequence, which then repeats. A power of two; 256 KiB of draws, read one after the other, cost no more
/// than a cache line every sixteenth request.
const DRAWS: usize = 1 << 16;

/// How far apart two threads start in the sequence: its golden section, which spreads any number of threads evenly.
const STRIDE: u32 = 40_503;

static SEQUENCE: LazyLock<Box<[u32]>> = LazyLock::new(|| {
    let mut random = StdRng::seed_from_u64(SEED);
    // Cannot fail: the number of keys is positive and so is the exponent.
    let zipf = Zipf::new(f64::from(KEYS), EXPONENT).expect("a valid distribution");
    // Ranks begin at 1, keys at 0.
    (0..DRAWS).map(|_| zipf.sample(&mut random) as u32 - 1).collect()
});

static THREADS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static POSITION: Cell<u32> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed).wrapping_mul(STRIDE));
}

/// Draws the sequence, so that no request pays for it. Servers call this before they listen.
pub fn prepare() {
    LazyLock::force(&SEQUENCE);
}

/// The next key of this thread's walk through the sequence.
#[must_use]
pub fn draw() -> Key {
    let position = POSITION.get();
    POSITION.set(position.wrapping_add(1));
    Key::new(SEQUENCE[position as usize % DRAWS])
}

/// Lets this thread's walk begin where that of a program's thread of this number would: for a stack of many processes, in
/// each of which the first thread would otherwise take the same walk.
pub fn begin_walk(number: u32) {
    POSITION.set(number.wrapping_mul(STRIDE));
}

/// The name of a key, made without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    text: [u8; Self::LONGEST],
    length: u8,
}

impl Key {
    const LONGEST: usize = "cache:4294967295".len();

    /// The key with this number.
    #[must_use]
    pub fn new(number: u32) -> Self {
        let mut text = [0; Self::LONGEST];
        let mut rest = &mut text[..];
        // Cannot fail: the buffer holds the longest number.
        write!(rest, "cache:{number}").expect("room for every number");
        let length = (Self::LONGEST - rest.len()) as u8;
        Self { text, length }
    }

    /// Its name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_by_their_number() {
        assert_eq!(Key::new(0).as_bytes(), b"cache:0");
        assert_eq!(Key::new(99_999).as_bytes(), b"cache:99999");
        assert_eq!(Key::new(u32::MAX).as_bytes(), b"cache:4294967295");
    }

    #[test]
    fn draws_stay_in_range_and_favour_the_first_keys() {
        assert!(SEQUENCE.iter().all(|&key| key < KEYS));
        let hottest = SEQUENCE.iter().filter(|&&key| key == 0).count() as f64 / DRAWS as f64;
        // With s = 0.99 and 100 000 keys the harmonic sum is about 12.8, so the first key has a share of 1/12.8.
        assert!((0.07..0.09).contains(&hottest), "share of the hottest key: {hottest}");
    }

    #[test]
    fn threads_start_at_different_places() {
        let first = std::thread::spawn(|| (0..8).map(|_| draw()).collect::<Vec<_>>()).join().unwrap();
        let second = std::thread::spawn(|| (0..8).map(|_| draw()).collect::<Vec<_>>()).join().unwrap();
        assert_ne!(first, second);
    }
}
