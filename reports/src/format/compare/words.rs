//! What a comparison says in sentences.

use super::sheet::{Heads, Tone, counted};
use crate::{
    compare::{Basis, Changed, CommonMove, Comparison, Difference, Finding, Line, Missing, Quantity},
    number,
    places::PLACE_TRIALS_MIN,
    stats,
};

/// Which runs these are.
pub fn runs(heads: Heads) -> Vec<String> {
    let of = |index: usize, name: &str| {
        let meta = heads.metas[index];
        let ended = if meta.ended.is_some() { "" } else { ", not ended" };
        format!("{name}: {}, started {}{ended}.", heads.names[index], meta.started)
    };
    vec![of(0, "A, the baseline"), of(1, "B")]
}

/// What changed between them.
pub fn changed(changed: &Changed) -> Vec<String> {
    let Changed { settings, files, .. } = changed;
    let mut what: Vec<String> =
        settings.iter().map(|Difference { what, values: [a, b] }| format!("{what}: {a} → {b}.")).collect();
    if !files.programs.is_empty() {
        what.push(format!("Programs: {}.", names(&files.programs)));
    }
    if !files.inputs.is_empty() {
        what.push(format!("Files: {}.", files.inputs.join(", ")));
    }
    if what.is_empty() {
        what.push("Nothing of what both runs record of source, programs and settings.".to_owned());
    }
    what
}

/// Of programs, without the folder that they all lie in.
fn names(paths: &[String]) -> String {
    paths.iter().map(|path| path.rsplit('/').next().unwrap_or(path)).collect::<Vec<_>>().join(", ")
}

/// How fast the machine was, where that need not be said in front.
pub fn speed(basis: &Basis) -> Vec<String> {
    let Some(speed) = basis.speed.filter(|speed| !speed.is_notable) else { return Vec::new() };
    let [a, b] = speed.took_ms;
    vec![format!(
        "Speed of the machine: a fixed piece of work beside each trial took {a:.2} ms in A and {b:.2} ms in B."
    )]
}

/// What a reader has to know before the first figure.
pub fn alarms(basis: &Basis) -> Vec<String> {
    let mut alarms = Vec::new();
    if !basis.grounds.is_empty() {
        let grounds: Vec<String> = basis.grounds.iter().map(Difference::words).collect();
        alarms.push(format!(
            "These runs were not made on the same ground, and every difference below may be due to that: {}.",
            grounds.join("; ")
        ));
    }
    if let Some(speed) = basis.speed.filter(|speed| speed.is_notable) {
        let ([a, b], times) = (speed.took_ms, speed.times());
        let (word, times) = if times > 1.0 { ("slower", times) } else { ("faster", 1.0 / times) };
        alarms.push(format!(
            "The machine was {times:.2} times {word} in B: a fixed piece of work beside each trial took {a:.2} ms in A and \
             {b:.2} ms in B. That may explain differences of this size below."
        ));
    }
    if !basis.changed.instruments.is_empty() {
        alarms.push(format!(
            "Not the stacks alone changed, but also what measures them: {}.",
            names(&basis.changed.instruments)
        ));
    }
    if let Some(started) = &basis.one_run {
        alarms.push(format!(
            "Both directories hold one and the same run, started {started}: what differs between them is no measurement."
        ));
    }
    alarms
}

/// What most stacks did alike, which is rarely their own doing.
pub fn common_move(comparison: &Comparison) -> Option<String> {
    let CommonMove { times, cells, stacks } = comparison.common_move()?;
    Some(format!(
        "Most stacks moved together: over {cells} cells of {stacks} stacks, the median of B ÷ A of {} is {times:.2}. What \
         moves so many alike is rather the machine, or what they share, than any one of them.",
        Quantity::Cpu.words()
    ))
}

/// The noise floors of the figures that are shown.
pub fn noise(comparison: &Comparison) -> Vec<String> {
    let is_shown = |quantity: Quantity| comparison.cells().flat_map(|cell| &cell.lines).any(|l| l.quantity == quantity);
    let of = |floor: Option<f64>| {
        floor.map_or_else(|| "not measured".to_owned(), |floor| format!("{} %", number::percent(floor.exp_m1())))
    };
    let shown = comparison.noise.iter().filter(|(quantity, _)| is_shown(*quantity));
    let floors: Vec<String> = shown
        .map(|(quantity, [a, b])| format!("{} {} in A and {} in B", quantity.words(), of(a.floor), of(b.floor)))
        .collect();
    match comparison.noise.iter().all(|(_, runs)| runs.iter().all(|noise| noise.floor.is_none())) {
        true => vec!["Noise floor: neither run has one, as no stack was soundly measured under two names.".to_owned()],
        false => vec![format!(
            "Noise floor, by how much two names of one stack differ: {}. No difference below the larger counts.",
            floors.join("; ")
        )],
    }
}

