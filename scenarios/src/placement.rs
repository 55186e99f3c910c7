//! Placement: which CPUs the server, the store and the client may use.
//!
//! `pinned` gives the server CPUs of its own, as whole physical cores of one last-level cache. With four cores or more the
//! store has one core, the client its own, which the harness shares, the server the rest, and the first core is left to
//! interrupts and daemons. With three each has one; with two the server has one, and store and client share the
//! other. `free` binds nobody. Steps over workers give the server as many CPUs as it has workers, wherever they have to
//! come from ([`Cpus::with_server_on`]).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fs, io, thread,
};

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use stackbench_reports::row::Placement;

use crate::machine::Kernel;

/// One core in so many goes to the client, once the store has its own and one is left out: a client's answer costs about
/// a third of a server's request.
const CLIENT_SHARE: usize = 3;

/// The CPUs of each party; empty lists mean "any".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus {
    /// The server's.
    pub server: Vec<u32>,
    /// The store's; empty for a store that was running already, which is not ours to place.
    pub store: Vec<u32>,
    /// The client's; the harness itself stays on these too.
    pub client: Vec<u32>,
    /// CPUs that may be used at all.
    pub allowed: Vec<u32>,
}

impl Cpus {
    /// The same with the server bound to so many CPUs: its own first, then those that are nobody's, and only then those of
    /// client and store, which keep them. Of each kind, one thread of every core comes before the second of any.
    pub fn with_server_on(&self, cpus: u32) -> Self {
        self.with_server_on_cores(cpus, &physical_cores(&self.allowed))
    }

    fn with_server_on_cores(&self, cpus: u32, cores: &[Vec<u32>]) -> Self {
        let thread_of_core = |cpu: u32| cores.iter().find_map(|core| core.iter().position(|other| *other == cpu));
        let is_of_peers = |cpu: u32| self.client.contains(&cpu) || self.store.contains(&cpu);
        let mut server = self.allowed.clone();
        // From the last on, because the first is where interrupts and daemons are.
        server.sort_by_key(|&cpu| (is_of_peers(cpu), !self.server.contains(&cpu), thread_of_core(cpu), Reverse(cpu)));
        server.truncate(cpus as usize);
        Self { server, ..self.clone() }
    }

    /// CPUs that the server may use.
    pub fn of_server(&self) -> &[u32] {
        if self.server.is_empty() { &self.allowed } else { &self.server }
    }

    /// Whether nobody else may use the server's CPUs.
    pub fn server_is_alone(&self) -> bool {
        let shares = |others: &[u32]| others.iter().any(|cpu| self.server.contains(cpu));
        // A client that is bound to none may use all; a store without any is not ours to place.
        !self.server.is_empty() && !self.client.is_empty() && !shares(&self.client) && !shares(&self.store)
    }

    /// Workers a server should run: one for each of its CPUs.
    pub fn server_workers(&self) -> u32 {
        count(self.of_server())
    }

    /// Threads the client should run: one for each of its CPUs; half of all when nobody is bound.
    pub fn client_threads(&self) -> u32 {
        if self.client.is_empty() { (count(&self.allowed) / 2).max(1) } else { count(&self.client) }
    }

    /// Whether store and client share CPUs.
    pub fn peers_share(&self) -> bool {
        self.store == self.client
    }

    /// The CPUs of each, by `server`, `store` and `client`.
    pub fn by_process(&self) -> BTreeMap<String, Vec<u32>> {
        let named = [("server", &self.server), ("store", &self.store), ("client", &self.client)];
        named.map(|(who, cpus)| (who.to_owned(), cpus.clone())).into()
    }

    /// Where everything runs, in words for a heading.
    pub fn describe(&self) -> String {
        if self.server.is_empty() {
            return format!("free on {} CPUs", self.allowed.len());
        }
        let list = |cpus: &[u32]| cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        if self.store.is_empty() {
            return format!("pinned: server on CPU {}, client on CPU {}", list(&self.server), list(&self.client));
        }
        if self.peers_share() {
            format!("pinned: server on CPU {}, client and store share CPU {}", list(&self.server), list(&self.client))
        } else {
            let (server, store, client) = (list(&self.server), list(&self.store), list(&self.client));
            format!("pinned: server on CPU {server}, store on CPU {store}, client on CPU {client}")
        }
    }
}

fn count(cpus: &[u32]) -> u32 {
    u32::try_from(cpus.len()).unwrap_or(u32::MAX)
}

