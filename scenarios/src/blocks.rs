//! Block by block: every missing trial is measured, and those that were disturbed once more.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use stackbench_reports::{
    RunMeta,
    row::{Role, Row, Verdict},
};

use crate::{
    kept::{Kept, NullRates, Reached, Slot, State},
    meta::Prepared,
    plan::{self, Cell, Course, Lineup},
    progress::Progress,
    run::Ended,
    rundir::RunDir,
    scenario::{Rate, What},
    stack::UsesStore,
    store::Store,
    store_ceiling,
    trial::{Attempt, Bench, Trial},
};

/// What a run measures, and with what.
#[derive(Debug)]
pub struct Blocks<'a> {
    /// What all trials share.
    pub bench: &'a Bench<'a>,
    /// The scenarios.
    pub courses: &'a [Course],
    /// The stacks.
    pub lineup: &'a Lineup,
    /// The same, with what was found out about each.
    pub prepared: &'a [Prepared<'a>],
    /// Seed of the order of cells.
    pub seed: u64,
    /// What is there already.
    pub kept: &'a Kept,
}

/// One block under way.
struct Block<'b, 'a> {
    all: &'b Blocks<'a>,
    course: &'b Course,
    number: u32,
    null_rates: NullRates,
    reached: Reached,
    /// How many more disturbed trials may be repeated.
    repeats_left: usize,
}

/// Where rows come from and go to.
struct Desk<'d, 's> {
    meta: &'d mut RunMeta,
    store: &'d mut Store<'s>,
    dir: &'d mut RunDir,
    progress: Progress,
    ended: Ended,
    /// Of which stacks the idle connections were weighed, and how many.
    weighed: BTreeSet<(usize, u32)>,
}

impl Blocks<'_> {
    /// How many trials are missing, and how long they take.
    pub fn missing(&self) -> (usize, Duration) {
        let (mut trials, mut time) = (0, Duration::ZERO);
        for course in self.courses {
            let cells = plan::cells(course, self.lineup);
            for block in 1..=course.scenario.run.trials {
                let is_missing =
                    |cell: &&Cell| self.kept.state(&Slot::new(course, self.lineup, **cell, block)) != State::Done;
                for cell in cells.iter().filter(is_missing) {
                    trials += 1;
                    time += course.trial_time(*cell);
                }
            }
        }
        (trials, time)
    }

    /// Measures what is missing.
    ///
    /// # Errors
    /// [`crate::interrupt::Interrupted`], or what keeps rows from being written.
    pub fn measure(&self, meta: &mut RunMeta, store: &mut Store, dir: &mut RunDir) -> Result<Ended> {
        let (trials, time) = self.missing();
        let ended = if self.kept.has_failures() { Ended::WithFailures } else { Ended::Whole };
        let index_of = |name: &str| self.lineup.stacks.iter().position(|stack| stack.name == name);
        let weighed =
            self.kept.weighed().filter_map(|(name, connections)| Some((index_of(name)?, connections))).collect();
        let mut desk = Desk { meta, store, dir, progress: Progress::start(trials, time), ended, weighed };
        let measured = self.measure_at(&mut desk);
        desk.progress.finish();
        measured.map(|()| desk.ended)
    }

    fn measure_at(&self, desk: &mut Desk) -> Result<()> {
        for (index, course) in self.courses.iter().enumerate() {
            let cells = plan::cells(course, self.lineup);
            let scenario = &course.scenario;
            self.measure_store(index, desk)?;
            for number in 1..=scenario.run.trials {
                let repeated = self.kept.repeated(&scenario.name, number);
                let mut block = Block {
                    all: self,
                    course,
                    number,
                    null_rates: self.kept.null_rates(&scenario.name, number),
                    reached: self.kept.reached(&scenario.name, number),
                    repeats_left: plan::repeats_max(cells.len()).saturating_sub(repeated),
                };
                // Each part is repeated before the next begins, which rests on it.
                for part in plan::block_order(course, &cells, &self.lineup.stacks, self.seed, index, number) {
                    block.measure(&part, desk)?;
                }
            }
        }
        Ok(())
    }

    /// Finds out before a scenario what the store alone can do, unless that is known from before.
    fn measure_store(&self, scenario: usize, desk: &mut Desk) -> Result<()> {
        let known = &mut desk.meta.scenarios[scenario].store_ceiling;
        if known.is_empty() && self.lineup.stacks.iter().any(|stack| stack.store == UsesStore::Redis) {
            *known = store_ceiling::measure(&self.courses[scenario].scenario, self.bench, desk.store)?;
            desk.dir.write_meta(desk.meta)?;
        }
        Ok(())
    }
}

