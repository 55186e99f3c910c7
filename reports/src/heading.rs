//! What stands above the tables: store, placement, load, machine. A figure without them means nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    dir::Run,
    number,
    places::PLACE_TRIALS_MIN,
    row::Row,
    run::{ScenarioMeta, StoreKind},
    stats::{self, median},
    table::Section,
    wall::WallTime,
};

mod placement;

use placement::placement;

/// Store, placement and load of a section, a line each.
pub fn facts(meta: Option<&ScenarioMeta>, rows: &[&Row]) -> Vec<String> {
    let trials = rows.iter().map(|row| row.trial).max().unwrap_or_default();
    facts_of_load(meta, rows, &format!(", trials {trials}"))
}

/// The same of searches, each of which makes as many trials as it takes.
pub fn search_facts(meta: Option<&ScenarioMeta>, rows: &[&Row]) -> Vec<String> {
    facts_of_load(meta, rows, "")
}

fn facts_of_load(meta: Option<&ScenarioMeta>, rows: &[&Row], trials: &str) -> Vec<String> {
    let lines = [store_ceiling(meta), speed(rows)];
    setting(meta, rows, trials).into_iter().chain(lines.into_iter().flatten().filter(|_| !rows.is_empty())).collect()
}

/// Store, placement and load of these rows, a line each; `trials` ends the last.
pub(crate) fn setting(meta: Option<&ScenarioMeta>, rows: &[&Row], trials: &str) -> Vec<String> {
    let Some(row) = rows.first() else { return Vec::new() };
    let load = format!("{}{trials}.", load(meta, rows));
    [Some(store(meta, row)), placement(meta, rows), Some(load)].into_iter().flatten().collect()
}

/// How much the machine's own speed changed while this was measured.
fn speed(rows: &[&Row]) -> Option<String> {
    let mut took_ms: Vec<f64> = rows.iter().filter_map(|row| row.yardstick_ms).flatten().collect();
    took_ms.sort_by(f64::total_cmp);
    let (least, most) = (took_ms.first()?, took_ms.last()?);
    let median = took_ms[took_ms.len() / 2];
    Some(format!(
        "Speed of the machine: a fixed piece of work beside each trial took {median:.1} ms ({least:.1} to {most:.1}); where \
         it takes longer, neighbours on the host slow every figure."
    ))
}

/// What the store alone could do, beside which a stack's rate shows what is the stack's.
fn store_ceiling(meta: Option<&ScenarioMeta>) -> Option<String> {
    let meta = meta.filter(|meta| !meta.store_ceiling.is_empty())?;
    let words = meta.store_ceiling.iter().map(|(command, ceiling)| {
        let (multiplexed, plain) = (number::rate(ceiling.multiplexed_per_sec), number::rate(ceiling.plain_per_sec));
        format!("{} {multiplexed}/s multiplexed and {plain}/s plain", command.to_uppercase())
    });
    Some(format!(
        "Store alone, asked by the same clients without HTTP and without delay (one multiplexed connection with {} \
         commands in flight, {} plain ones): {}.",
        meta.connections,
        meta.pool,
        words.collect::<Vec<_>>().join(", ")
    ))
}

/// Which steps a machine of so many CPUs could not run; none if it could run all.
pub fn left_out(meta: &ScenarioMeta, cpus: u32) -> Option<String> {
    let workers: Vec<String> = meta.workers_left_out.iter().map(u32::to_string).collect();
    (!workers.is_empty()).then(|| {
        let workers = workers.join(", ");
        format!("Left out: steps of {workers} workers; each is to have a CPU, and this machine has {cpus}.")
    })
}

