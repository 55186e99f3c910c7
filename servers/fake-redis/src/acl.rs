//! Which commands the one user, `default`, may run: enough of Redis's access control lists to make a store refuse.

use crate::commands::{CommandId, table::Table};

/// The commands a user may run.
#[derive(Clone, Debug)]
pub struct Permissions {
    allowed: Vec<bool>,
    /// The rules as `ACL LIST` shows them.
    rules: Vec<String>,
}

impl Permissions {
    /// Everything is allowed.
    pub fn all(commands: usize) -> Self {
        Self { allowed: vec![true; commands], rules: vec!["+@all".into()] }
    }

    pub fn allows(&self, command: CommandId) -> bool {
        self.allowed[command as usize]
    }

    /// The rules for commands, such as `+@all -get`.
    pub fn rules(&self) -> String {
        self.rules.join(" ")
    }

    /// Applies one modifier of `ACL SETUSER`; the error is Redis's text.
    pub fn apply(&mut self, modifier: &str, table: &Table) -> Result<(), &'static str> {
        let lower = modifier.to_ascii_lowercase();
        match lower.as_str() {
            "+@all" | "allcommands" => *self = Self::all(self.allowed.len()),
            "-@all" | "nocommands" => {
                self.allowed.fill(false);
                self.rules = vec!["-@all".into()];
            }
            // What the only user is anyway.
            "on" | "nopass" | "allkeys" | "~*" | "allchannels" | "&*" => {}
            _ => self.apply_to_command(&lower, table)?,
        }
        Ok(())
    }

    fn apply_to_command(&mut self, modifier: &str, table: &Table) -> Result<(), &'static str> {
        let (allow, name) = match modifier.split_at_checked(1) {
            Some(("+", name)) => (true, name),
            Some(("-", name)) => (false, name),
            _ => return Err("Syntax error"),
        };
        let prefix = format!("{name}|");
        let mut known = false;
        for (id, command) in table.iter() {
            if command.name == name || command.name.starts_with(&prefix) {
                self.allowed[id as usize] = allow;
                known = true;
            }
        }
        if !known {
            return Err("Unknown command or category name in ACL");
        }
        // The last rule about a command replaces those before it, and one that says what `+@all` says is left out.
        self.rules.retain(|rule| !(rule[1..] == *name || rule[1..].starts_with(&prefix)));
        let redundant = allow == (self.rules[0] == "+@all") && !name.contains('|');
        if !redundant {
            self.rules.push(modifier.into());
        }
        Ok(())
    }
}
