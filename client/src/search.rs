//! The search for the highest rate at which an objective is met.
//!
//! It brackets, bisects and confirms, and knows nothing of how a rate is tried. A noisy system may meet an objective now
//! and miss it later, so both ends of the bracket are tried several times before they are believed, and what the majority
//! of a rate's trials says counts; a rate that changes sides moves the bracket. The answer is a pair of bounds and not one
//! number, as in MLRsearch (RFC 9411 and draft-ietf-bmwg-mlrsearch), after which it is modelled.

use std::fmt;

/// How a search goes about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The rate that is tried first, per second.
    pub start: f64,
    /// No lower rate is tried.
    pub least: f64,
    /// No higher rate is tried.
    pub most: f64,
    /// The bounds are close enough when the upper is no more than this much above the lower: 0.05 is five per cent.
    pub precision: f64,
    /// How often each bound is tried before it is believed; an odd number, so that there is a majority.
    pub confirmations: u32,
    /// After so many trials in all the search gives up.
    pub trials_max: u32,
}

/// What is known in the end. Rates are per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found {
    /// At the lower one the objective is met, at the upper one it is not.
    Between {
        /// Highest rate that met it.
        lower: f64,
        /// Lowest rate that did not.
        upper: f64,
    },
    /// It is met at every rate that was tried, up to the highest that may be.
    MetUpTo(f64),
    /// It is missed at every rate that was tried, down to the lowest that may be.
    MissedDownTo(f64),
    /// The trials contradicted each other until there were too many; what they say by majority, as far as it goes.
    NotConverged {
        /// Highest rate that met it below every one that did not.
        lower: Option<f64>,
        /// Lowest rate that did not.
        upper: Option<f64>,
    },
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |rate: Option<f64>| rate.map_or_else(|| "unknown".to_owned(), |rate| format!("{rate:.0}/s"));
        match self {
            Self::Between { lower, upper } => write!(f, "met at {lower:.0}/s, missed at {upper:.0}/s"),
            Self::MetUpTo(rate) => write!(f, "met at every rate tried, up to {rate:.0}/s"),
            Self::MissedDownTo(rate) => write!(f, "missed at every rate tried, down to {rate:.0}/s"),
            Self::NotConverged { lower, upper } => {
                write!(f, "did not converge: lower bound {}, upper bound {}", bound(*lower), bound(*upper))
            }
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    /// Try this rate, and tell what came of it.
    Try(f64),
    /// The search is over.
    Done(Found),
}

/// One rate, and how its trials came out.
#[derive(Debug, Clone, Copy)]
struct Tried {
    rate: f64,
    met: u32,
    missed: u32,
}

impl Tried {
    fn trials(&self) -> u32 {
        self.met + self.missed
    }

    /// Of as many that met it as did not, the cautious answer.
    fn is_met(&self) -> bool {
        self.met > self.missed
    }
}

/// A search under way.
#[derive(Debug, Clone)]
pub struct Search {
    settings: Settings,
    /// By rate, ascending.
    tried: Vec<Tried>,
}

