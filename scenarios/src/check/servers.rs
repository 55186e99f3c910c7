//! The servers of one stack, one after the other, as the suite asks for them.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use stackload::process::{Scope, Tree};

use crate::{
    conformance::{CannotTry, ServerControl, StartServer, Started},
    guard::Guard,
    interrupt::Interrupt,
    server::{EndedEarly, Server, ServerStart, TAKES_PORT_0},
    stack::{Placeholders, Stack},
};

/// Exit code of a server that refuses to start.
const EXIT_USAGE: i32 = 2;

/// What all servers of a stack share.
pub struct Servers<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// The values of its placeholders.
    pub placeholders: Placeholders,
    /// Where logs go.
    pub folder: &'a Path,
    /// The guard.
    pub guard: &'a Guard,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
    /// The server that runs now.
    pub running: Option<Server>,
    /// The logs of all that ran.
    pub logs: Vec<PathBuf>,
}

impl Servers<'_> {
    /// Starts one that is fit for the suite, which is not to refuse.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_usual(&mut self) -> Result<SocketAddr> {
        self.launch(StartServer::default())
    }

    fn launch(&mut self, how: StartServer) -> Result<SocketAddr> {
        self.end();
        let log = self.folder.join(format!("{}-{}.log", self.stack.name, self.logs.len()));
        self.logs.push(log.clone());
        let mut placeholders = self.placeholders.clone();
        placeholders.max_connections = how.max_connections.unwrap_or(placeholders.max_connections);
        let server = Server::start(ServerStart {
            stack: &adapted(self.stack, how),
            placeholders,
            cpus: &[],
            log,
            guard: self.guard,
            interrupt: self.interrupt,
        })?;
        let addr = server.addr;
        self.running = Some(server);
        Ok(addr)
    }

    /// Ends the server that runs, if one does, with all it has printed in its log.
    fn end(&mut self) {
        if let Some(mut server) = self.running.take() {
            server.death();
        }
    }

    /// Resident memory of the running server and all its descendants.
    ///
    /// # Errors
    /// When there is none, or the kernel does not tell.
    pub fn rss_bytes(&self) -> Result<u64> {
        let server = self.running.as_ref().context("no server runs")?;
        let tree = Tree::find(server.pid(), Scope::WithDescendants).context("the server is gone")?;
        let held = tree.held().context("the kernel does not tell the server's memory (/proc/PID/smaps_rollup)")?;
        Ok(held.rss_bytes)
    }
}

/// The stack as its file says, apart from what is asked.
fn adapted(stack: &Stack, how: StartServer) -> Stack {
    let mut stack = stack.clone();
    if how.insists_on_port_0 {
        stack.deviations.retain(|name| name != TAKES_PORT_0);
    }
    if let Some(files) = how.open_files_max {
        let shell = ["sh", "-c", "ulimit -n \"$0\" && exec \"$@\"", &files.to_string()].map(str::to_owned);
        stack.run.splice(0..0, shell);
    }
    stack
}

impl ServerControl for Servers<'_> {
    fn start(&mut self, how: StartServer) -> Result<Started> {
        if how.insists_on_port_0 && self.stack.language != "rust" {
            bail!(CannotTry("only Rust servers are given port 0".into()));
        }
        match self.launch(how) {
            Ok(addr) => Ok(Started::Ready(addr)),
            Err(error) => match error.downcast_ref::<EndedEarly>() {
                Some(early) if early.status.code() == Some(EXIT_USAGE) => Ok(Started::Refused(early.said.clone())),
                _ => Err(error),
            },
        }
    }

    fn terminate(&mut self) -> Result<()> {
        self.running.as_mut().context("no server runs")?.terminate()
    }

    fn wait(&mut self, at_most: Duration) -> Result<Option<i32>> {
        let server = self.running.as_mut().context("no server runs")?;
        let status = server.wait(self.interrupt, at_most);
        // One that does not end when asked to is ended here.
        self.end();
        Ok(status?.code())
    }

    fn log(&mut self) -> Result<String> {
        let read = |log: &PathBuf| Ok(String::from_utf8_lossy(&fs::read(log)?).into_owned());
        self.logs.iter().map(read).collect()
    }
}
