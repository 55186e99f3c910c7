//! `stackload selftest`: servers that misbehave in known ways, and what the client says of them, beside the truth.
//!
//! # Layout
//! - this file: the table; [`traps`]: the servers, the load on each and the truth; [`server`]: what they are made of.

pub mod server;
pub mod traps;

use std::process::ExitCode;

use self::traps::{Check, TRAPS, Trap};

/// The text of `stackload selftest --help`.
const USAGE: &str = "\
Usage: stackload selftest [--list | --serve TRAP | TRAP...]
  Runs load on servers that misbehave in known ways, and shows truth and report side by side.
  Exit code 1 if they differ.

    --list        Name the traps
    --serve TRAP  Only serve one, for another load generator, until standard input ends";

/// Runs the traps that are named, or all of them.
pub fn main(words: impl Iterator<Item = String>) -> ExitCode {
    let words: Vec<String> = words.collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--help"] => println!("{USAGE}"),
        ["--list"] => TRAPS.iter().for_each(|trap| println!("{:<14}{}", trap.name, trap.does)),
        ["--serve", name] => {
            let Some(trap) = find(name) else { return unknown(name) };
            serve(trap);
        }
        ref names => {
            let mut traps: Vec<&Trap> = TRAPS.iter().collect();
            if let Some(name) = names.iter().find(|name| find(name).is_none()) {
                return unknown(name);
            }
            traps.retain(|trap| names.is_empty() || names.contains(&trap.name));
            if !run(&traps) {
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn find(name: &str) -> Option<&'static Trap> {
    TRAPS.iter().find(|trap| trap.name == name)
}

fn unknown(name: &str) -> ExitCode {
    eprintln!("stackload selftest: there is no trap '{name}'\n{USAGE}");
    ExitCode::FAILURE
}

/// Serves until standard input ends, and says then what happened.
fn serve(trap: &Trap) {
    let server = (trap.serve)();
    println!("listening on {}", server.url().trim_start_matches("http://").trim_end_matches("/x"));
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    println!("requests {}", server.requests());
}

/// Runs traps one after the other; true if every figure is right.
fn run(traps: &[&Trap]) -> bool {
    println!("{:<14}{:<26}{:>18}{:>18}  ok", "trap", "figure", "truth", "reported");
    let mut all_right = true;
    for trap in traps {
        let checks = trap.spring().unwrap_or_else(|error| {
            vec![Check {
                figure: "a result".into(),
                truth: "one".into(),
                reported: format!("{error:#}"),
                is_right: false,
            }]
        });
        for Check { figure, truth, reported, is_right } in checks {
            all_right &= is_right;
            println!("{:<14}{figure:<26}{truth:>18}{reported:>18}  {}", trap.name, if is_right { "yes" } else { "NO" });
        }
    }
    all_right
}
