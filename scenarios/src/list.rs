//! `stackbench list`: the stacks and scenarios there are.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Result;
use clap::Args;
use stackbench_reports::{format::cards, row::Role, run::StackMeta};

use crate::{
    guard::Guard,
    interrupt::{Interrupt, Interrupted},
    meta::{self, Prepared},
    process,
    root::Places,
    run::all_stacks,
    say,
    scenario::{self, mode_word},
    server,
    stack::{self, Placeholders, Stack},
};

/// Options of `stackbench list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Stacks to list, by name [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub stacks: Vec<String>,
    /// A folder with further stacks, beside servers/
    #[arg(long, value_name = "DIR")]
    pub stacks_dir: Option<PathBuf>,
    /// Everything a reader should know of each stack
    #[arg(long)]
    pub cards: bool,
}

/// The verb.
///
/// # Errors
/// When a file breaks its format; [`Interrupted`].
pub fn list(args: &ListArgs) -> Result<()> {
    let places = Places::find()?;
    let all = all_stacks(&places, args.stacks_dir.as_deref())?;
    let stacks = if args.stacks.is_empty() { all } else { stack::select(all, &args.stacks)? };
    if args.cards {
        return print_cards(&places, &stacks);
    }
    say!("stacks");
    for stack in stacks {
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

fn print_cards(places: &Places, stacks: &[Stack]) -> Result<()> {
    let interrupt = Interrupt::install()?;
    process::adopt_orphans()?;
    let guard = Guard::start()?;
    for (index, stack) in stacks.iter().enumerate() {
        let card = card(places, stack, &guard, &interrupt)?;
        say!("{}{}", if index == 0 { "" } else { "\n" }, cards::terminal(&card).trim_end());
    }
    Ok(())
}

/// A stack as a run would record it. One that cannot tell its version still has a card, which says why.
fn card(places: &Places, stack: &Stack, guard: &Guard, interrupt: &Interrupt) -> Result<StackMeta> {
    let placeholders = Placeholders {
        bin: places.bin.clone(),
        root: places.root.clone(),
        listen: String::new(),
        redis: String::new(),
        workers: 1,
        pool: 1,
        max_connections: 1,
    };
    let version = match server::version(stack, &placeholders, Path::new("/dev/null"), guard, interrupt) {
        Err(error) if error.is::<Interrupted>() => return Err(error),
        version => version.map_err(|error| format!("{error:#}")),
    };
    let settings = if version.is_ok() { meta::settings(stack, &placeholders) } else { BTreeMap::new() };
    let why_not = version.as_ref().err().map(|why| format!("not known: {why}"));
    let (program, scripts) = (PathBuf::new(), Vec::new());
    let prepared = Prepared { stack, version, settings, program, sha256: None, scripts };
    let known = meta::stack_meta(&prepared);
    Ok(StackMeta { version: why_not.unwrap_or(known.version), ..known })
}