/// How much was compared, and what chance makes of it.
pub fn summary(comparison: &Comparison) -> Vec<String> {
    let trials = |side: usize| {
        let spreads = comparison.cells().flat_map(|cell| &cell.lines).filter_map(|line| line.sides[side]);
        let (least, most) = spreads.fold((usize::MAX, 0), |(least, most), s| (least.min(s.trials), most.max(s.trials)));
        match most {
            0 => "none".to_owned(),
            most if least == most => most.to_string(),
            most => format!("{least} to {most}"),
        }
    };
    let cells = comparison.cells().count();
    let mut lines =
        vec![format!("Cells in both runs: {cells}; trials of each: {} in A, {} in B.", trials(0), trials(1))];
    let (ranges, by_chance) = comparison.ranges();
    let intervals = comparison.intervals();
    if intervals > 0 {
        let half = intervals as f64 * stats::SIGNIFICANCE / 2.0;
        lines.push(format!(
            "Of {intervals} ratios with intervals, chance alone would put {half:.1} wholly on the worse side where nothing \
             differs. They are corrected for that together (Holm), so that any is called different by chance with a \
             probability of at most 5 %."
        ));
    }
    if ranges > 0 {
        lines.push(format!(
            "Of {ranges} ratios of fewer than {} trials, chance alone is expected to make {by_chance:.1} worse, and as many \
             better, where nothing differs; nothing corrects for that but the noise floor. Measure with `--trials {}` or \
             more before you believe one.",
            stats::TRIALS_MIN,
            stats::TRIALS_MIN
        ));
    }
    if comparison.rates_left_out > 0 {
        lines.push(format!(
            "Cells whose rates are the server's own in neither run, and left out: {}; `--figure rate` says why.",
            comparison.rates_left_out
        ));
    }
    lines.extend(missing(&comparison.basis.one_run_only));
    lines
}

/// The cells that only one run has.
pub fn missing(one_run_only: &[Missing; 2]) -> Vec<String> {
    let of_run = |(missing, name): (&Missing, &str)| {
        (!missing.is_empty())
            .then(|| format!("Not comparable, as only {name} has them (cells): {}.", counted(missing).join("; ")))
    };
    one_run_only.iter().zip(["A", "B"]).filter_map(of_run).collect()
}

/// The verdict on a line: in words, how to mark it, and why.
pub fn verdict(line: &Line) -> (&'static str, Tone, Option<&str>) {
    let (words, why) = match &line.finding {
        Finding::WithinNoise => ("within noise", None),
        Finding::Better => (line.quantity.better(), None),
        Finding::Worse => (line.quantity.worse(), None),
        Finding::TooFewTrials(why) => ("too few trials", Some(why.as_str())),
        Finding::NotComparable(why) => ("not comparable", Some(why.as_str())),
        Finding::Carried([true, true]) => ("carried in both", None),
        Finding::Carried([true, false]) => ("no longer carried", None),
        Finding::Carried([false, true]) => ("carried now", None),
        Finding::Carried([false, false]) => ("carried in neither", None),
    };
    (words, tone(&line.finding), why)
}

/// How to mark a finding.
pub fn tone(finding: &Finding) -> Tone {
    match finding {
        Finding::Better | Finding::Carried([false, true]) => Tone::Better,
        Finding::Worse | Finding::Carried([true, false]) => Tone::Worse,
        _ => Tone::Plain,
    }
}

/// `5 %`.
pub fn share(share: f64) -> String {
    format!("{} %", (share * 1e4).round() / 1e2)
}

/// How to read the tables.
pub fn reading(comparison: &Comparison) -> Vec<String> {
    let is_shown = |quantity: Quantity| comparison.cells().flat_map(|cell| &cell.lines).any(|l| l.quantity == quantity);
    let mut lines = vec![format!(
        "A and B are medians over the trials of a cell, and in brackets stand their ranges, or from {} trials on the \
         intervals of the medians. Trials of two runs have nothing to do with each other, so B ÷ A is unpaired: from {} \
         trials in both on, the ratio of geometric means with its own {:.0} % interval (Student's t with Welch's degrees of \
         freedom, on the logarithms), and before that the ratio of medians.",
        stats::TRIALS_MIN,
        stats::TRIALS_MIN,
        100.0 * stats::CONFIDENCE
    )];
    lines.push(format!(
        "Within noise: a difference that is smaller than the larger noise floor, or that chance makes: with intervals, a \
         p-value of 5 % or more after the correction for all of them (an interval that shuts out 1 by itself may be one of \
         them); with {PLACE_TRIALS_MIN} to {} trials, ranges that overlap. With fewer no difference can be told.",
        stats::TRIALS_MIN - 1
    ));
    lines.push(
        "The intervals hold what varied within each run. What differed between the runs as a whole, such as a neighbour on the \
         host or where a build put its code, is in every ratio; `stackbench repeat` on two runs of the same shows how much \
         that is."
            .to_owned(),
    );
    if is_shown(Quantity::P99) {
        lines.push(
            "p99: each trial's own 99th percentile of the latency from due; a report's is that of the merged trials."
                .to_owned(),
        );
    }
    lines
}

/// How to read the bounds of searches.
pub fn reading_searches() -> Vec<String> {
    vec![
        "Bounds: the highest rate that met the objective, and the lowest that missed it. Where those of A and B overlap, \
         nothing is known to differ; an upper bound that is the client's or the store's bounds the stack in nothing. B ÷ A is \
         that of the middles (geometric) of the bounds."
            .to_owned(),
        "There is no noise floor and no correction for many: bounds are apart or not. What differed between the runs as a \
         whole, such as a neighbour on the host, is in every ratio."
            .to_owned(),
    ]
}
