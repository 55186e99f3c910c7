//! The plan: which cells are measured, in which order, and how long that takes.

use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use stackbench_reports::row::{Mode, Role};

use crate::{
    scenario::{Scenario, Step},
    stack::Stack,
};

/// What a trial takes beside warm-up and window: starting, verifying, loading keys, stopping.
pub const OVERHEAD: Duration = Duration::from_millis(1200);

/// A scenario to be run, with its steps worked out.
#[derive(Debug, Clone)]
pub struct Course {
    /// The scenario, options of the command line applied.
    pub scenario: Scenario,
    /// The same at each step; one, if it has no steps.
    pub steps: Vec<Step>,
}

impl Course {
    /// Works the steps out.
    pub fn new(scenario: Scenario) -> Self {
        Self { steps: scenario.at_steps(), scenario }
    }

    /// How many trials a run of it makes.
    pub fn trials(&self, stacks: &[Stack]) -> usize {
        cells(self, stacks).len() * self.scenario.run.trials as usize
    }

    /// How long these take.
    pub fn planned(&self, stacks: &[Stack]) -> Duration {
        let of_block: Duration =
            cells(self, stacks).iter().map(|cell| trial_time(&self.steps[cell.step].scenario)).sum();
        of_block * self.scenario.run.trials
    }
}

/// One cell of a scenario: a step, a stack, a request of it, and a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Index into the scenario's steps.
    pub step: usize,
    /// Index into the stacks.
    pub stack: usize,
    /// Index into the scenario's requests.
    pub request: usize,
    /// The mode.
    pub mode: Mode,
}

/// The cells of a scenario, in the order of the files.
pub fn cells(course: &Course, stacks: &[Stack]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for step in 0..course.steps.len() {
        for (stack, description) in stacks.iter().enumerate() {
            for (request, asked) in course.scenario.requests.iter().enumerate() {
                let modes = asked.modes.iter().filter(|mode| description.modes.contains(mode));
                cells.extend(modes.map(|&mode| Cell { step, stack, request, mode }));
            }
        }
    }
    cells
}

/// The order of one block: ceilings first, because the others are compared with them, each part shuffled.
pub fn block_order(cells: &[Cell], stacks: &[Stack], seed: u64, scenario: usize, block: u32) -> Vec<Cell> {
    // Every block has an order of its own, which depends on nothing but the seed.
    let mut random = StdRng::seed_from_u64(seed ^ ((scenario as u64) << 32) ^ u64::from(block));
    let (mut ceilings, mut others): (Vec<Cell>, Vec<Cell>) =
        cells.iter().partition(|cell| stacks[cell.stack].role == Role::Ceiling);
    ceilings.shuffle(&mut random);
    others.shuffle(&mut random);
    ceilings.extend(others);
    ceilings
}

/// How long a trial of a scenario takes.
pub fn trial_time(scenario: &Scenario) -> Duration {
    scenario.warmup() + scenario.load.duration + OVERHEAD
}

/// `1 h 05 min`, `4 min 10 s`, `12 s`.
pub fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: &str = r#"
        [[stack]]
        name = "NAME"
        role = "ROLE"
        panel = "deployed"
        model = "m"
        language = "rust"
        http = "h"
        redis = "r"
        store = "redis"
        modes = ["sync", "async"]
        run = ["x"]
        version = ["x"]
    "#;

    /// Four stacks, the second of them a ceiling.
    fn stacks() -> Vec<Stack> {
        let roles = [("a", "stack"), ("b", "ceiling"), ("c", "stack"), ("d", "stack")];
        let text: String = roles.iter().map(|(name, role)| STACK.replace("NAME", name).replace("ROLE", role)).collect();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stack.toml"), text).unwrap();
        crate::stack::discover(dir.path()).unwrap()
    }

    fn some_cells() -> Vec<Cell> {
        let of = |stack| [Mode::Sync, Mode::Async].map(|mode| Cell { step: 0, stack, request: 0, mode });
        (0..4).flat_map(of).collect()
    }

    #[test]
    fn a_block_holds_every_cell_once_with_the_ceilings_first() {
        let order = block_order(&some_cells(), &stacks(), 7, 0, 1);
        assert_eq!(order.len(), 8);
        assert!(some_cells().iter().all(|cell| order.contains(cell)));
        assert!(order[..2].iter().all(|cell| cell.stack == 1));
    }

    #[test]
    fn the_seed_decides_the_order_and_blocks_differ() {
        let order = |seed, block| block_order(&some_cells(), &stacks(), seed, 0, block);
        assert_eq!(order(7, 1), order(7, 1));
        assert!((2..10).any(|block| order(7, block) != order(7, 1)));
        assert!((8..16).any(|seed| order(seed, 1) != order(7, 1)));
    }

    #[test]
    fn durations_are_told_in_words() {
        assert_eq!(in_words(Duration::from_secs(12)), "12 s");
        assert_eq!(in_words(Duration::from_secs(250)), "4 min 10 s");
        assert_eq!(in_words(Duration::from_secs(3900)), "1 h 05 min");
    }
}
