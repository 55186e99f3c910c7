//! In what two runs differ: what tells machines and loads apart, and which programs and files changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    number,
    row::Row,
    run::{MachineInfo, RunMeta},
};

/// Something that two runs may differ in: its name, and what it is, in words.
pub(crate) type Told<T> = (&'static str, fn(&T) -> String);

/// What tells machines apart, in words and as text. What changes by itself, such as the load, is not of it.
pub(crate) const MACHINE: [Told<MachineInfo>; 8] = [
    ("host", |machine| machine.host.clone()),
    ("processor", |machine| machine.cpu_model.clone()),
    ("CPUs", |machine| machine.cpus.to_string()),
    ("physical cores", |machine| machine.physical_cores.to_string()),
    ("memory", |machine| number::bytes(machine.memory_bytes as f64)),
    ("kernel", |machine| machine.kernel.clone()),
    ("governor", |machine| machine.governor.clone().unwrap_or_else(|| "none".to_owned())),
    ("net.core.somaxconn", |machine| machine.somaxconn.to_string()),
];

/// Programs and files that are not the same in both runs, by path. What was measured may differ by them; how much, the
/// figures show, so they are named and the runs compared all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Programs that both runs know and that differ.
    pub programs: Vec<String>,
    /// Files of scenarios and stacks that both runs know and that differ.
    pub inputs: Vec<String>,
    /// Programs and files that only one of the runs knows.
    pub one_run_only: Vec<String>,
}

impl Changes {
    /// From the hashes that both runs recorded.
    pub fn of(first: &RunMeta, second: &RunMeta) -> Self {
        let programs = differing(&first.binaries, &second.binaries);
        // Older runs did not record their files, which says nothing of them.
        let are_recorded = !first.inputs.is_empty() && !second.inputs.is_empty();
        let inputs = if are_recorded { differing(&first.inputs, &second.inputs) } else { Differing::default() };
        let one_run_only = [programs.one_run_only, inputs.one_run_only].concat();
        Self { programs: programs.changed, inputs: inputs.changed, one_run_only }
    }
}

/// Names by whose values two runs differ.
#[derive(Debug, Default)]
pub(crate) struct Differing {
    /// Both have them.
    pub changed: Vec<String>,
    /// Only one has them.
    pub one_run_only: Vec<String>,
}

/// Holds two lists of named values against each other.
pub(crate) fn differing(first: &BTreeMap<String, String>, second: &BTreeMap<String, String>) -> Differing {
    let names: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let mut differing = Differing::default();
    for name in names {
        match (first.get(name), second.get(name)) {
            (Some(one), Some(other)) if one == other => {}
            (Some(_), Some(_)) => differing.changed.push(name.clone()),
            _ => differing.one_run_only.push(name.clone()),
        }
    }
    differing
}

/// Which CPUs each process of a trial was bound to, in words.
pub(crate) fn cpus(row: &Row) -> String {
    let words = row.cpus.iter().map(|(process, cpus)| format!("{process} {}", listed(cpus.iter().map(u32::to_string))));
    listed(words)
}

/// Delays of a store, in words.
pub(crate) fn delays(delays: &BTreeMap<String, String>) -> String {
    listed(delays.iter().map(|(command, delay)| format!("{command} {delay}")))
}

/// `a, b, c`, or `none`.
pub(crate) fn listed(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
