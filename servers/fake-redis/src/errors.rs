//! Which command is answered an error instead of its effect, and how often that was done.

use std::{fmt, str::FromStr};

use anyhow::{Context, ensure};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    assigned::{self, Assignable, Assigned},
    commands::{CommandId, table::Table},
};

/// The share of a command's calls that are answered an error, in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Assignable for Share {
    const FORM: &str = "COMMAND=SHARE, such as get=1%";
}

impl FromStr for Share {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let expected = || format!("`{text}` is not a share from 0% to 100%, such as `1%`");
        let percent = text.strip_suffix('%').and_then(|number| number.parse().ok()).with_context(expected)?;
        ensure!((0.0..=100.0).contains(&percent), expected());
        Ok(Self(percent))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// Errors by command.
pub struct Errors {
    shares: Assigned<Share>,
    /// A sequence for each command, so that what happens to one does not hang on how it mixes with others.
    chance: Vec<Option<Box<StdRng>>>,
    injected: Vec<u64>,
    seed: u64,
}

impl Errors {
    /// No errors yet.
    pub fn new(table: &Table, seed: u64) -> Self {
        let commands = table.len();
        let chance = (0..commands).map(|_| None).collect();
        Self { shares: vec![None; commands], chance, injected: vec![0; commands], seed }
    }

    /// Replaces all shares. The sequences begin anew: the same calls fail after each assignment of the same shares.
    pub fn replace(&mut self, shares: Assigned<Share>) {
        let begin = |(command, share): (usize, &Option<Share>)| {
            // Another seed than that of the delays, whose draws would otherwise decide which commands fail.
            share.map(|_| Box::new(StdRng::seed_from_u64(!self.seed ^ ((command as u64) << 32))))
        };
        self.chance = shares.iter().enumerate().map(begin).collect();
        self.shares = shares;
    }

    /// The shares as `CONFIG GET errors` shows them.
    pub fn assignments(&self, table: &Table) -> String {
        assigned::write(&self.shares, table)
    }

    /// Whether this call of a command is to fail; counted if so.
    pub fn strike(&mut self, command: CommandId) -> bool {
        let command = command as usize;
        let (Some(Share(percent)), Some(chance)) = (self.shares[command], &mut self.chance[command]) else {
            return false;
        };
        let strikes = chance.random_bool(percent / 100.0);
        self.injected[command] += u64::from(strikes);
        strikes
    }

    /// For each command that has errors, or had some: its share and how many there were.
    pub fn injected(&self) -> impl Iterator<Item = (CommandId, Share, u64)> {
        let told = self.shares.iter().zip(&self.injected).enumerate();
        told.filter(|(_, (share, injected))| share.is_some() || **injected > 0)
            .map(|(command, (share, injected))| (command as CommandId, share.unwrap_or(Share(0.0)), *injected))
    }

    /// Forgets how many there were.
    pub fn reset(&mut self) {
        self.injected.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["1%", "0.5%", "100%", "0%"] {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_named_with_what_is_expected() {
        for text in ["", "1", "%", "-1%", "101%", "NaN%", "one%"] {
            let message = text.parse::<Share>().unwrap_err().to_string();
            assert!(message.contains(&format!("`{text}` is not a share from 0% to 100%")), "{message}");
        }
    }

    #[test]
    fn a_share_is_kept_by_its_seed_and_whatever_else_is_called() {
        let table = Table::new();
        let [get, set] = ["get", "set"].map(|name| table.find(name.as_bytes()).unwrap());
        let struck = |seed, sets: usize| -> Vec<bool> {
            let mut errors = Errors::new(&table, seed);
            errors.replace(assigned::read(["get=1%", "set=50%"].into_iter(), &table).unwrap());
            let mut strike = || {
                (0..sets).for_each(|_| _ = errors.strike(set));
                errors.strike(get)
            };
            (0..20_000).map(|_| strike()).collect()
        };
        let first = struck(1, 0);
        assert!((150..250).contains(&first.iter().filter(|struck| **struck).count()));
        assert_eq!(first, struck(1, 2));
        assert_ne!(first, struck(2, 0));
    }
}
