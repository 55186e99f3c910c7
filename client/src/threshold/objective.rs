//! Objectives: conditions that must hold. A search for the highest rate goes up from where they do, so that only upper
//! limits make one, and only such as some runs keep and others do not.

use super::{Metric, Threshold, leave_nothing, parse_one, refusal};

/// Reads an objective: conditions that must hold, each turned into the one that breaks it. `flag` is who asks.
///
/// # Errors
/// The whole message, when a condition is malformed, can never hold, always holds, is no upper limit or contradicts
/// another.
pub fn parse_objective(flag: &str, list: &str) -> Result<Vec<Threshold>, String> {
    let one = |text: &str| parse_one(text).ok_or_else(|| refusal(flag, text));
    let demanded: Vec<Threshold> = list.split(',').map(|text| one(text.trim())).collect::<Result<_, _>>()?;
    for Threshold { text, metric, comparison, limit } in &demanded {
        comparison.possible(*limit, metric.range()).map_err(|why| format!("{flag} '{text}': {why}"))?;
    }
    compatible(&demanded).map_err(|why| format!("{flag}: {why}"))?;
    for condition in &demanded {
        limiting(condition).map_err(|why| format!("{flag} '{}': {why}", condition.text))?;
    }
    Ok(demanded.into_iter().map(|one| Threshold { comparison: one.comparison.opposite(), ..one }).collect())
}

/// Whether every run that keeps the first objective keeps the second as well. One that says nothing of errors allows none.
pub fn implies(first: &[Threshold], second: &[Threshold]) -> bool {
    let allows_errors = |objective: &[Threshold]| objective.iter().any(Threshold::is_of_errors);
    let is_kept = |demanded: &Threshold| {
        let allows_none = demanded.is_of_errors() && !allows_errors(first);
        allows_none || first.iter().any(|kept| demanded.metric.never_exceeds(kept.metric) && kept.is_tighter(demanded))
    };
    second.iter().all(is_kept) && (allows_errors(second) || !allows_errors(first))
}

impl Threshold {
    /// Whether an upper limit leaves no more than another. Each is given by what breaks it.
    fn is_tighter(&self, other: &Self) -> bool {
        let allows_limit = |one: &Self| !one.comparison.holds(one.limit, one.limit);
        self.limit < other.limit || (self.limit == other.limit && (allows_limit(other) || !allows_limit(self)))
    }
}

/// Refuses a pair of which one forbids what the other demands.
fn compatible(demanded: &[Threshold]) -> Result<(), String> {
    let (upper, lower): (Vec<_>, Vec<_>) = demanded.iter().partition(|one| one.comparison.sets_upper_limit());
    for (below, above) in upper.iter().flat_map(|below| lower.iter().map(move |above| (below, above))) {
        let limits = ((below.comparison, below.limit), (above.comparison, above.limit));
        if above.metric.never_exceeds(below.metric) && leave_nothing(limits.0, limits.1) {
            return Err(format!("'{}' and '{}' contradict each other; leave one out", below.text, above.text));
        }
    }
    Ok(())
}

/// Refuses what a search that goes up from where the objective is met could not find.
fn limiting(condition: &Threshold) -> Result<(), &'static str> {
    if condition.metric == Metric::Rate {
        return Err("the rate is what is searched for; leave it out");
    }
    match condition.comparison.sets_upper_limit() {
        true => Ok(()),
        false => Err("an objective says what must not be exceeded; write < or <="),
    }
}

impl Metric {
    /// The values it can have. No answer takes no time at all.
    fn range(self) -> (f64, f64) {
        match self {
            Self::Percentile(_) | Self::Mean | Self::Max => (f64::MIN_POSITIVE, f64::INFINITY),
            Self::Rate | Self::Errors | Self::Unanswered => (0.0, f64::INFINITY),
            Self::ErrorsPercent => (0.0, 100.0),
        }
    }

