//! wrk's Lua scripts: a main state, and one for each thread, that share nothing.
//!
//! The script's body runs once in each of them. In the main state run `setup`, once for each thread, and `done`; in a
//! thread's state `init`, before the load starts, and then on the thread `delay`, `request` and `response`.
//!
//! # Layout
//! - [`Script`]: the main state and the order of things; `hooks`: a thread's state, as the engine calls it.
//! - `objects`: what a script gets hold of; `transfer`: values from one state to another; `prelude.lua`: the table
//!   `wrk`.

mod hooks;
mod objects;
mod transfer;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mlua::{Function, Lua, LuaOptions, StdLib, Table};
use thiserror::Error;

use self::hooks::ThreadState;
use self::objects::{ScriptAddress, Statistics, ThreadHandle};
use crate::clock::unix_us;
use crate::engine::Role;
use crate::engine::hooks::{HookError, Hooks as _};
use crate::http::request::{BadBatch, Batch};
use crate::latency::Distribution;
use crate::url::Url;

/// Why a script cannot be run, or go on.
#[derive(Debug, Error)]
pub enum ScriptError {
    /// There is no such file.
    #[error("stackload: --script {}: {reason}", path.display())]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// The kernel's.
        reason: std::io::Error,
    },
    /// Its body is wrong.
    #[error("stackload: --script {}: {message}", path.display())]
    Broken {
        /// As given.
        path: PathBuf,
        /// Lua's.
        message: String,
    },
    /// A hook raised an error. wrk's words, whatever its handler says about unprotected calls.
    #[error("PANIC: unprotected error in call to Lua API ({0})")]
    Raised(String),
    /// A hook raised an error: the whole message.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// What its first request is.
    #[error(transparent)]
    Request(#[from] BadBatch),
}

impl From<mlua::Error> for ScriptError {
    fn from(error: mlua::Error) -> Self {
        Self::Raised(plain_message(&error))
    }
}

/// Lua's message without the stack below it.
fn plain_message(error: &mlua::Error) -> String {
    let text = match error {
        mlua::Error::CallbackError { cause, .. } => return plain_message(cause),
        mlua::Error::RuntimeError(message) | mlua::Error::SyntaxError { message, .. } => message.clone(),
        error => error.to_string(),
    };
    text.split("\nstack traceback:").next().unwrap_or_default().to_owned()
}

/// A script and its main state.
#[derive(Debug)]
pub struct Script {
    path: PathBuf,
    source: Vec<u8>,
    url: Url,
    headers: Vec<(String, String)>,
    main: State,
}

/// A Lua state with the script in it, and the program's way to call its hooks.
#[derive(Debug)]
struct State {
    lua: Lua,
    hooks: Table,
}

impl Script {
    /// Reads a script and runs its body in the main state.
    pub fn load(path: &Path, url: &Url, headers: &[(String, String)]) -> Result<Self, ScriptError> {
        let source = fs::read(path).map_err(|reason| ScriptError::Unreadable { path: path.to_owned(), reason })?;
        let main = State::new(path, &source, url, headers)?;
        Ok(Self { path: path.to_owned(), source, url: url.clone(), headers: headers.to_vec(), main })
    }

    /// Makes the threads' states and runs `setup` and `init` for each. The first thread's `request` is called once to
    /// learn how many requests there are in a batch.
    pub fn roles(
        &self,
        threads: u32,
        addresses: &[SocketAddr],
        arguments: &[String],
    ) -> Result<(Vec<Role>, Batch), ScriptError> {
        let wrk: Table = self.main.lua.globals().get("wrk")?;
        wrk.set("addrs", addresses.iter().map(|address| ScriptAddress(*address)).collect::<Vec<_>>())?;
        let setup: Function = wrk.get("setup")?;
        let mut roles = Vec::new();
        let mut first: Option<Batch> = None;
        for _ in 0..threads {
            let state = State::new(&self.path, &self.source, &self.url, &self.headers)?;
            let handle = ThreadHandle::new(&state.lua, Arc::new(AtomicBool::new(false)));
            setup.call::<()>(handle.clone())?;
            state.init(&handle, arguments)?;
            let mut hooks = ThreadState::new(&state, &handle)?;
            // The states share nothing: each has a fixed request of its own.
            let batch = match hooks.wants().request {
                false => Some(Batch::examine(state.fixed_request()?)?),
                true => None,
            };
            if first.is_none() {
                first = Some(match &batch {
                    Some(batch) => batch.clone(),
                    None => {
                        let mut bytes = Vec::new();
                        hooks.request(&mut bytes)?;
                        Batch::examine(bytes)?
                    }
                });
            }
            roles.push(Role { address: handle.address(), batch, hooks: Some(Box::new(hooks)) });
        }
        let batch = first.unwrap_or(Batch { bytes: Vec::new(), asked: Vec::new() });
        Ok((roles, batch))
    }

