//! Which command is delayed how, and how well that was kept.

use hdrhistogram::Histogram;
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    assigned::{self, Assigned},
    clock::Nanos,
    commands::{CommandId, table::Table},
    delay::Delay,
    output::Held,
};

/// Lateness is kept to 1 in 1000 up to a minute.
const MAX_LATENESS: Nanos = 60_000_000_000;

/// A delay drawn for one command.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    pub command: CommandId,
    pub law: Delay,
    pub nanos: Nanos,
}

/// How well the delays of one command were kept.
#[derive(Debug)]
pub struct Punctuality {
    pub law: Delay,
    pub count: u64,
    /// Sum of the times from arrival to when the reply was due.
    pub due: u64,
    /// Sum of the times from arrival to when the reply was handed to the kernel.
    pub actual: u64,
    /// The difference, in nanoseconds.
    pub late: Histogram<u64>,
}

impl Punctuality {
    fn new(law: Delay) -> Self {
        let late = Histogram::new_with_bounds(1, MAX_LATENESS, 3).expect("the bounds are constant and valid");
        Self { law, count: 0, due: 0, actual: 0, late }
    }
}

/// Delays by command.
pub struct Delays {
    laws: Assigned<Delay>,
    kept: Vec<Option<Box<Punctuality>>>,
    rng: StdRng,
    any: bool,
}

impl Delays {
    /// No delays yet.
    pub fn new(table: &Table, seed: u64) -> Self {
        let commands = table.len();
        Self {
            laws: vec![None; commands],
            kept: (0..commands).map(|_| None).collect(),
            rng: StdRng::seed_from_u64(seed),
            any: false,
        }
    }

    /// Replaces all delays. Whatever is assigned, how well it is kept is counted from now on, also where the law stays:
    /// that is how a window is told from the warm-up before it.
    pub fn replace(&mut self, mut laws: Assigned<Delay>) {
        for (law, kept) in laws.iter_mut().zip(&mut self.kept) {
            if let Some(law) = *law {
                *kept = Some(Box::new(Punctuality::new(law)));
            }
            *law = law.filter(|&law| law != Delay::Constant(0));
        }
        self.any = laws.iter().any(Option::is_some);
        self.laws = laws;
    }

    /// The delays as `CONFIG GET delay` shows them.
    pub fn assignments(&self, table: &Table) -> String {
        assigned::write(&self.laws, table)
    }

    /// The delay of a command that arrives now.
    pub fn draw(&mut self, command: CommandId) -> Option<Drawn> {
        if !self.any {
            return None;
        }
        let law = self.laws[command as usize]?;
        Some(Drawn { command, law, nanos: law.draw(&mut self.rng) })
    }

    /// The law of a command's delay.
    pub fn law(&self, command: CommandId) -> Option<Delay> {
        self.laws[command as usize]
    }

    /// Notes that replies have left at `sent`.
    pub fn record(&mut self, held: &Held, sent: Nanos) {
        let Some(kept) = &mut self.kept[held.command as usize] else { return };
        let count = u64::from(held.count);
        kept.count += count;
        kept.due += count * (held.due - held.arrived);
        kept.actual += count * sent.saturating_sub(held.arrived);
        kept.late.saturating_record_n(sent.saturating_sub(held.due), count);
    }

    /// How well delays were kept, for each command that has or had one.
    pub fn punctuality(&self) -> impl Iterator<Item = (CommandId, &Punctuality)> {
        self.kept.iter().enumerate().filter_map(|(id, kept)| Some((id as CommandId, kept.as_deref()?)))
    }

    /// Forgets how well delays were kept, and commands that have none any more.
    pub fn reset(&mut self) {
        for (kept, law) in self.kept.iter_mut().zip(&self.laws) {
            *kept = law.map(|law| Box::new(Punctuality::new(law)));
        }
    }
}
