//! `stackbench list`: the stacks and scenarios there are.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use stackbench_reports::row::Role;

use crate::{
    root::Places,
    run::all_stacks,
    say,
    scenario::{self, mode_word},
    stack::Stack,
};

/// Options of `stackbench list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// A folder with further stacks, beside servers/
    #[arg(long, value_name = "DIR")]
    pub stacks_dir: Option<PathBuf>,
}

/// The verb.
///
/// # Errors
/// When a file breaks its format.
pub fn list(args: &ListArgs) -> Result<()> {
    let places = Places::find()?;
    say!("stacks");
    for stack in all_stacks(&places, args.stacks_dir.as_deref())? {
        say!("  {:<24} {}", stack.name, describe(&stack));
        let missing = stack.missing(&places.root);
        if !missing.is_empty() {
            say!("  {:<24} not installed ({} is missing); to install it: {}", "", missing.join(", "), stack.setup);
        }
    }
    say!("\nscenarios");
    for (_, scenario) in scenario::discover(&places.root.join("scenarios"))? {
        say!("  {:<24} {}", scenario.name, scenario.title);
    }
    Ok(())
}

fn describe(stack: &Stack) -> String {
    let modes: Vec<String> = stack
        .modes
        .iter()
        .map(|mode| format!("{} {}", mode_word(*mode), if stack.bridged.contains(mode) { "bridged" } else { "native" }))
        .collect();
    let role = match stack.role {
        Role::Stack => String::new(),
        Role::Ceiling => "ceiling; ".to_owned(),
        Role::Floor => "floor; ".to_owned(),
        Role::Trap => "trap; ".to_owned(),
    };
    let default = if stack.default { "" } else { "; only when named with --stacks" };
    format!("{role}{}; HTTP by {}; store by {}; {}{default}", stack.model, stack.http, stack.redis, modes.join(", "))
}