impl Block<'_, '_> {
    /// Measures a part of the block, and at its end again what was disturbed.
    fn measure(&mut self, part: &[Cell], desk: &mut Desk) -> Result<()> {
        let mut again = Vec::new();
        for cell in part {
            let state = self.all.kept.state(&Slot::new(self.course, self.all.lineup, *cell, self.number));
            let is_to_repeat = match state {
                State::Done => false,
                State::ToRepeat => true,
                State::Missing => self.trial(*cell, Attempt::First, desk)?.repeated,
            };
            again.extend(is_to_repeat.then_some(*cell));
        }
        for cell in again {
            self.trial(cell, Attempt::Again, desk)?;
        }
        Ok(())
    }

    fn trial(&mut self, cell: Cell, attempt: Attempt, desk: &mut Desk) -> Result<Row> {
        let step = &self.course.steps[cell.step];
        let prepared = &self.all.prepared[cell.stack];
        let request = &step.scenario.requests[cell.request];
        let null_rate = self.null_rates.get(step.number, &request.name, cell.mode);
        let (rate, beside_rate) = match self.rates(cell) {
            Ok((rate, beside_rate)) => (Ok(rate), beside_rate),
            Err(reason) => (Err(reason), None),
        };
        let crowd = (cell.stack, step.scenario.load.connections);
        let trial = Trial {
            scenario: &step.scenario,
            step: step.number,
            stack: prepared.stack,
            twin: cell.twin,
            version: &prepared.version,
            request,
            mode: cell.mode,
            block: self.number,
            attempt,
            workers: self.all.bench.workers(&step.scenario),
            rate,
            beside_rate,
            // The same instants for every stack of a block.
            arrival_seed: self.all.seed.wrapping_add(u64::from(self.number)),
            // A ceiling is not measured against itself.
            null_rate: null_rate.filter(|_| prepared.stack.role != Role::Ceiling),
            server_sha256: prepared.sha256.clone(),
            weighs_connections: !desk.weighed.contains(&crowd),
        };
        let cpus = self.all.bench.cpus_for(&step.scenario);
        let bench = Bench { cpus: &cpus, ..*self.all.bench };
        let label = trial.label();
        desk.progress.begin(&label);
        let mut row = trial.run(&bench, desk.store)?;
        if row.verdict == Verdict::Failed {
            // On a full disk every trial would fail, and none of it would be the stack's fault.
            desk.dir.require_room()?;
            desk.ended = Ended::WithFailures;
        }
        row.repeated = attempt == Attempt::First && row.verdict == Verdict::Noisy && self.repeats_left > 0;
        self.repeats_left -= usize::from(row.repeated);
        // In a row that counts.
        if row.verdict != Verdict::Failed && !row.repeated {
            desk.weighed.insert(crowd);
        }
        desk.dir.append(&row)?;
        desk.progress.end(&label, &row);
        self.null_rates.learn(&row);
        self.reached.learn(&row);
        Ok(row)
    }

    /// How many requests a second a cell is offered by the load, none in a closed loop; and how many by a second client,
    /// where the fault of the step is one.
    fn rates(&self, cell: Cell) -> Result<(Option<f64>, Option<f64>), String> {
        let scenario = &self.course.steps[cell.step].scenario;
        let rate = match scenario.load.rate {
            None | Some(Rate::Max) => return Ok((None, None)),
            Some(Rate::PerSecond(rate)) => rate,
            Some(Rate::Share(share)) => whole(share * self.maximum(cell)?),
        };
        let beside = match scenario.fault.map(|fault| fault.what) {
            Some(What::Overload(share)) => {
                let all = share.0 * self.maximum(cell)?;
                if all <= rate {
                    return Err(format!("an overload of {all:.0}/s in all is none: {rate:.0}/s are offered anyway"));
                }
                Some(whole(all - rate))
            }
            Some(What::HeldHandlers(share)) => Some(whole(share.0 * rate)),
            _ => None,
        };
        Ok((Some(rate), beside))
    }

    /// What the stack of a cell reaches at most.
    fn maximum(&self, cell: Cell) -> Result<f64, String> {
        let stack = &self.all.lineup.stacks[cell.stack].name;
        let request = &self.course.scenario.requests[cell.request].name;
        let step = self.course.maximum_of(cell.step).map(|index| self.course.steps[index].number);
        let reached = step.and_then(|step| self.reached.get(stack, cell.twin, step, request, cell.mode));
        let failed = || "what it reaches at most is not known, because that trial of this block failed".to_owned();
        reached.filter(|reached| *reached > 0.0).ok_or_else(failed)
    }
}

/// A rate as the load client takes it: whole requests a second, and some.
fn whole(rate: f64) -> f64 {
    rate.round().max(1.0)
}
