//! The plan: which cells are measured, in which order, and how long that takes.

use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use stackbench_reports::row::{Mode, Role};

use crate::{
    scenario::{Rate, Scenario, Step},
    stack::Stack,
};

/// What a trial takes beside warm-up and window: starting, verifying, loading keys, stopping. Most take less; those with
/// two thousand threads or workers of their own take more.
pub const OVERHEAD: Duration = Duration::from_millis(500);
/// The stacks that are measured under two names where a run has them: one that is cheap, because a difference that only
/// the machine makes shows most in a small cost, …
const CHEAP: &str = "may";
/// … and one that is dear and much used.
const DEAR: &str = "tokio";
/// With fewer stacks than this, the second names would be as much work as the stacks themselves.
const AA_STACKS_MIN: usize = 3;
/// The second name of a stack, as [`stackbench_reports::row::Row::twin`] has it.
const SECOND: u8 = 2;
/// Of a block's cells, one in so many may be measured again. Where more are disturbed the machine is not fit for
/// measuring, and repeating would only make a bad run longer: this bounds it to 5/4 of its plan.
const REPEATED_ONE_IN: usize = 4;

/// Who is measured.
#[derive(Debug, Clone)]
pub struct Lineup {
    /// The stacks.
    pub stacks: Vec<Stack>,
    /// Which of them are measured under two names (A/A), as indices. What their two names differ by is this run's noise.
    pub twins: Vec<usize>,
}

/// Whether a run measures two of its stacks under two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twins {
    /// It does, if it has stacks enough.
    Measured,
    /// It does not.
    LeftOut,
}

impl Lineup {
    /// Chooses the stacks with two names: `may` and `tokio`; where one of them is not there, the first or the last by
    /// name. None, if fewer than three are of [`Role::Stack`].
    pub fn new(stacks: Vec<Stack>, twins: Twins) -> Self {
        let mut by_name: Vec<usize> = (0..stacks.len()).filter(|index| stacks[*index].role == Role::Stack).collect();
        by_name.sort_by_key(|index| &stacks[*index].name);
        if twins == Twins::LeftOut || by_name.len() < AA_STACKS_MIN {
            return Self { stacks, twins: Vec::new() };
        }
        let named = |name: &str| by_name.iter().copied().find(|index| stacks[*index].name == name);
        let dear = named(DEAR);
        let cheap = named(CHEAP).or_else(|| by_name.iter().copied().find(|index| Some(*index) != dear));
        let dear = dear.or_else(|| by_name.iter().rev().copied().find(|index| Some(*index) != cheap));
        let twins = cheap.into_iter().chain(dear).collect();
        Self { stacks, twins }
    }
}

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

    /// Of a step that offers a rate, the one that is the same but goes as fast as answers come.
    pub fn maximum_of(&self, step: usize) -> Option<usize> {
        let settings = |step: &Step| {
            let Scenario { store, load, server, .. } = &step.scenario;
            (store.delays.clone(), load.connections, server.pool, server.workers)
        };
        let own = settings(&self.steps[step]);
        self.steps.iter().position(|other| is_maximum(other) && settings(other) == own)
    }

    /// How many trials a run of it makes, those that are repeated not counted.
    pub fn trials(&self, lineup: &Lineup) -> usize {
        cells(self, lineup).len() * self.scenario.run.trials as usize
    }

    /// How long these take.
    pub fn planned(&self, lineup: &Lineup) -> Duration {
        let of_block: Duration = cells(self, lineup).iter().map(|cell| self.trial_time(*cell)).sum();
        of_block * self.scenario.run.trials
    }

    /// How many of its trials may be repeated.
    pub fn repeats_max(&self, lineup: &Lineup) -> usize {
        repeats_max(cells(self, lineup).len()) * self.scenario.run.trials as usize
    }

    /// How long a trial of a cell takes.
    pub fn trial_time(&self, cell: Cell) -> Duration {
        let scenario = &self.steps[cell.step].scenario;
        scenario.warmup() + scenario.load.duration + OVERHEAD
    }
}

/// Of a block of so many cells, how many may be measured again because they were disturbed; at least one.
pub fn repeats_max(cells: usize) -> usize {
    cells.div_ceil(REPEATED_ONE_IN)
}

