//! Where the processes of a section ran, in a sentence.

use std::collections::BTreeMap;

use crate::{
    row::{Placement, Row},
    run::ScenarioMeta,
};

/// `Placement: pinned, server alone on CPU 1; client and store share the other CPU (0).`
pub fn placement(meta: Option<&ScenarioMeta>, rows: &[&Row]) -> Option<String> {
    let row = rows.first()?;
    if meta.is_some_and(|meta| meta.steps.iter().any(|step| step.workers.is_some())) {
        let servers: BTreeMap<usize, &Row> = rows.iter().map(|row| (cpus(row, "server").len(), *row)).collect();
        return Some(by_workers(row, servers.values()));
    }
    let (server, store, client) = (cpus(row, "server"), cpus(row, "store"), cpus(row, "client"));
    if row.placement == Placement::Free || server.is_empty() {
        return Some("Placement: free, every process may use every CPU.".to_owned());
    }
    let server_on = format!("server alone on CPU {}", list(server));
    Some(match (store, client) {
        (_, []) => format!("Placement: pinned, {server_on}."),
        ([], client) => format!("Placement: pinned, {server_on}, client on CPU {}.", list(client)),
        (store, client) if store == client => {
            let other = if server.len() == 1 && client.len() == 1 { "the other CPU" } else { "CPU" };
            format!("Placement: pinned, {server_on}; client and store share {other} ({}).", list(client))
        }
        _ => format!("Placement: pinned, {server_on}, store on CPU {}, client on CPU {}.", list(store), list(client)),
    })
}

/// Where the server has as many CPUs as a step has workers.
fn by_workers<'r>(row: &Row, servers: impl Iterator<Item = &'r &'r Row>) -> String {
    let (store, client) = (cpus(row, "store"), cpus(row, "client"));
    let (word, peers) = match (store, client) {
        (_, []) => ("free but for the server, which is", "client and store may use every CPU".to_owned()),
        ([], client) => ("pinned, server", format!("client on CPU {}", list(client))),
        (store, client) if store == client => {
            ("pinned, server", format!("client and store share CPU {}", list(client)))
        }
        _ => ("pinned, server", format!("store on CPU {}, client on CPU {}", list(store), list(client))),
    };
    let of_step = |row: &&Row| {
        let server = cpus(row, "server");
        let shared: Vec<u32> =
            server.iter().copied().filter(|cpu| client.contains(cpu) || store.contains(cpu)).collect();
        let of_others =
            if shared.is_empty() { String::new() } else { format!(", of which {} not its own", list(&shared)) };
        format!("{} on CPU {}{of_others}", server.len(), list(server))
    };
    let steps: Vec<String> = servers.map(of_step).collect();
    format!("Placement: {word} on as many CPUs as it has workers ({}); {peers}.", steps.join("; "))
}

fn cpus<'r>(row: &'r Row, party: &str) -> &'r [u32] {
    row.cpus.get(party).map(Vec::as_slice).unwrap_or_default()
}

fn list(cpus: &[u32]) -> String {
    let mut sorted = cpus.to_vec();
    sorted.sort_unstable();
    sorted.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{run::StepMeta, sample};

    /// A row of a server on these CPUs, client and store where the sample has them or, `free`, on all.
    fn on(server: &[u32], placement: Placement) -> Row {
        let mut row = Row { placement, ..sample::row("tokio") };
        if placement == Placement::Free {
            row.cpus.values_mut().for_each(Vec::clear);
        }
        row.cpus.insert("server".to_owned(), server.to_vec());
        row
    }

    fn sentence(rows: &[Row]) -> String {
        placement(None, &rows.iter().collect::<Vec<_>>()).unwrap()
    }

    /// That of a scenario with steps over workers.
    fn by_step(rows: &[Row]) -> String {
        let mut meta = sample::meta().scenarios.remove(0);
        meta.steps = (1..=2).map(|workers| StepMeta { workers: Some(workers), ..sample::step("w") }).collect();
        placement(Some(&meta), &rows.iter().collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn one_set_of_cpus_is_told_as_such() {
        let pinned = [on(&[1], Placement::Pinned), on(&[1], Placement::Pinned)];
        assert_eq!(
            sentence(&pinned),
            "Placement: pinned, server alone on CPU 1; client and store share the other CPU (0)."
        );
        assert_eq!(sentence(&[on(&[], Placement::Free)]), "Placement: free, every process may use every CPU.");
    }

    #[test]
    fn a_server_of_as_many_cpus_as_workers_is_told_with_those_that_it_shares() {
        assert_eq!(
            by_step(&[on(&[1], Placement::Pinned), on(&[1, 0], Placement::Pinned)]),
            "Placement: pinned, server on as many CPUs as it has workers (1 on CPU 1; 2 on CPU 0,1, of which 0 not its \
             own); client and store share CPU 0."
        );
        assert_eq!(
            by_step(&[on(&[1], Placement::Free), on(&[1, 0], Placement::Free)]),
            "Placement: free but for the server, which is on as many CPUs as it has workers (1 on CPU 1; 2 on CPU 0,1); \
             client and store may use every CPU."
        );
    }
}
