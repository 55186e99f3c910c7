//! What a script gets hold of: threads, addresses, statistics.

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mlua::{Lua, MetaMethod, UserData, UserDataFields, UserDataMethods, Value};

use super::transfer::{self, Portable};
use crate::engine::Address;
use crate::latency::Distribution;
use crate::reach;
use crate::run::RunError;

/// `wrk.lookup`: the addresses of a host, in the resolver's order. A name without an address ends the program, as in wrk,
/// whatever the script would do about an error.
pub fn lookup(_: &Lua, (host, service): (String, String)) -> mlua::Result<Vec<ScriptAddress>> {
    let port = match service.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        digits => digits.parse().ok(),
    };
    let found = match port {
        Some(port) => reach::resolve(&host, port, &service),
        None => Err(RunError::Resolve(host, service, "Servname not supported for ai_socktype".to_owned())),
    };
    match found {
        Ok(addresses) => Ok(addresses.into_iter().map(ScriptAddress).collect()),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

/// `wrk.connect`: whether an address accepts a connection.
pub fn connect(_: &Lua, address: mlua::UserDataRef<ScriptAddress>) -> mlua::Result<bool> {
    Ok(TcpStream::connect(address.0).is_ok())
}

/// An address, as scripts have it.
#[derive(Debug, Clone, Copy)]
pub struct ScriptAddress(pub SocketAddr);

impl fmt::Display for ScriptAddress {
    /// As wrk shows it: an IPv6 address has no brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.ip(), self.0.port())
    }
}

impl UserData for ScriptAddress {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::ToString, |_, address, ()| Ok(address.to_string()));
    }
}

/// A thread, as scripts have it: its address, its state's globals, its end.
#[derive(Clone)]
pub struct ThreadHandle {
    lua: mlua::WeakLua,
    address: Arc<Mutex<Option<SocketAddr>>>,
    stopped: Arc<AtomicBool>,
}

impl ThreadHandle {
    /// Of the thread with this state.
    pub fn new(lua: &Lua, stopped: Arc<AtomicBool>) -> Self {
        Self { lua: lua.weak(), address: Arc::default(), stopped }
    }

    /// Whom the script wants it to load.
    pub fn address(&self) -> Option<Address> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).map(Address::Tcp)
    }

    /// Whether the script wants it to send no more.
    pub fn stopped(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stopped)
    }

    fn state(&self) -> mlua::Result<Lua> {
        self.lua.try_upgrade().ok_or_else(|| mlua::Error::runtime("the thread has ended"))
    }
}

impl UserData for ThreadHandle {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("addr", |_, thread| {
            let address = *thread.address.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(address.map(ScriptAddress))
        });
        fields.add_field_method_set("addr", |_, thread, address: Option<mlua::UserDataRef<ScriptAddress>>| {
            *thread.address.lock().unwrap_or_else(PoisonError::into_inner) = address.map(|address| address.0);
            Ok(())
        });
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods
            .add_method("get", |_, thread, name: String| Portable::of(&thread.state()?.globals().get::<Value>(name)?));
        methods.add_method("set", |_, thread, (name, value): (String, Value)| {
            thread.state()?.globals().set(name, Portable::of(&value)?)
        });
        methods.add_method("stop", |_, thread, ()| {
            thread.stopped.store(true, Ordering::Relaxed);
            Ok(())
        });
        // wrk answers an unknown field with its name.
        methods.add_meta_method(MetaMethod::Index, |_, _, name: Value| Ok(name));
        methods.add_meta_method(MetaMethod::NewIndex, |_, _, (_, value): (Value, Value)| -> mlua::Result<()> {
            Err(mlua::Error::runtime(format!("cannot set '{}' on thread", transfer::type_name(&value))))
        });
    }
}

/// A distribution, as `done` has it.
#[derive(Debug)]
pub struct Statistics(pub Distribution);

impl UserData for Statistics {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("min", |_, this| Ok(this.0.min()));
        fields.add_field_method_get("max", |_, this| Ok(this.0.max()));
        fields.add_field_method_get("mean", |_, this| Ok(this.0.mean().to_f64()));
        fields.add_field_method_get("stdev", |_, this| Ok(this.0.stdev().to_f64()));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("percentile", |_, this, percent: f64| Ok(this.0.percentile(percent)));
        methods.add_meta_method(MetaMethod::Len, |_, this, ()| Ok(this.0.counts().len()));
        methods.add_meta_method(MetaMethod::Call, |_, this, index: i64| {
            let counts = this.0.counts();
            // The values from 1 on; beyond them wrk gives 0 and how many there are.
            let found = usize::try_from(index).ok().and_then(|index| counts.get(index.checked_sub(1)?));
            Ok(found.copied().unwrap_or((0, counts.len() as u64)))
        });
        // wrk answers an unknown field with its name.
        methods.add_meta_method(MetaMethod::Index, |_, _, name: Value| Ok(name));
    }
}