/// Whether a step of an open loop goes as fast as answers come, for shares to be taken of it.
fn is_maximum(step: &Step) -> bool {
    step.scenario.load.rate == Some(Rate::Max)
}

/// One cell of a scenario: a step, a stack under one of its names, a request of it, and a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Index into the scenario's steps.
    pub step: usize,
    /// Index into the stacks.
    pub stack: usize,
    /// Null for the stack's first name; 2 for the second of an A/A pair.
    pub twin: Option<u8>,
    /// Index into the scenario's requests.
    pub request: usize,
    /// The mode.
    pub mode: Mode,
}

/// The cells of a scenario, in the order of the files.
pub fn cells(course: &Course, lineup: &Lineup) -> Vec<Cell> {
    let mut cells = Vec::new();
    for step in 0..course.steps.len() {
        // An offered rate is a ceiling by itself, and the null server's maximum is one of the others' maximum alone.
        let offers = matches!(course.steps[step].scenario.load.rate, Some(Rate::PerSecond(_) | Rate::Share(_)));
        let is_asked = |stack: &Stack| !(offers && stack.role == Role::Ceiling);
        for (stack, description) in lineup.stacks.iter().enumerate().filter(|(_, stack)| is_asked(stack)) {
            let second = lineup.twins.contains(&stack).then_some(Some(SECOND));
            for (request, asked) in course.scenario.requests.iter().enumerate() {
                for &mode in asked.modes.iter().filter(|mode| description.modes.contains(mode)) {
                    let names = [None].into_iter().chain(second);
                    cells.extend(names.map(|twin| Cell { step, stack, twin, request, mode }));
                }
            }
        }
    }
    cells
}

