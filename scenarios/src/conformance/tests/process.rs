//! A server's process, as far as the suite can tell.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::server::{self, Fault, Server};
use super::store::MemoryStore;
use crate::conformance::{ServerControl, StartServer, Started};

/// Servers on threads, one after the other.
pub(super) struct Servers {
    fault: Fault,
    store: MemoryStore,
    running: Option<(Arc<Server>, SocketAddr)>,
}

impl Servers {
    /// With the first one already started.
    pub(super) fn start(fault: Fault, store: &MemoryStore) -> (Self, SocketAddr) {
        let running = server::start(fault, store);
        let addr = running.1;
        (Self { fault, store: store.clone(), running: Some(running) }, addr)
    }
}

impl ServerControl for Servers {
    fn start(&mut self, how: StartServer) -> Result<Started> {
        if how.insists_on_port_0 && self.fault == Fault::NeedsPort {
            bail!("the server printed no address");
        }
        if how.open_files_max.is_some() && self.fault != Fault::StartsAnyway {
            let said = if self.fault == Fault::RefusesWithoutReason { "no" } else { "too few open files" };
            return Ok(Started::Refused(said.into()));
        }
        let running = server::start(self.fault, &self.store);
        let addr = running.1;
        self.running = Some(running);
        Ok(Started::Ready(addr))
    }

    fn terminate(&mut self) -> Result<()> {
        let (server, addr) = self.running.as_ref().context("no server runs")?;
        if self.fault != Fault::IgnoresSigterm {
            server.stop(*addr);
        }
        Ok(())
    }

    fn wait(&mut self, at_most: Duration) -> Result<Option<i32>> {
        let (server, _) = self.running.take().context("no server runs")?;
        let deadline = Instant::now() + at_most;
        while !server.is_deserted() {
            if Instant::now() > deadline {
                bail!("still running after {at_most:?}");
            }
            thread::yield_now();
        }
        Ok(Some(i32::from(self.fault == Fault::ExitsWith1)))
    }

    fn log(&mut self) -> Result<String> {
        let line = if self.fault == Fault::Panics { "thread 'main' panicked at src/main.rs:1:1:" } else { "ready" };
        Ok(format!("listening on 127.0.0.1:1\n{line}\n"))
    }
}
