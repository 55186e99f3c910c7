//! When requests are due in the open loop: instants that are fixed before the first is sent.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::units::NS_PER_S;

/// How arrivals are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// At equal distances.
    Constant,
    /// As independent users arrive: exponentially distributed distances.
    Poisson,
}

/// Requests per second over the run, all loops together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// At the beginning, for `hold_ns`.
    pub from: f64,
    /// After the change that follows, and from then on; in between it changes steadily.
    pub to: f64,
    /// How long it stays as it is at the beginning.
    pub hold_ns: u64,
    /// Length of the change.
    pub over_ns: u64,
}

impl Rate {
    /// The same all the time.
    pub fn constant(per_second: f64) -> Self {
        Self { from: per_second, to: per_second, hold_ns: 0, over_ns: 0 }
    }

    /// Seconds from the beginning after which `count` requests were due: the inverse of the integral of the rate.
    fn instant_s(&self, count: f64) -> f64 {
        let (hold_s, over_s) = (seconds(self.hold_ns), seconds(self.over_ns));
        let held = self.from * hold_s;
        if count < held {
            return count / self.from;
        }
        if self.from == 0.0 && count <= 0.0 {
            // The integral stays 0 for as long as nothing is due.
            return hold_s;
        }
        let (count, ramp) = (count - held, over_s * (self.from + self.to) / 2.0);
        if count >= ramp {
            return hold_s + over_s + (count - ramp) / self.to;
        }
        // from·t + (to − from)/(2·over)·t² = count, in the form that does not cancel where the slope is small.
        let slope = (self.to - self.from) / over_s;
        hold_s + 2.0 * count / (self.from + (self.from * self.from + 2.0 * slope * count).max(0.0).sqrt())
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / NS_PER_S as f64
}

/// The instants of one loop, in order, for ever.
#[derive(Debug)]
pub struct Arrivals {
    rate: Rate,
    origin_ns: u64,
    /// Requests due so far, of a process of rate 1.
    count: f64,
    /// Distance between this loop's arrivals in that process, or its mean.
    step: f64,
    random: Option<StdRng>,
    next_ns: u64,
}

impl Arrivals {
    /// Those of loop `number`, with `share` of all arrivals. Constant ones of several loops interleave; Poisson ones
    /// of several loops together are Poisson again.
    pub fn new(rate: Rate, arrival: Arrival, seed: u64, number: u32, share: f64, origin_ns: u64) -> Self {
        let step = 1.0 / share;
        let random = (arrival == Arrival::Poisson).then(|| {
            // Seed and loop together are the cipher's key, so that no loop repeats another's instants.
            let mut key = [0; 32];
            key[..8].copy_from_slice(&seed.to_le_bytes());
            key[8..12].copy_from_slice(&number.to_le_bytes());
            StdRng::from_seed(key)
        });
        let mut arrivals = Self { rate, origin_ns, count: 0.0, step, random, next_ns: origin_ns };
        match arrivals.random {
            // The first one comes at once, or, beside other loops, in its turn.
            None => arrivals.count = f64::from(number),
            Some(_) => arrivals.count = arrivals.distance(),
        }
        arrivals.next_ns = arrivals.instant_ns();
        arrivals
    }

    /// When the next request is due.
    #[inline]
    pub fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Goes on to the one after it.
    pub fn advance(&mut self) {
        self.count += self.distance();
        self.next_ns = self.instant_ns();
    }

    fn distance(&mut self) -> f64 {
        match &mut self.random {
            None => self.step,
            // 1 − u lies in (0, 1].
            Some(random) => -(1.0 - random.random::<f64>()).ln() * self.step,
        }
    }

    fn instant_ns(&self) -> u64 {
        self.origin_ns.saturating_add((self.rate.instant_s(self.count) * NS_PER_S as f64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(mut arrivals: Arrivals, count: usize) -> Vec<u64> {
        let next = |_| {
            let at_ns = arrivals.next_ns();
            arrivals.advance();
            at_ns
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn constant_arrivals_of_several_loops_interleave() {
        let rate = Rate::constant(1000.0);
        let loops = (0..2).map(|number| due(Arrivals::new(rate, Arrival::Constant, 0, number, 0.5, 5), 2));
        assert_eq!(loops.collect::<Vec<_>>(), [[5, 2_000_005], [1_000_005, 3_000_005]]);
    }

    #[test]
    fn a_ramp_holds_as_many_requests_as_its_mean_rate() {
        let rate = Rate { from: 0.0, to: 1000.0, hold_ns: 0, over_ns: 2 * NS_PER_S };
        let arrivals = due(Arrivals::new(rate, Arrival::Constant, 0, 0, 1.0, 0), 1600);
        let before = |at_ns| arrivals.iter().filter(|due_ns| **due_ns < at_ns).count();
        assert_eq!((before(NS_PER_S), before(2 * NS_PER_S)), (250, 1000));
        assert_eq!(arrivals[1501] - arrivals[1500], 1_000_000);
    }

    #[test]
    fn the_first_rate_is_held_before_it_changes() {
        let rate = Rate { from: 100.0, to: 300.0, hold_ns: NS_PER_S, over_ns: NS_PER_S };
        let arrivals = due(Arrivals::new(rate, Arrival::Constant, 0, 0, 1.0, 0), 601);
        let before = |at_ns| arrivals.iter().filter(|due_ns| **due_ns < at_ns).count();
        assert_eq!([1, 2, 3].map(|second| before(second * NS_PER_S)), [100, 300, 600]);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_asked_for_and_exponential_distances() {
        let rate = Rate::constant(1000.0);
        let arrivals = due(Arrivals::new(rate, Arrival::Poisson, 7, 0, 1.0, 0), 100_000);
        let distances: Vec<f64> = arrivals.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let over = distances.iter().filter(|distance| **distance > 2.0 * mean).count() as f64 / distances.len() as f64;
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "{mean}");
        assert!((over - (-2f64).exp()).abs() < 0.01, "{over}");
    }

    #[test]
    fn a_seed_gives_the_same_instants_and_another_loop_others() {
        let rate = Rate::constant(1000.0);
        let of = |seed, number| due(Arrivals::new(rate, Arrival::Poisson, seed, number, 1.0, 0), 10);
        assert_eq!(of(1, 0), of(1, 0));
        assert_ne!(of(1, 0), of(1, 1));
        assert_ne!(of(1, 0), of(2, 0));
    }
}