/// Divides the machine.
///
/// # Errors
/// When `pinned` is asked for and fewer than two CPUs may be used.
pub fn divide(placement: Placement) -> Result<Cpus> {
    let allowed = allowed_cpus()?;
    if placement == Placement::Free {
        return Ok(Cpus { server: vec![], store: vec![], client: vec![], allowed });
    }
    ensure!(
        allowed.len() >= 2,
        "--placement pinned needs two CPUs, and this process may use {}; write --placement free",
        allowed.len()
    );
    let cores = physical_cores(&allowed);
    let domain = largest_cache_domain(&cores);
    // A machine may have but one core, or one for each cache. Half a core, or a core across caches, still keeps the server's
    // CPU its own; `describe` says which CPUs these are, and run.json how many cores are behind them.
    let cores = match (domain.len(), cores.len()) {
        (2.., _) => domain,
        (_, 2..) => cores,
        _ => allowed.iter().map(|&cpu| vec![cpu]).collect(),
    };
    Ok(assign(&cores, allowed))
}

/// Gives whole cores to the parties, by the rules at the head of this module.
fn assign(cores: &[Vec<u32>], allowed: Vec<u32>) -> Cpus {
    let flat = |cores: &[Vec<u32>]| cores.concat();
    match cores {
        [shared, server] => Cpus { server: server.clone(), store: shared.clone(), client: shared.clone(), allowed },
        [client, store, server] => {
            Cpus { server: server.clone(), store: store.clone(), client: client.clone(), allowed }
        }
        [_left_out, store, rest @ ..] => {
            let clients = (rest.len() / CLIENT_SHARE).max(1);
            Cpus { server: flat(&rest[clients..]), store: store.clone(), client: flat(&rest[..clients]), allowed }
        }
        _ => unreachable!("the caller has made sure of two cores"),
    }
}

/// CPUs of this process's affinity mask, cut to the quota of its control group and those around it: a CPU that is throttled
/// half of the time is none.
///
/// # Errors
/// When the kernel does not say.
pub fn allowed_cpus() -> Result<Vec<u32>> {
    let set = sched_getaffinity(None).context("cannot read this process's CPU affinity")?;
    let cpus = (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).filter_map(|cpu| u32::try_from(cpu).ok());
    Ok(cpus.take(whole(Kernel::running().cpu_quota().map(|(cpus, _)| cpus))).collect())
}

/// Whole CPUs of a quota; one is left of any.
fn whole(quota: Option<f64>) -> usize {
    quota.map_or(usize::MAX, |cpus| (cpus as usize).max(1))
}

/// CPUs grouped by physical core, in the order of their first CPU.
pub fn physical_cores(allowed: &[u32]) -> Vec<Vec<u32>> {
    let mut seen = BTreeSet::new();
    let mut cores = Vec::new();
    for &cpu in allowed {
        if seen.contains(&cpu) {
            continue;
        }
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        let siblings =
            fs::read_to_string(path).ok().and_then(|text| parse_cpu_list(text.trim())).unwrap_or_else(|| vec![cpu]);
        let core: Vec<u32> = siblings.into_iter().filter(|sibling| allowed.contains(sibling)).collect();
        seen.extend(core.iter().copied());
        cores.push(core);
    }
    cores
}

/// The cores of the last-level cache that holds most of them.
fn largest_cache_domain(cores: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let domain_of = |cpu: u32| {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/cache/index3/shared_cpu_list");
        fs::read_to_string(path).unwrap_or_default()
    };
    let mut domains: Vec<(String, Vec<Vec<u32>>)> = Vec::new();
    for core in cores {
        let domain = domain_of(core[0]);
        match domains.iter_mut().find(|(name, _)| *name == domain) {
            Some((_, members)) => members.push(core.clone()),
            None => domains.push((domain, vec![core.clone()])),
        }
    }
    // The first of the largest, so that the choice is the same every time.
    domains.into_iter().rev().max_by_key(|(_, members)| members.len()).map(|(_, members)| members).unwrap_or_default()
}

/// `0-3,8` as numbers.
fn parse_cpu_list(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<u32>().ok()?..=last.parse().ok()?);
    }
    Some(cpus)
}