impl Search {
    /// Nothing is known yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, tried: Vec::new() }
    }

    /// How many trials were made.
    pub fn trials(&self) -> u32 {
        self.tried.iter().map(Tried::trials).sum()
    }

    /// Takes what a trial at a rate has shown.
    pub fn tell(&mut self, rate: f64, is_met: bool) {
        let index = match self.tried.binary_search_by(|tried| tried.rate.total_cmp(&rate)) {
            Ok(index) => index,
            Err(index) => {
                self.tried.insert(index, Tried { rate, met: 0, missed: 0 });
                index
            }
        };
        let tried = &mut self.tried[index];
        if is_met { tried.met += 1 } else { tried.missed += 1 }
    }

    /// The rate to try next, or the answer. It depends on nothing but the settings and what was told.
    pub fn next(&self) -> Next {
        let Settings { start, least, most, precision, trials_max, .. } = self.settings;
        let (lower, upper) = self.bracket();
        if let Some(found) = self.answer(lower, upper) {
            return Next::Done(found);
        }
        if self.trials() >= trials_max {
            let (lower, upper) = self.bounds();
            return Next::Done(Found::NotConverged { lower, upper });
        }
        let rate = match (lower, upper) {
            (None, None) => start,
            (Some(lower), None) => self.unsure(lower).unwrap_or(2.0 * lower.rate),
            (None, Some(upper)) => self.unsure(upper).unwrap_or(upper.rate / 2.0),
            (Some(lower), Some(upper)) if upper.rate > lower.rate * (1.0 + precision) => {
                (lower.rate * upper.rate).sqrt()
            }
            // The lower first: if it falls, the upper one is no bound any more.
            (Some(lower), Some(upper)) => self.unsure(lower).or_else(|| self.unsure(upper)).unwrap_or(lower.rate),
        };
        Next::Try(rate.clamp(least, most))
    }

    /// What the trials so far say by majority, in requests per second: the highest rate that meets the objective below
    /// every one that misses it, and the lowest that misses it.
    pub fn bounds(&self) -> (Option<f64>, Option<f64>) {
        let (lower, upper) = self.bracket();
        let rate = |tried: Option<Tried>| tried.map(|tried| tried.rate);
        (rate(lower), rate(upper))
    }

    /// The same two with what was tried there.
    fn bracket(&self) -> (Option<Tried>, Option<Tried>) {
        let upper = self.tried.iter().position(|tried| !tried.is_met());
        let below = &self.tried[..upper.unwrap_or(self.tried.len())];
        (below.last().copied(), upper.map(|index| self.tried[index]))
    }

    /// The rate itself, at an end of the range of rates, as long as it was not tried often enough: beyond the end there is
    /// nothing else to try.
    fn unsure(&self, tried: Tried) -> Option<f64> {
        let Settings { least, most, precision, confirmations, .. } = self.settings;
        let (lower, upper) = self.bracket();
        let is_close = match (lower, upper) {
            (Some(lower), Some(upper)) => upper.rate <= lower.rate * (1.0 + precision),
            (Some(lower), None) => lower.rate >= most,
            (None, Some(upper)) => upper.rate <= least,
            (None, None) => false,
        };
        (is_close && !is_decided(&tried, confirmations)).then_some(tried.rate)
    }

    fn answer(&self, lower: Option<Tried>, upper: Option<Tried>) -> Option<Found> {
        let Settings { least, most, precision, confirmations, .. } = self.settings;
        let is_sure = |tried: &Tried| is_decided(tried, confirmations);
        match (lower, upper) {
            (Some(lower), None) if lower.rate >= most && is_sure(&lower) => Some(Found::MetUpTo(lower.rate)),
            (None, Some(upper)) if upper.rate <= least && is_sure(&upper) => Some(Found::MissedDownTo(upper.rate)),
            (Some(lower), Some(upper)) => {
                let is_close = upper.rate <= lower.rate * (1.0 + precision);
                let found = Found::Between { lower: lower.rate, upper: upper.rate };
                (is_close && is_sure(&lower) && is_sure(&upper)).then_some(found)
            }
            _ => None,
        }
    }
}

/// Whether the trials that are left could not turn the majority.
fn is_decided(tried: &Tried, confirmations: u32) -> bool {
    let left = confirmations.saturating_sub(tried.trials());
    tried.met.abs_diff(tried.missed) > left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: Settings =
        Settings { start: 1000.0, least: 10.0, most: 100_000.0, precision: 0.05, confirmations: 3, trials_max: 60 };

    /// Searches with trials that come out as the closure says, and tells how many there were.
    fn search(settings: Settings, mut is_met: impl FnMut(f64, u32) -> bool) -> (Found, u32) {
        let mut search = Search::new(settings);
        loop {
            match search.next() {
                Next::Done(found) => return (found, search.trials()),
                Next::Try(rate) => {
                    let met = is_met(rate, search.trials());
                    search.tell(rate, met);
                }
            }
        }
    }

    #[test]
    fn an_objective_that_is_met_everywhere_or_nowhere_is_told_as_such() {
        assert_eq!(search(SETTINGS, |_, _| true).0, Found::MetUpTo(100_000.0));
        assert_eq!(search(SETTINGS, |_, _| false).0, Found::MissedDownTo(10.0));
    }

    #[test]
    fn one_trial_that_came_out_wrong_does_not_move_the_bounds() {
        let (right, _) = search(SETTINGS, |rate, _| rate <= 5_300.0);
        for wrong in 0..12 {
            let (found, _) = search(SETTINGS, |rate, trial| (rate <= 5_300.0) != (trial == wrong));
            let Found::Between { lower, upper } = found else { panic!("{wrong}: {found}") };
            assert!(lower <= 5_300.0 * 1.05 && upper >= 5_300.0 / 1.05, "{wrong}: {found}, not {right}");
        }
    }

    #[test]
    fn trials_that_never_agree_end_with_what_is_known() {
        let mut tried = Vec::new();
        let (found, trials) = search(Settings { trials_max: 9, ..SETTINGS }, |rate, _| {
            let is_first = !tried.contains(&rate);
            tried.push(rate);
            (rate <= 1_500.0) == is_first
        });
        assert!(matches!(found, Found::NotConverged { .. }), "{found}");
        assert_eq!(trials, 9);
    }

    proptest! {
        #[test]
        fn the_bounds_hold_the_truth_between_them(truth in 11.0..99_000.0_f64, start in 10.0..100_000.0_f64) {
            let (found, trials) = search(Settings { start, ..SETTINGS }, |rate, _| rate <= truth);
            let Found::Between { lower, upper } = found else { panic!("{found}") };
            prop_assert!(lower <= truth && truth < upper && upper <= lower * 1.05, "{}", found);
            prop_assert!(trials < 40, "{} trials", trials);
        }

        #[test]
        fn every_search_ends_whatever_its_trials_say(outcomes in prop::collection::vec(any::<bool>(), 60)) {
            let (_, trials) = search(SETTINGS, |_, trial| outcomes[trial as usize]);
            prop_assert!(trials <= 60);
        }
    }
}