    /// Whether its value is at most that of another in every run.
    fn never_exceeds(self, other: Self) -> bool {
        match (self, other) {
            (Self::Percentile(of), Self::Percentile(other)) => of <= other,
            (Self::Percentile(_) | Self::Mean, Self::Max) => true,
            _ => self == other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Comparison, *};

    fn refused(list: &str) -> String {
        parse_objective("--objective", list).expect_err(list)
    }

    #[test]
    fn an_objective_is_broken_by_its_opposite() {
        let parsed = parse_objective("--objective", "p99<20ms,errors<=0.1%").unwrap();
        let seen: Vec<Comparison> = parsed.iter().map(|one| one.comparison).collect();
        assert_eq!(seen, [Comparison::AtLeast, Comparison::Above]);
        assert!(refused("p99").contains("--objective 'p99': expected a figure"));
    }

    #[test]
    fn what_nothing_can_meet_is_refused() {
        for list in ["p99<0", "p99<=0ms", "mean<0", "errors<0", "errors<0%", "unanswered<0", "p50<1s,max<0"] {
            assert!(refused(list).contains("nothing can meet this"), "{list}: {}", refused(list));
        }
        assert!(parse_objective("--objective", "errors<=0,unanswered<=0,p99<1us").is_ok());
    }

    #[test]
    fn what_everything_meets_is_refused() {
        for list in ["p99>0", "max>=0", "errors>=0", "errors<=100%", "rate>=0", "p99<5ms,unanswered>=0"] {
            assert!(refused(list).contains("everything meets this"), "{list}: {}", refused(list));
        }
        assert!(parse_objective("--objective", "errors<100%").is_ok());
    }

    #[test]
    fn conditions_that_contradict_each_other_are_both_named() {
        for list in
            ["p99<5ms,p99>10ms", "p99<5ms,p99>=5ms", "p99<5ms,p50>10ms", "max<1ms,mean>=1ms", "errors<5,errors>=5"]
        {
            assert!(refused(list).contains("contradict each other"), "{list}: {}", refused(list));
        }
        let told = refused("p99<5ms,p99>10ms");
        assert!(told.contains("'p99<5ms' and 'p99>10ms'"), "{told}");
        // A low median says nothing against a high percentile: what is wrong here is that it has to be high.
        assert!(refused("p50<5ms,p99>10ms").contains("must not be exceeded"));
    }

    #[test]
    fn what_a_search_from_below_cannot_find_is_refused() {
        assert!(refused("p99>5ms").contains("--objective 'p99>5ms': an objective says what must not be exceeded"));
        for list in ["rate>=1k", "p99<20ms,rate<5k"] {
            assert!(refused(list).contains("the rate is what is searched for"), "{list}: {}", refused(list));
        }
    }
    #[test]
    fn an_objective_implies_what_its_own_limits_leave_no_room_for() {
        let implied = |first: &str, second: &str| {
            let [first, second] = [first, second].map(|list| parse_objective("--objective", list).unwrap());
            implies(&first, &second)
        };
        for (first, second) in [
            ("p99<20ms", "p99<20ms"),
            ("p99<20ms", "p99<=20ms"),
            ("p99<20ms", "p50<30ms"),
            ("max<20ms", "p99<20ms,mean<20ms"),
            ("p99<20ms", "p99<20ms,errors<0.1%"),
            ("p99<20ms,errors<0.1%", "errors<1%"),
        ] {
            assert!(implied(first, second), "{first} implies {second}");
        }
        for (first, second) in [
            ("p99<=20ms", "p99<20ms"),
            ("p50<20ms", "p99<20ms"),
            ("p99<20ms,errors<0.1%", "p99<20ms"),
            ("errors<1%", "errors<0.1%"),
            ("p99<30ms", "p99<20ms"),
        ] {
            assert!(!implied(first, second), "{first} does not imply {second}");
        }
    }
}
