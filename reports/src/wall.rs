//! How much of a run's wall time was beyond its measuring.

use jiff::{SignedDuration, Timestamp};

use crate::{dir::Run, number, row::Row};

/// What the client's command line calls the length of its warm-up.
const WARMUP: &str = "--warmup=";

/// How long a run took, and how long its warm-ups and windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WallTime {
    /// From its start to its end, in seconds.
    pub wall_s: f64,
    /// Of that, warm-ups and windows of all trials, repeated ones included, in seconds.
    pub loaded_s: f64,
}

impl WallTime {
    /// `None` for a run that has not ended, was resumed (nobody measured how long it lay), has a trial of unknown warm-up,
    /// or during which the clock was set.
    pub fn of(run: &Run) -> Option<Self> {
        if !run.meta.resumed.is_empty() {
            return None;
        }
        let started: Timestamp = run.meta.started.parse().ok()?;
        let ended: Timestamp = run.meta.ended.as_ref()?.parse().ok()?;
        let wall_s = ended.duration_since(started).as_secs_f64();
        // A trial that failed before its window says nothing of how far it came.
        let loaded = run.rows.iter().filter(|row| row.window_s > 0.0);
        let loaded_s = loaded.map(|row| Some(warmup_s(row)? + row.window_s)).sum::<Option<f64>>()?;
        (loaded_s <= wall_s && wall_s > 0.0).then_some(Self { wall_s, loaded_s })
    }

    /// `Wall time 50 min 12 s; 9 % of it beyond warm-ups and windows.`
    pub fn sentence(&self) -> String {
        let beyond = 100.0 * (1.0 - self.loaded_s / self.wall_s);
        format!("Wall time {}; {beyond:.0} % of it beyond warm-ups and windows.", number::wall_time(self.wall_s))
    }
}

/// Rows older than the field have it in the client's command line.
fn warmup_s(row: &Row) -> Option<f64> {
    let told = || {
        let length = row.commands.get("client")?.iter().find_map(|word| word.strip_prefix(WARMUP))?;
        Some(length.parse::<SignedDuration>().ok()?.as_secs_f64())
    };
    row.warmup_s.or_else(told)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{row::Verdict, sample};

    /// A run of twenty minutes.
    fn run(rows: Vec<Row>) -> Run {
        Run { meta: sample::meta(), rows, latencies: BTreeMap::new(), warnings: Vec::new() }
    }

    fn row(warmup_s: Option<f64>) -> Row {
        Row { warmup_s, window_s: 100.0, ..sample::row("tokio") }
    }

    #[test]
    fn what_is_neither_warm_up_nor_window_is_beyond() {
        let noisy = Row { repeated: true, ..row(Some(20.0)) };
        let failed = Row { window_s: 0.0, verdict: Verdict::Failed, ..row(Some(20.0)) };
        let wall = WallTime::of(&run(vec![noisy, row(Some(20.0)), failed])).unwrap();
        assert_eq!(wall, WallTime { wall_s: 1200.0, loaded_s: 240.0 });
        assert_eq!(wall.sentence(), "Wall time 20 min 0 s; 80 % of it beyond warm-ups and windows.");
    }

    #[test]
    fn older_rows_have_their_warm_up_in_the_clients_command() {
        let mut old = row(None);
        assert_eq!(WallTime::of(&run(vec![old.clone()])), None);
        let words = ["stackload", "-d100s", "--warmup=1s 500ms"].map(str::to_owned);
        old.commands = BTreeMap::from([("client".to_owned(), words.to_vec())]);
        assert_eq!(WallTime::of(&run(vec![old])).unwrap().loaded_s, 101.5);
    }

    #[test]
    fn a_run_that_was_resumed_or_has_not_ended_or_saw_its_clock_set_says_nothing() {
        let changed = |change: fn(&mut Run)| {
            let mut run = run(vec![row(Some(1.0))]);
            change(&mut run);
            WallTime::of(&run)
        };
        assert!(changed(|_| {}).is_some());
        assert_eq!(changed(|run| run.meta.resumed.push("2026-11-21T10:10:00Z".to_owned())), None);
        assert_eq!(changed(|run| run.meta.ended = None), None);
        assert_eq!(changed(|run| run.meta.ended = Some("2026-11-21T10:01:00Z".to_owned())), None);
    }
}