    /// Runs `done`.
    pub fn done(&self, summary: &Summary, latency: Distribution, rates: Distribution) -> Result<(), ScriptError> {
        let done: Function = self.main.hooks.get("done")?;
        let table = summary.table(&self.main.lua)?;
        Ok(done.call::<()>((table, Statistics(latency), Statistics(rates)))?)
    }

    /// Writes out what scripts have printed, so that it stays in order with what the program prints.
    pub fn flush(&self) -> Result<(), ScriptError> {
        let flush: Function = self.main.hooks.get("flush")?;
        Ok(flush.call::<()>(())?)
    }
}

impl State {
    fn new(path: &Path, source: &[u8], url: &Url, headers: &[(String, String)]) -> Result<Self, ScriptError> {
        // SAFETY: `ffi` and `debug` let a script break the process. It is the user's own program, run on purpose, and
        // wrk's scripts may use all of LuaJIT.
        let lua = unsafe { Lua::unsafe_new_with(StdLib::ALL, LuaOptions::default()) };
        let table = lua.create_table()?;
        table.set("scheme", url.scheme.as_str())?;
        table.set("host", url.host.as_str())?;
        table.set("port", url.explicit_port.map(|port| port.to_string()))?;
        table.set("path", url.target.as_str())?;
        table.set(
            "headers",
            lua.create_table_from(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))?,
        )?;
        table.set("lookup", lua.create_function(objects::lookup)?)?;
        table.set("connect", lua.create_function(objects::connect)?)?;
        // Of wrk2's scripts.
        table.set("time_us", lua.create_function(|_, ()| Ok(unix_us() as f64))?)?;
        lua.globals().set("wrk", table)?;
        let hooks: Table = lua.load(include_str!("prelude.lua")).set_name("=prelude").call(())?;
        // As the C library's loader names chunks, so that messages begin with the path as it was given.
        let chunk = lua.load(source).set_name(format!("@{}", path.display()));
        chunk.exec().map_err(|error| match ScriptError::from(error) {
            ScriptError::Raised(message) => ScriptError::Broken { path: path.to_owned(), message },
            error => error,
        })?;
        Ok(Self { lua, hooks })
    }

    /// Runs `init` with the URL and the words after it.
    fn init(&self, handle: &ThreadHandle, arguments: &[String]) -> Result<(), ScriptError> {
        let wrk: Table = self.lua.globals().get("wrk")?;
        wrk.set("thread", handle.clone())?;
        let args = self.lua.create_table()?;
        for (index, argument) in arguments.iter().enumerate() {
            args.raw_set(index, argument.as_str())?;
        }
        Ok(wrk.get::<Function>("init")?.call::<()>(args)?)
    }

    /// The request of a script without a `request`.
    fn fixed_request(&self) -> Result<Vec<u8>, ScriptError> {
        let wrk: Table = self.lua.globals().get("wrk")?;
        let bytes: mlua::LuaString = wrk.get::<Function>("request")?.call(())?;
        Ok(bytes.as_bytes().to_vec())
    }
}

/// What `done` is told first.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// Length of the window.
    pub duration_us: u64,
    /// Answers in it.
    pub requests: u64,
    /// Bytes read in it.
    pub bytes: u64,
    /// wrk's four socket errors: connect, read, write, timeout.
    pub socket_errors: [u64; 4],
    /// Answers with a status above 399.
    pub bad_statuses: u64,
}

impl Summary {
    fn table(&self, lua: &Lua) -> mlua::Result<Table> {
        let [connect, read, write, timeout] = self.socket_errors;
        let kinds = [("connect", connect), ("read", read), ("write", write), ("timeout", timeout)];
        let errors = lua.create_table_from(kinds.into_iter().chain([("status", self.bad_statuses)]))?;
        let summary = lua.create_table()?;
        summary.set("duration", self.duration_us)?;
        summary.set("requests", self.requests)?;
        summary.set("bytes", self.bytes)?;
        summary.set("errors", errors)?;
        Ok(summary)
    }
}
