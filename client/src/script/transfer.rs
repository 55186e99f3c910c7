//! Values on their way from one state to another.

use mlua::{IntoLua, Lua, Value};

/// Tables within tables; a table that holds itself has no end.
const DEPTH_MAX: usize = 64;

/// A value that belongs to no state.
#[derive(Debug, Clone, PartialEq)]
pub enum Portable {
    /// Nothing.
    Nil,
    /// True or false.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// A string, up to its first NUL.
    String(Vec<u8>),
    /// A table's keys and values.
    Table(Vec<(Portable, Portable)>),
}

impl Portable {
    /// Takes a value out of its state.
    pub fn of(value: &Value) -> mlua::Result<Self> {
        Self::within(value, DEPTH_MAX)
    }

    fn within(value: &Value, depth: usize) -> mlua::Result<Self> {
        Ok(match value {
            Value::Nil => Self::Nil,
            Value::Boolean(value) => Self::Boolean(*value),
            Value::Integer(value) => Self::Number(*value as f64),
            Value::Number(value) => Self::Number(*value),
            Value::String(text) => {
                Self::String(text.as_bytes().split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
            }
            Value::Table(_) if depth == 0 => {
                return Err(mlua::Error::runtime(format!("cannot transfer a table of more than {DEPTH_MAX} levels")));
            }
            Value::Table(table) => {
                let mut fields = Vec::new();
                for pair in table.pairs::<Value, Value>() {
                    let (key, value) = pair?;
                    fields.push((Self::within(&key, depth - 1)?, Self::within(&value, depth - 1)?));
                }
                Self::Table(fields)
            }
            other => return Err(mlua::Error::runtime(format!("cannot transfer '{}' to thread", type_name(other)))),
        })
    }
}

/// A type as Lua names it.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        // LuaJIT's own: what `ffi` makes.
        Value::Other(_) => "cdata",
        value => value.type_name(),
    }
}

impl IntoLua for Portable {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        Ok(match self {
            Self::Nil => Value::Nil,
            Self::Boolean(value) => Value::Boolean(value),
            Self::Number(value) => Value::Number(value),
            Self::String(bytes) => Value::String(lua.create_string(bytes)?),
            Self::Table(fields) => {
                let table = lua.create_table_with_capacity(0, fields.len())?;
                for (key, value) in fields {
                    table.raw_set(key, value)?;
                }
                Value::Table(table)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What arrives in another state, as that state's `expression` sees it in the global `t`.
    fn seen(source: &str, expression: &str) -> mlua::Result<String> {
        let (from, to) = (Lua::new(), Lua::new());
        let value: Value = from.load(source).eval()?;
        to.globals().set("t", Portable::of(&value)?)?;
        to.load(format!("return tostring({expression})")).eval()
    }

    #[test]
    fn nested_tables_arrive_whole() {
        let source = "return { 'a', x = { y = { true, 2.5 } } }";
        assert_eq!(seen(source, "t[1] .. tostring(t.x.y[1]) .. t.x.y[2]").unwrap(), "atrue2.5");
    }

    #[test]
    fn what_belongs_to_its_state_stays_there() {
        for (source, name) in [("return print", "function"), ("return coroutine.create(print)", "thread")] {
            let message = seen(source, "t").unwrap_err().to_string();
            assert!(message.contains(&format!("cannot transfer '{name}' to thread")), "{message}");
        }
        let endless = seen("local t = {}; t.t = t; return t", "t").unwrap_err().to_string();
        assert!(endless.contains("64 levels"), "{endless}");
    }

    #[test]
    fn a_string_is_cut_at_its_first_nul() {
        assert_eq!(seen("return 'ab\\0cd'", "t .. #t").unwrap(), "ab2");
    }
}
