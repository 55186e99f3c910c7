//! What an idle connection takes of a server's memory.
//!
//! A connection is idle as a kept-alive one is: it was opened, was served once, and now waits for the next request. What a
//! server allocates with the first request and keeps belongs to it; the kernel's own memory for sockets does not.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use stackload::process::{Scope, Tree};

use crate::{
    interrupt::Interrupt,
    server::{CHECK, Server, request_bytes},
    wire::Connection,
};

/// A server that takes longer to accept and serve all connections once is not weighed.
const SERVED_AT_MOST: Duration = Duration::from_secs(10);
/// The route without the store answers this.
const STATUS_OK: u16 = 200;
/// Between so many connections Ctrl-C is looked for.
const BATCH: usize = 100;

/// Resident memory of a server's process tree for each of so many idle connections, in bytes, and the end of the server.
///
/// # Errors
/// When the server does not serve them all, or its memory cannot be read.
pub fn connection_bytes(server: Server, connections: u32, interrupt: &Interrupt) -> Result<f64> {
    let before = rss_bytes(&server)?;
    let crowd = served_once(&server, connections, interrupt)?;
    let after = rss_bytes(&server)?;
    // By resets, which leave no port in TIME_WAIT for the next trial to stumble over.
    crowd.into_iter().try_for_each(Connection::reset)?;
    // How it stops is judged where it was measured.
    let _ = server.stop();
    Ok(each(before, after, connections))
}

/// A server may give memory back meanwhile, and a connection take less than the kernel counts: that is none, not less.
fn each(before: u64, after: u64, connections: u32) -> f64 {
    after.saturating_sub(before) as f64 / f64::from(connections)
}

/// All connections open, each with one answer behind it, which shows that the server has accepted it.
fn served_once(server: &Server, connections: u32, interrupt: &Interrupt) -> Result<Vec<Connection>> {
    let deadline = Instant::now() + SERVED_AT_MOST;
    let request = request_bytes("GET", CHECK, server.addr, &[]);
    let mut crowd: Vec<Connection> = Vec::with_capacity(connections as usize);
    for index in 0..connections as usize {
        if index % BATCH == 0 {
            interrupt.check()?;
        }
        let mut connection = Connection::open(server.addr, deadline)?;
        connection.send(&request)?;
        crowd.push(connection);
    }
    for (index, connection) in crowd.iter_mut().enumerate() {
        if index % BATCH == 0 {
            interrupt.check()?;
        }
        let status = connection.answer().with_context(|| format!("connection {index} of {connections}"))?.status;
        ensure!(status == STATUS_OK, "connection {index} of {connections}: {CHECK} answered {status}");
    }
    Ok(crowd)
}

fn rss_bytes(server: &Server) -> Result<u64> {
    let tree = Tree::find(server.pid(), Scope::WithDescendants).context("the server is gone")?;
    let held = tree.held().context("the kernel does not tell the server's memory (/proc/PID/smaps_rollup)")?;
    Ok(held.rss_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_takes_is_its_share_of_the_growth() {
        assert_eq!(each(1_000_000, 3_000_000, 2_000), 1_000.0);
        assert_eq!(each(3_000_000, 1_000_000, 2_000), 0.0);
    }
}