fn store(meta: Option<&ScenarioMeta>, row: &Row) -> String {
    // Steps may have delays of their own; each kind is said once.
    let of_steps = meta.into_iter().flat_map(|meta| meta.steps.iter().map(|step| &step.delays));
    let of_all = meta.into_iter().filter(|meta| meta.steps.is_empty()).map(|meta| &meta.delays);
    let mut kinds: Vec<&BTreeMap<String, String>> = Vec::new();
    for delays in of_steps.chain(of_all) {
        if !kinds.contains(&delays) {
            kinds.push(delays);
        }
    }
    let in_words = |delays: &BTreeMap<String, String>| {
        let words = delays.iter().map(|(command, delay)| format!("{} answered after {delay}", command.to_uppercase()));
        let words: Vec<String> = words.collect();
        if words.is_empty() { "no added delay".to_owned() } else { words.join(", ") }
    };
    let delays = match kinds.iter().map(|delays| in_words(delays)).collect::<Vec<_>>() {
        kinds if kinds.is_empty() => "no added delay".to_owned(),
        kinds => kinds.join("; "),
    };
    format!("Store: {}, {delays}.", row.store_name)
}

fn load(meta: Option<&ScenarioMeta>, rows: &[&Row]) -> String {
    let each = |figure: fn(&Row) -> u32| {
        let values: BTreeSet<u32> = rows.iter().map(|row| figure(row)).collect();
        values.iter().map(u32::to_string).collect::<Vec<_>>().join("/")
    };
    let window = match meta {
        Some(meta) => {
            let of_steps = meta.steps.iter().map(|step| step.warmup_s);
            let (least, most) = of_steps.fold((f64::INFINITY, 0.0), |(a, b): (f64, f64), s| (a.min(s), b.max(s)));
            let warmup = match meta.steps.is_empty() {
                true => number::seconds(meta.warmup_s),
                false if least == most => number::seconds(most),
                false => format!("{} to {}", number::seconds(least), number::seconds(most)),
            };
            format!("window {} after {warmup} of warm-up", number::seconds(meta.duration_s))
        }
        None => format!("window {}", number::seconds(rows.iter().map(|row| row.window_s).fold(0.0, f64::max))),
    };
    let is_open = |row: &&&Row| row.offered.is_some();
    let model = match rows.iter().filter(is_open).count() {
        0 => "closed loop",
        open if open == rows.len() => "open loop",
        _ => "open loop, and a closed one for the maximum",
    };
    format!(
        "Load: {model}, {} connections, pool {}, workers {}, {window}",
        each(|row| row.connections),
        each(|row| row.pool),
        each(|row| row.workers),
    )
}

/// When, where and from which source a run was made, a line each.
pub fn provenance(run: &Run) -> Vec<String> {
    let meta = &run.meta;
    let machine = &meta.machine;
    let ended = match &meta.ended {
        Some(ended) => format!("ended {ended}"),
        None => "not ended".to_owned(),
    };
    // A trial that was measured again is planned once.
    let made = run.rows.iter().filter(|row| !row.repeated).count();
    let missing = match meta.plan.trials {
        planned if planned > made as u64 => format!(": {made} of {planned} trials are there"),
        _ => String::new(),
    };
    let source = match (&meta.git.revision, meta.git.dirty) {
        (Some(revision), Some(true)) => format!("revision {} with local changes", short(revision)),
        (Some(revision), _) => format!("revision {}", short(revision)),
        (None, _) => "source outside a repository".to_owned(),
    };
    let started = [format!(
        "Run started {}, {ended}{missing}. Command: `{}`; seed {}.",
        meta.started,
        meta.command.join(" "),
        meta.seed
    )];
    let of_machine = [
        format!(
            "Machine: {}, {} CPUs on {} physical cores, {} of memory, {}.",
            machine.cpu_model,
            machine.cpus,
            machine.physical_cores,
            number::bytes(machine.memory_bytes as f64),
            machine.kernel
        ),
        format!(
            "Programs: {source}, profile {} ({}), allocator {}.",
            meta.profile.name, meta.profile.settings, meta.allocator
        ),
    ];
    let wall_time = WallTime::of(run).map(|wall| wall.sentence());
    started.into_iter().chain(wall_time).chain(of_machine).collect()
}

/// Enough of a commit's name to find it.
pub(crate) fn short(revision: &str) -> &str {
    revision.get(..12).unwrap_or(revision)
}

/// How to read an overview.
pub fn overview() -> &'static str {
    "Medians over trials. A figure in brackets may not be ranked; its table says why. Stacks are ordered by the mean of \
     their ratios to the best of each column; what is marked as ceiling or floor is a reference and no competitor."
}

