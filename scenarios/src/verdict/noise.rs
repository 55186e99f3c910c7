//! Whether others used the machine: the hypervisor, or programs that are not this run's.

use stackbench_reports::row::Verdict;
use stackload::result::CpuTicks;

use super::{Evidence, Judgement, seconds};

/// Share of CPU time that others may use: of each party's CPUs what the hypervisor takes, of all CPUs that with what is
/// known of other programs.
pub(crate) const NOISE: f64 = 0.05;
/// Share of a party's CPUs that nobody accounts for. The kernel counts how busy a CPU is by looking at it once a tick, and
/// in a thousand looks that differs from the parties' exact clocks by up to a tenth; beyond that somebody else was there.
/// That is how programs are seen that no reading of the table of processes meets because they end soon.
const UNACCOUNTED: f64 = 0.15;

/// Those who share a set of CPUs, and what they used of it.
struct Party<'a> {
    who: &'static str,
    cpus: &'a [u32],
    used_s: f64,
}

/// Names the first kind of noise that is found.
pub(super) fn noisy(evidence: &Evidence) -> Option<Judgement> {
    let parties = parties(evidence);
    stolen(evidence, &parties).or_else(|| foreign(evidence)).or_else(|| unaccounted(evidence, &parties))
}

/// Disjoint sets; one of all, where the server shares its CPUs.
fn parties<'a>(evidence: &Evidence<'a>) -> Vec<Party<'a>> {
    let cpus = evidence.cpus;
    // Those who play a fault do so on the client's CPUs.
    let client_s = evidence.result.client.cpu_s + evidence.helpers_cpu_s.unwrap_or_default();
    let server_s = evidence.server_cpu_s;
    let store_s = evidence.store_cpu_s.unwrap_or_default();
    let server = Party { who: "the server", cpus: &cpus.server, used_s: server_s };
    let store = Party { who: "the store", cpus: &cpus.store, used_s: store_s };
    let client = Party { who: "the client", cpus: &cpus.client, used_s: client_s };
    if !cpus.server_is_alone() {
        vec![Party { who: "this run", cpus: &cpus.allowed, used_s: server_s + store_s + client_s }]
    } else if cpus.peers_share() {
        vec![server, Party { who: "client and store", used_s: client_s + store_s, ..client }]
    } else if cpus.store.is_empty() {
        vec![server, client]
    } else {
        vec![server, store, client]
    }
}

/// Time that the hypervisor gave to another guest. A party that has less CPU is slower, whatever the others have.
fn stolen(evidence: &Evidence, parties: &[Party]) -> Option<Judgement> {
    let share = |party: &Party| stolen_s(evidence, party.cpus) / capacity_s(evidence, party.cpus);
    let robbed = parties.iter().find(|party| share(party) > NOISE)?;
    let (percent, who) = (100.0 * share(robbed), robbed.who);
    Some((
        Verdict::Noisy,
        format!("the hypervisor took {percent:.0} % of the CPU time of {who}; measure on a quieter host"),
    ))
}

/// What the table of processes says of others, and the hypervisor's share with it.
fn foreign(evidence: &Evidence) -> Option<Judgement> {
    // With a store that is not ours, the store is one of the others, and nothing can be told.
    evidence.store_cpu_s?;
    let allowed = &evidence.cpus.allowed;
    let capacity_s = capacity_s(evidence, allowed);
    let others_s = (evidence.result.others_cpu_s - evidence.helpers_cpu_s.unwrap_or_default()).max(0.0);
    let stolen_s = stolen_s(evidence, allowed);
    (others_s + stolen_s > NOISE * capacity_s).then(|| {
        let percent = |part: f64| 100.0 * part / capacity_s;
        let taken = match percent(stolen_s) {
            stolen if stolen >= 0.5 => format!(" and the hypervisor took {stolen:.0} %"),
            _ => String::new(),
        };
        let used = percent(others_s);
        (Verdict::Noisy, format!("other programs used {used:.0} % of the CPU time{taken}; stop them and measure again"))
    })
}

/// Time in which a party's CPUs were busy and that neither it nor the hypervisor used.
fn unaccounted(evidence: &Evidence, parties: &[Party]) -> Option<Judgement> {
    evidence.store_cpu_s?;
    let share = |party: &Party| {
        let busy_s: f64 = of(evidence, party.cpus).map(|cpu| seconds(cpu.user + cpu.system + cpu.irq)).sum();
        (busy_s - party.used_s) / capacity_s(evidence, party.cpus)
    };
    let crowded = parties.iter().find(|party| share(party) > UNACCOUNTED)?;
    let (percent, who) = (100.0 * share(crowded), crowded.who);
    let text = format!("{percent:.0} % of the time of the CPUs of {who} went to nobody who is known");
    Some((
        Verdict::Noisy,
        format!("{text}: programs that began and ended meanwhile, or interrupts; stop them and measure again"),
    ))
}

fn of<'a>(evidence: &'a Evidence, set: &'a [u32]) -> impl Iterator<Item = &'a CpuTicks> {
    evidence.result.cpus.iter().filter(|cpu| set.contains(&cpu.cpu))
}

fn stolen_s(evidence: &Evidence, set: &[u32]) -> f64 {
    of(evidence, set).map(|cpu| seconds(cpu.steal)).sum()
}

/// CPU time that there was in the window.
fn capacity_s(evidence: &Evidence, set: &[u32]) -> f64 {
    evidence.result.window_s * set.len() as f64
}
