//! A thread's state, as the engine calls it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mlua::{Function, Lua, LuaString, Value};

use super::objects::ThreadHandle;
use super::{ScriptError, State};
use crate::engine::hooks::{HookError, Hooks, Received, Wants};

/// The hooks of one thread. It keeps the state alive until the main state is done with it.
#[derive(Debug)]
pub struct ThreadState {
    lua: Lua,
    wants: Wants,
    delay: Function,
    request: Function,
    response: Function,
    stopped: Arc<AtomicBool>,
}

impl ThreadState {
    /// Of a state whose `init` has run.
    pub fn new(state: &State, handle: &ThreadHandle) -> Result<Self, ScriptError> {
        // `setup` and `init` cannot stop what does not run yet.
        handle.stopped().store(false, Ordering::Relaxed);
        let (request, response, delay) = state.hooks.get::<Function>("wants")?.call(())?;
        Ok(Self {
            lua: state.lua.clone(),
            wants: Wants { delay, request, response },
            delay: state.hooks.get("delay")?,
            request: state.hooks.get("request")?,
            response: state.hooks.get("response")?,
            stopped: handle.stopped(),
        })
    }
}

impl Hooks for ThreadState {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn delay_ms(&mut self) -> Result<u64, HookError> {
        let delay: Value = self.delay.call(()).map_err(hook_error)?;
        let delay_ms = match delay {
            Value::Integer(delay) => delay as f64,
            Value::Number(delay) => delay,
            Value::String(text) => text.to_string_lossy().trim().parse().unwrap_or(0.0),
            _ => 0.0,
        };
        // Negative ones become 0, fractions are cut off.
        Ok(delay_ms as u64)
    }

    fn request(&mut self, bytes: &mut Vec<u8>) -> Result<(), HookError> {
        let request: LuaString = self.request.call(()).map_err(hook_error)?;
        bytes.extend_from_slice(&request.as_bytes());
        Ok(())
    }

    fn response(&mut self, answer: &Received) -> Result<(), HookError> {
        let respond = || {
            let fields = self.lua.create_string(&answer.fields)?;
            let body = self.lua.create_string(&answer.body)?;
            self.response.call::<()>((answer.status, fields, body))
        };
        respond().map_err(hook_error)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

fn hook_error(error: mlua::Error) -> HookError {
    HookError(ScriptError::from(error).to_string())
}