/// What stands above the list of rates that were too much.
pub const NOT_CARRIED: &str = "Offered and not carried:";

/// How to read the tables of what faults did.
pub fn faults() -> &'static str {
    "Lost: requests of the load, and of a second client, that will never be answered, over all trials; 503 and other: \
     answers of the load. p99: of latencies from the instants at which requests were due, by when their answers came: \
     before the fault, and from its beginning until it was back. Back after: from the fault's end until the p99 of a \
     second was within a tenth of what it was before, or within what seconds before the fault differed by. The load's own \
     requests are never those that a second client sends, so under held handlers, slow readers and an overload they are \
     the unaffected ones."
}

/// What stands above the table of what stacks hold.
pub const HOLDINGS: &str = "What a stack holds";

/// How to read that table.
pub fn holdings() -> &'static str {
    "Medians over all trials of the scenario. Cold start: from the start of the process to its first answer. PSS: memory \
     of all the server's processes right after the window with the load's connections open, what they share divided \
     among them. An idle connection has been served once and waits; it was weighed on a server process of its own, once \
     for each stack and with as many connections as the load has (where steps differ, the most), and the kernel's memory \
     for sockets is not in it."
}

/// How to read the tables: the rules that every table of these sections rests on.
pub fn reading(run: &Run, sections: &[Section]) -> Vec<String> {
    let tables = || sections.iter().flat_map(|section| &section.panels).flat_map(|panel| &panel.tables);
    let trials: BTreeSet<usize> = tables().flat_map(|table| table.trials.iter().copied()).collect();
    let mut lines = spread(&trials);
    lines.extend(tables().any(|table| table.has_ratios).then(|| RATIOS.to_owned()));
    lines.extend(no_noise_floor(sections));
    let has = |is_open: bool| tables().any(|table| table.is_open == is_open);
    lines.extend(has(false).then(|| QUEUEING.to_owned()));
    lines.extend(has(true).then(|| FROM_DUE.to_owned()));
    lines.extend([PERCENTILES, HOW, cost(run.meta.store.kind), RANKED].map(str::to_owned));
    lines
}

/// Says of a run without a floor what its places lack. The figures that sections are ordered by may differ, so that some
/// have one and others do not.
fn no_noise_floor(sections: &[Section]) -> Option<String> {
    let without = sections.iter().find(|section| section.noise.floor.is_none())?;
    let some =
        if sections.iter().all(|section| section.noise.floor.is_none()) { "" } else { " for some of the tables" };
    Some(format!(
        "Beware: {}{some}. What the order of trials or the layout of memory does to one stack may pass for a difference of two.",
        without.noise.absence()
    ))
}

/// What stands in the brackets beside a median, and how places come about, for tables whose figures rest on these
/// numbers of trials.
fn spread(trials: &BTreeSet<usize>) -> Vec<String> {
    let (few, enough): (Vec<usize>, Vec<usize>) = trials.iter().partition(|trials| **trials < stats::TRIALS_MIN);
    if enough.is_empty() {
        let ranges =
            "Figures are medians over trials with [min–max] beside them: a range, not an interval of confidence.";
        return [Some(ranges.to_owned()), places_by_ranges(&few)].into_iter().flatten().collect();
    }
    let coverage = |trials: &usize| {
        let covered = median::coverage(*trials, median::rank(*trials));
        format!("{} % ({trials} trials)", number::percent(covered))
    };
    let coverages: Vec<String> = enough.iter().map(coverage).collect();
    let minimum = stats::TRIALS_MIN;
    let mut lines = vec![
        format!(
            "Figures are medians over trials with an interval beside them: two of the values, which hold the true median \
             between them with a probability of {}, however the values are distributed.",
            coverages.join(", ")
        ),
        format!(
            "Places (#) come from comparisons within blocks: a stack's is one more than the stacks told apart from it as \
             better, so one of wide spread may have a better place than one above it. Two stacks are told apart where the \
             mean log-ratio over at least {minimum} blocks differs from 0 by Student's t at 5 %, corrected after Holm for \
             all pairs of the table, and by more than the noise floor."
        ),
    ];
    if !few.is_empty() {
        lines.push(format!(
            "Where a figure rests on fewer than {minimum} trials, the brackets hold the range [min–max], which is no interval."
        ));
        lines.extend(places_by_ranges(&few));
    }
    lines
}