/// The order of one block in its parts, each shuffled: ceilings, which the others are compared with; what each stack
/// reaches at most, which shares are taken of; and the others.
pub fn block_order(
    course: &Course,
    cells: &[Cell],
    stacks: &[Stack],
    seed: u64,
    scenario: usize,
    block: u32,
) -> [Vec<Cell>; 3] {
    // Every block has an order of its own, which depends on nothing but the seed.
    let mut random = StdRng::seed_from_u64(seed ^ ((scenario as u64) << 32) ^ u64::from(block));
    let (mut ceilings, others): (Vec<Cell>, Vec<Cell>) =
        cells.iter().partition(|cell| stacks[cell.stack].role == Role::Ceiling);
    let (mut maxima, mut others): (Vec<Cell>, Vec<Cell>) =
        others.into_iter().partition(|cell| is_maximum(&course.steps[cell.step]));
    for part in [&mut ceilings, &mut maxima, &mut others] {
        part.shuffle(&mut random);
    }
    [ceilings, maxima, others]
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

    const SCENARIO: &str = r#"
        name = "s"
        title = "t"
        source = "s"
        analysis = "a"
        [load]
        model = "closed"
        connections = 10
        duration = "4s"
        timeout = "1s"
        [server]
        pool = 1
        [run]
        trials = 3
        [[request]]
        name = "r"
        method = "GET"
        path = "/{mode}"
        modes = ["sync", "async"]
        status = 200
        body = ""
    "#;

    fn stacks(roles: &[(&str, &str)]) -> Vec<Stack> {
        let text: String = roles.iter().map(|(name, role)| STACK.replace("NAME", name).replace("ROLE", role)).collect();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stack.toml"), text).unwrap();
        crate::stack::discover(dir.path()).unwrap()
    }

    /// Four stacks, the second of them a ceiling.
    fn four() -> Vec<Stack> {
        stacks(&[("a", "stack"), ("b", "ceiling"), ("c", "stack"), ("d", "stack")])
    }

    fn course() -> Course {
        Course::new(toml::from_str(SCENARIO).unwrap())
    }

    /// The names of the stacks that get a second one.
    fn twins_of(names: &[&str]) -> Vec<String> {
        let roles: Vec<(&str, &str)> = names.iter().map(|name| (*name, "stack")).chain([("0", "floor")]).collect();
        let Lineup { stacks, twins } = Lineup::new(stacks(&roles), Twins::Measured);
        twins.into_iter().map(|index| stacks[index].name.clone()).collect()
    }

    #[test]
    fn a_block_holds_every_cell_once_with_the_ceilings_first() {
        let lineup = Lineup::new(four(), Twins::LeftOut);
        let cells = cells(&course(), &lineup);
        let [ceilings, maxima, others] = block_order(&course(), &cells, &lineup.stacks, 7, 0, 1);
        assert_eq!((cells.len(), ceilings.len(), maxima.len(), others.len()), (8, 2, 0, 6));
        assert!(cells.iter().all(|cell| ceilings.contains(cell) || others.contains(cell)));
        assert!(ceilings.iter().all(|cell| cell.stack == 1));
    }

    #[test]
    fn the_seed_decides_the_order_and_blocks_differ() {
        let cells = cells(&course(), &Lineup::new(four(), Twins::LeftOut));
        let order = |seed, block| block_order(&course(), &cells, &four(), seed, 0, block);
        assert_eq!(order(7, 1), order(7, 1));
        assert!((2..10).any(|block| order(7, block) != order(7, 1)));
        assert!((8..16).any(|seed| order(seed, 1) != order(7, 1)));
    }

    #[test]
    fn what_a_stack_reaches_at_most_is_measured_before_the_shares_of_it_and_null_is_not_offered_a_rate() {
        let steps = "[steps]\npool = [1, 2]\nrate = [\"max\", 100, \"50%\"]\n[server]";
        let open = SCENARIO.replace("\"closed\"", "\"open\"").replace("[server]", steps);
        let course = Course::new(toml::from_str(&open).unwrap());
        let lineup = Lineup::new(four(), Twins::LeftOut);
        let cells = cells(&course, &lineup);
        let [ceilings, maxima, others] = block_order(&course, &cells, &lineup.stacks, 7, 0, 1);
        // Two pools and two modes: of null at most only, of the three others at three rates.
        assert_eq!((ceilings.len(), maxima.len(), others.len()), (4, 12, 24));
        assert!(maxima.iter().all(|cell| course.maximum_of(cell.step) == Some(cell.step)));
        assert!(others.iter().all(|cell| {
            let maximum = course.maximum_of(cell.step).unwrap();
            let pool = |step: usize| course.steps[step].scenario.server.pool;
            is_maximum(&course.steps[maximum]) && pool(maximum) == pool(cell.step)
        }));
    }

    #[test]
    fn a_cheap_and_a_dear_stack_have_two_names() {
        assert_eq!(twins_of(&["tokio", "smol", "may"]), ["may", "tokio"]);
        assert_eq!(twins_of(&["c", "b", "a"]), ["a", "c"], "the first and the last by name");
        assert_eq!(twins_of(&["tokio", "x", "z"]), ["x", "tokio"]);
        assert_eq!(twins_of(&["tokio", "axum", "may-minihttp"]), ["axum", "tokio"]);
        assert_eq!(twins_of(&["a", "b", "may"]), ["may", "b"], "never twice the same");
    }

    #[test]
    fn two_stacks_have_one_name_each_and_so_has_everybody_who_asks_for_it() {
        assert!(twins_of(&["may", "tokio"]).is_empty(), "a floor is none of them");
        assert!(Lineup::new(four(), Twins::LeftOut).twins.is_empty());
    }

    #[test]
    fn second_names_are_cells_of_their_own_and_part_of_the_plan() {
        let (course, plain, paired) =
            (course(), Lineup::new(four(), Twins::LeftOut), Lineup::new(four(), Twins::Measured));
        let cells = cells(&course, &paired);
        let second: Vec<&Cell> = cells.iter().filter(|cell| cell.twin == Some(2)).collect();
        assert_eq!(second.len(), 4, "two stacks in two modes");
        assert!(second.iter().all(|cell| cells.contains(&Cell { twin: None, ..**cell })));
        assert_eq!((course.trials(&plain), course.trials(&paired)), (24, 36));
        assert_eq!(course.planned(&paired), course.planned(&plain) * 36 / 24);
    }

    #[test]
    fn at_most_a_quarter_of_a_block_is_repeated_and_at_least_one_trial() {
        assert_eq!([1, 4, 5, 80].map(repeats_max), [1, 1, 2, 20]);
    }

    #[test]
    fn durations_are_told_in_words() {
        assert_eq!(in_words(Duration::from_secs(12)), "12 s");
        assert_eq!(in_words(Duration::from_secs(250)), "4 min 10 s");
        assert_eq!(in_words(Duration::from_secs(3900)), "1 h 05 min");
    }
}