/// Runs `action` on a thread bound to `cpus`, so that a child it starts inherits the binding from its very first
/// instruction. Where there are none it stays with the harness: on all CPUs it may use, or, once a run is `pinned`, on the
/// client's.
///
/// # Errors
/// When the kernel refuses the binding.
pub fn on_cpus<T: Send>(cpus: &[u32], action: impl FnOnce() -> T + Send) -> io::Result<T> {
    if cpus.is_empty() {
        return Ok(action());
    }
    thread::scope(|scope| {
        let bound = scope.spawn(|| {
            bind_this_thread(cpus)?;
            Ok(action())
        });
        bound.join().expect("starting a process does not panic")
    })
}

/// Binds the calling thread.
///
/// # Errors
/// When the kernel refuses.
pub fn bind_this_thread(cpus: &[u32]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu as usize);
    }
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(n: u32) -> Vec<Vec<u32>> {
        (0..n).map(|cpu| vec![cpu]).collect()
    }

    #[test]
    fn on_two_cores_the_server_is_alone_and_its_peers_share() {
        let cpus = assign(&cores(2), vec![0, 1]);
        assert_eq!((cpus.server.clone(), cpus.store.clone(), cpus.client.clone()), (vec![1], vec![0], vec![0]));
        assert!(cpus.peers_share() && cpus.describe().contains("share CPU 0"));
    }

    #[test]
    fn on_four_cores_everyone_is_alone_and_core_0_is_left_out() {
        let cpus = assign(&cores(4), vec![0, 1, 2, 3]);
        assert_eq!((cpus.store, cpus.client, cpus.server), (vec![1], vec![2], vec![3]));
    }

    #[test]
    fn on_sixteen_cores_the_client_has_a_third_of_what_is_left() {
        let cpus = assign(&cores(16), (0..16).collect());
        assert_eq!((cpus.client.len(), cpus.server.len()), (4, 10));
    }

    #[test]
    fn hyper_threads_of_a_core_stay_together() {
        let cpus = assign(&[vec![0, 4], vec![1, 5], vec![2, 6], vec![3, 7]], (0..8).collect());
        assert_eq!(cpus.server, vec![3, 7]);
        assert_eq!(cpus.server_workers(), 2);
    }

    #[test]
    fn on_two_cores_a_second_worker_shares_the_cpu_of_client_and_store() {
        let pinned = assign(&cores(2), vec![0, 1]);
        let on = |cpus| pinned.with_server_on_cores(cpus, &cores(2));
        assert_eq!(on(1), pinned);
        assert!(on(1).server_is_alone() && !on(2).server_is_alone());
        assert_eq!(on(2), Cpus { server: vec![1, 0], ..pinned.clone() });
    }

    #[test]
    fn a_server_has_its_own_cpus_first_then_nobody_s_and_those_of_its_peers_last() {
        let pinned = assign(&cores(6), (0..6).collect());
        let on = |cpus| pinned.with_server_on_cores(cpus, &cores(6)).server;
        assert_eq!((pinned.store[0], pinned.client[0]), (1, 2));
        assert_eq!((on(2), on(4), on(6)), (vec![5, 4], vec![5, 4, 3, 0], vec![5, 4, 3, 0, 2, 1]));
    }

    #[test]
    fn a_server_has_a_thread_of_every_core_before_the_second_of_any() {
        let cores = [vec![0, 4], vec![1, 5], vec![2, 6], vec![3, 7]];
        let free = Cpus { server: vec![], store: vec![], client: vec![], allowed: (0..8).collect() };
        let on = |cpus| free.with_server_on_cores(cpus, &cores);
        assert_eq!((on(2).server, on(5).server), (vec![3, 2], vec![3, 2, 1, 0, 7]));
        assert!(!on(2).server_is_alone(), "client and store may use every CPU");
    }

    #[test]
    fn cpu_lists_of_the_kernel_are_read() {
        assert_eq!(parse_cpu_list("0-2,8"), Some(vec![0, 1, 2, 8]));
        assert_eq!(parse_cpu_list("x"), None);
    }

    #[test]
    fn a_child_started_on_a_cpu_stays_there() {
        let cpu = *allowed_cpus().unwrap().last().unwrap();
        let output =
            on_cpus(&[cpu], || std::process::Command::new("cat").arg("/proc/self/status").output()).unwrap().unwrap();
        let status = String::from_utf8_lossy(&output.stdout);
        assert!(status.contains(&format!("Cpus_allowed_list:\t{cpu}\n")), "{status}");
    }

    #[test]
    fn a_quota_leaves_whole_cpus_and_one_at_least() {
        assert_eq!([Some(2.9), Some(0.5), None].map(whole), [2, 1, usize::MAX]);
    }
}