/// How places come about where there are too few blocks for a paired comparison, and how often chance alone gives some.
fn places_by_ranges(trials: &[usize]) -> Option<String> {
    let none = format!("Fewer than {PLACE_TRIALS_MIN} trials give no place (#).");
    let chance =
        |trials: &usize| format!("{} % with {trials}", number::percent(stats::chance::ranges_apart(*trials, *trials)));
    let chances: Vec<String> = trials.iter().filter(|trials| **trials >= PLACE_TRIALS_MIN).map(chance).collect();
    if chances.is_empty() {
        return (!trials.is_empty()).then_some(none);
    }
    Some(format!(
        "With fewer than {} trials places (#) come from ranges: a stack's is one more than the stacks whose ranges are \
         wholly better, by medians further apart than the noise floor, so one of wide spread may have a better place than one \
         above it. The ranges of two stacks that do not differ are apart \
         by chance with a probability of {} trials, for each pair of them; it is not corrected for the number of pairs. \
         {none}",
        stats::TRIALS_MIN,
        chances.join(", "),
    ))
}

/// What stands in the column of ratios.
const RATIOS: &str = "× best: the figure that the table is ordered by over that of its best ranked stack (1), as the \
                      geometric mean of the ratios within blocks, with an interval. The intervals of a table hold all at \
                      once with a probability of at least 95 %, whichever stack is the best (Bonferroni over all its pairs, \
                      Student's t); so each is wider than one by itself would be. The noise floor is not in them.";

/// What the percentiles are.
const QUEUEING: &str = "Queueing p50 and p99: in a closed loop at saturation these restate throughput (connections ÷ rate); \
                        they are not the latency of the stack.";

/// What they are in an open loop.
pub(crate) const FROM_DUE: &str = "Latencies from due: from the instant at which a request was due, whether or not the server or a \
                        connection was ready for it, to the last byte of its answer. Where less than the offered rate was \
                        carried, a queue was growing: they say how long the window was, and are marked ≥. Carried is the rate of \
                        answers over the rate offered. Schedule lag: how much later than it could the load client sent, \
                        which is no fault of a stack; beyond 1 ms the row is `client-limited`. Of a share of its maximum, \
                        each stack has a rate of its own.";

/// Where all percentiles come from.
const PERCENTILES: &str = "Percentiles are taken from the merged histograms of the trials, never averaged; ≥ marks one whose \
                           rank falls among requests that were never answered or whose rate was not carried, and (7 of 8) that only so many of the trials' \
                           histograms could be read.";

/// The words beside a stack's name.
const HOW: &str = "`native` and `bridged` say how a stack answers the mode: with a store client of its own kind, or by handing \
                   the command to threads or to a runtime of the other. Switches are the server's context switches per \
                   request.";

/// What the columns of cost are. A store that was running already is not ours to count.
fn cost(store: StoreKind) -> &'static str {
    match store {
        StoreKind::Embedded | StoreKind::Spawn => {
            "CPU µs per request is the kernel's count for all processes of the server, the store or the client over the \
             window. On loopback, much of the receive path runs in the sender. Requests per server-CPU-second are the \
             server's the other way round: how many it answers for each second of CPU time. The rest (a column of report.md) \
             is what these three leave of the time in which the machine's CPUs were busy, sampled by ticks: interrupts, other \
             programs, and error."
        }
        StoreKind::Url => {
            "CPU µs per request is the kernel's count for all processes of the server or the client over the window. On \
             loopback, much of the receive path runs in the sender. Requests per server-CPU-second are the server's the \
             other way round: how many it answers for each second of CPU time. The store was given by its URL: what it costs \
             is not known here, and so neither is what of the machine's busy time is left unexplained."
        }
    }
}

/// Who has a place.
const RANKED: &str = "Only `ok` and `latency-bound` are ranked on speed. A stack that was paced by client or store is still \
                      ranked on what a request costs it; one that starved connections, erred or was disturbed is not ranked \
                      at all.";
