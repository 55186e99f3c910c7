//! Comparisons of a figure with a limit, as conditions are written: `p99<20ms`.

/// How a figure is compared with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
}

impl Comparison {
    /// The one that holds wherever this one does not.
    pub fn opposite(self) -> Self {
        match self {
            Self::Above => Self::AtMost,
            Self::AtLeast => Self::Below,
            Self::Below => Self::AtLeast,
            Self::AtMost => Self::Above,
        }
    }

    /// Whether the figure must not be too high, rather than too low.
    pub fn sets_upper_limit(self) -> bool {
        matches!(self, Self::Below | Self::AtMost)
    }

    /// Whether it holds of a value.
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Above => value > limit,
            Self::AtLeast => value >= limit,
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
        }
    }

    /// As it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
        }
    }

    /// Refuses what none of the values from `least` to `most` meets, and what all of them meet.
    ///
    /// # Errors
    /// Which of the two it is, and what to write instead.
    pub fn possible(self, limit: f64, (least, most): (f64, f64)) -> Result<(), &'static str> {
        let (is_impossible, is_certain) = match self {
            Self::Below => (limit <= least, limit > most),
            Self::AtMost => (limit < least, limit >= most),
            Self::Above => (limit >= most, limit < least),
            Self::AtLeast => (limit > most, limit <= least),
        };
        match (is_impossible, is_certain) {
            (true, _) => Err("nothing can meet this; give a limit that a good run keeps"),
            (_, true) => Err("everything meets this; give a limit that a bad run breaks, or leave it out"),
            _ => Ok(()),
        }
    }
}

/// Splits a condition into the name of a figure, a comparison and the text of its limit; `None` if it holds no comparison.
pub fn split(text: &str) -> Option<(&str, Comparison, &str)> {
    let at = text.find(['<', '>'])?;
    let (name, rest) = text.split_at(at);
    let (comparison, limit) = match (rest.strip_prefix(">="), rest.strip_prefix("<=")) {
        (Some(limit), _) => (Comparison::AtLeast, limit),
        (_, Some(limit)) => (Comparison::AtMost, limit),
        _ if rest.starts_with('>') => (Comparison::Above, &rest[1..]),
        _ => (Comparison::Below, &rest[1..]),
    };
    Some((name.trim(), comparison, limit.trim()))
}

/// Whether an upper limit of a figure and a lower limit of one that never exceeds it leave no value to either.
pub fn leave_nothing(upper: (Comparison, f64), lower: (Comparison, f64)) -> bool {
    let is_strict = upper.0 == Comparison::Below || lower.0 == Comparison::Above;
    lower.1 > upper.1 || (lower.1 == upper.1 && is_strict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_split_at_its_comparison() {
        assert_eq!(split(" p99 <= 20 ms"), Some(("p99", Comparison::AtMost, "20 ms")));
        assert_eq!(split("rate>5k"), Some(("rate", Comparison::Above, "5k")));
        assert_eq!(split("upstream=active"), None);
    }

    #[test]
    fn what_was_split_is_written_the_same_again() {
        for text in ["a>1", "a>=1", "a<1", "a<=1"] {
            let (name, comparison, limit) = split(text).unwrap();
            assert_eq!(format!("{name}{}{limit}", comparison.sign()), text);
        }
    }

    #[test]
    fn limits_leave_nothing_where_they_cross_or_meet_without_both_allowing_it() {
        let (below, at_most, at_least) = (Comparison::Below, Comparison::AtMost, Comparison::AtLeast);
        assert!(leave_nothing((below, 5.0), (at_least, 5.0)) && leave_nothing((at_most, 5.0), (at_least, 6.0)));
        assert!(!leave_nothing((at_most, 5.0), (at_least, 5.0)) && !leave_nothing((below, 6.0), (at_least, 5.0)));
    }
}
