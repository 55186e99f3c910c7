//! What is assigned to commands by their names: `get=20ms`, `get=1%`.

use std::{fmt::Display, str::FromStr};

use anyhow::{Context, ensure};

use crate::commands::table::Table;

/// What can be assigned to a command.
pub trait Assignable: FromStr<Err = anyhow::Error> + Display + Clone {
    /// How an assignment is written, and an example.
    const FORM: &str;
}

/// A value for each command that was assigned one, by [`crate::commands::CommandId`].
pub type Assigned<T> = Vec<Option<T>>;

/// Reads one assignment: a command's name in small letters and its value.
pub fn parse<T: Assignable>(text: &str) -> anyhow::Result<(String, T)> {
    let (command, value) = text.split_once('=').with_context(|| format!("`{text}` is not of the form {}", T::FORM))?;
    Ok((command.trim().to_ascii_lowercase(), value.trim().parse()?))
}

/// Reads assignments to commands of the table, at most one to each.
pub fn read<'a, T: Assignable>(
    assignments: impl Iterator<Item = &'a str>,
    table: &Table,
) -> anyhow::Result<Assigned<T>> {
    let mut assigned = vec![None; table.len()];
    for assignment in assignments {
        let (name, value) = parse(assignment)?;
        let command = table.plain(name.as_bytes());
        let command = command.with_context(|| format!("`{name}` is not a command that can be named here"))?;
        ensure!(assigned[command as usize].replace(value).is_none(), "`{name}` is named twice");
    }
    Ok(assigned)
}

/// Writes assignments as [`read`] takes them, separated by blanks.
pub fn write<T: Assignable>(assigned: &Assigned<T>, table: &Table) -> String {
    let values = table.iter().filter_map(|(id, command)| Some((command.name, assigned[id as usize].as_ref()?)));
    values.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{delay::Delay, errors::Share};

    fn reread<T: Assignable>(text: &str) -> anyhow::Result<String> {
        let table = Table::new();
        Ok(write(&read::<T>(text.split_ascii_whitespace(), &table)?, &table))
    }

    #[test]
    fn what_is_read_is_written_in_the_order_of_the_table() {
        assert_eq!(reread::<Delay>("set=2ms GET=1ms").unwrap(), "get=1ms set=2ms");
        assert_eq!(reread::<Share>("set=0.5% get=1%").unwrap(), "get=1% set=0.5%");
        assert_eq!(reread::<Share>("").unwrap(), "");
    }

    #[test]
    fn what_cannot_be_assigned_is_named() {
        for (text, part) in [
            ("get", "`get` is not of the form COMMAND=SHARE, such as get=1%"),
            ("foo=1%", "`foo` is not a command"),
            ("client=1%", "`client` is not a command"),
            ("get=1% Get=2%", "`get` is named twice"),
        ] {
            let message = reread::<Share>(text).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
