//! What stands above the tables: store, placement, load, machine. A figure without them means nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    dir::Run,
    number,
    row::{Placement, Row},
    run::ScenarioMeta,
};

/// Store, placement and load of a section, a line each.
pub fn facts(meta: Option<&ScenarioMeta>, rows: &[&Row]) -> Vec<String> {
    let Some(row) = rows.first() else { return Vec::new() };
    vec![store(meta, row), placement(row), load(meta, rows)]
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

fn placement(row: &Row) -> String {
    let cpus = |party: &str| row.cpus.get(party).map(Vec::as_slice).unwrap_or_default();
    let (server, store, client) = (cpus("server"), cpus("store"), cpus("client"));
    if row.placement == Placement::Free || server.is_empty() {
        return "Placement: free, every process may use every CPU.".to_owned();
    }
    let server_on = format!("server alone on CPU {}", list(server));
    match (store, client) {
        (_, []) => format!("Placement: pinned, {server_on}."),
        ([], client) => format!("Placement: pinned, {server_on}, client on CPU {}.", list(client)),
        (store, client) if store == client => {
            let other = if server.len() == 1 && client.len() == 1 { "the other CPU" } else { "CPU" };
            format!("Placement: pinned, {server_on}; client and store share {other} ({}).", list(client))
        }
        _ => format!("Placement: pinned, {server_on}, store on CPU {}, client on CPU {}.", list(store), list(client)),
    }
}

fn list(cpus: &[u32]) -> String {
    cpus.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

fn load(meta: Option<&ScenarioMeta>, rows: &[&Row]) -> String {
    let each = |figure: fn(&Row) -> u32| {
        let values: BTreeSet<u32> = rows.iter().map(|row| figure(row)).collect();
        values.iter().map(u32::to_string).collect::<Vec<_>>().join("/")
    };
    let trials = rows.iter().map(|row| row.trial).max().unwrap_or_default();
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
    format!(
        "Load: closed loop, {} connections, pool {}, workers {}, {window}, trials {trials}.",
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
    let there = run.rows.iter().filter(|row| !row.repeated).count();
    let missing = match meta.plan.trials {
        planned if planned > there as u64 => format!(": {there} of {planned} trials are there"),
        _ => String::new(),
    };
    let source = match (&meta.git.revision, meta.git.dirty) {
        (Some(revision), Some(true)) => format!("revision {} with local changes", short(revision)),
        (Some(revision), _) => format!("revision {}", short(revision)),
        (None, _) => "source outside a repository".to_owned(),
    };
    vec![
        format!(
            "Run started {}, {ended}{missing}. Command: `{}`; seed {}.",
            meta.started,
            meta.command.join(" "),
            meta.seed
        ),
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
    ]
}

/// Enough of a commit's name to find it.
fn short(revision: &str) -> &str {
    revision.get(..12).unwrap_or(revision)
}

/// How to read an overview.
pub fn overview() -> &'static str {
    "Medians over trials. A figure in brackets may not be ranked; its table says why. Stacks are ordered by the mean of \
     their ratios to the best of each column; what is marked as ceiling or floor is a reference and no competitor."
}

/// How to read the tables: the rules that every table of this kind rests on.
pub fn reading() -> &'static [&'static str] {
    &[
        "Figures are medians over trials with [min–max] beside them: a range, not an interval of confidence. Stacks \
         whose ranges overlap share a place (#); a single trial gives no place.",
        "Queueing p50 and p99: in a closed loop at saturation these restate throughput (connections ÷ rate); they are \
         not the latency of the stack. They are taken from the merged histograms of the trials; ≥ marks one whose rank \
         falls among requests that were never answered.",
        "`native` and `bridged` say how a stack answers the mode: with a store client of its own kind, or by handing the \
         command to threads or to a runtime of the other. Switches are the server's context switches per request.",
        "CPU µs per request is the kernel's count for all processes of the server, the store or the client over the \
         window. On loopback, much of the receive path runs in the sender.",
        "Only `ok` and `latency-bound` are ranked on speed. A stack that was paced by client or store is still ranked \
         on what a request costs it; one that starved connections, erred or was disturbed is not ranked at all.",
    ]
}
