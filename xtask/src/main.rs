//! What a cargo alias cannot do: build everything, then run the harness; get what the tests need, then run them.
//!
//! # Layout
//! - [`command`]: printing, running and replacing processes; where things are.
//! - [`bench`]: the verbs that end in `stackbench`.
//! - [`needs`]: the programs the tests call, and how to get them.
//! - [`test`]: the tests.
//! - [`ownership`]: what it means to own each stack.
//! - [`clients`]: the load client's self-test, and other load generators.

use std::{
    env,
    ffi::OsString,
    process::{self, ExitCode},
};

use anyhow::Result;

mod bench;
mod clients;
mod command;
mod needs;
mod ownership;
mod test;

/// Exit code for a command line that cannot be understood.
const USAGE: u8 = 2;

/// A verb: its name, what it does, and the function that does it with the options that follow.
type Verb = (&'static str, &'static str, fn(&[OsString]) -> Result<ExitCode>);

const VERBS: &[Verb] = &[
    ("bench-all", "build all, measure the default stacks with the main scenarios, print the table", bench::all),
    ("bench-quick", "the same in about two minutes: fewer connections, one short trial each", bench::quick),
    (
        "bench-stacks",
        "the whole field over redis-server: one worker pinned, then all CPUs",
        bench::stacks::bench_stacks,
    ),
    ("bench-build", "five stacks × {mimalloc, system malloc} × {thin, fat LTO} in one run", bench::builds::bench_build),
    (
        "bench-repeat",
        "the same short run twice: whether the second says what the first did",
        bench::repeat::bench_repeat,
    ),
    ("bench-capacity", "the highest rate that each stack carries within an --objective", bench::capacity),
    ("bench-everything", "every scenario file there is", bench::everything),
    ("check-all", "verify every stack against the contract", bench::check),
    ("bench-doctor", "what about this machine will spoil figures, and how to mend it", bench::doctor),
    ("bench-pick", "which stacks of a run meet a --need, and what the others lack", bench::pick),
    ("bench-report", "make the files of a run directory again, or print one", bench::report),
    ("bench-compare", "hold a run directory against a baseline, cell by cell", bench::compare),
    ("ownership", "measure what each stack costs to own: crates, cold build, size, upstream", ownership::ownership),
    ("compare-clients", "the self-test's traps on other load generators, as Markdown", clients::compare),
    ("test-all", "get what the tests need, build all, run every test", test::all),
];

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some((.., run)) = VERBS.iter().find(|(verb, ..)| *verb == name) else {
        eprintln!("{}", usage(&name.to_string_lossy()));
        return ExitCode::from(USAGE);
    };
    let options: Vec<OsString> = arguments.collect();
    run(&options).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn usage(name: &str) -> String {
    let mut text = match name {
        "" => "cargo xtask needs a verb".to_owned(),
        _ => format!("there is no verb `{name}`"),
    };
    text.push_str("; there are:");
    for (verb, help, _) in VERBS {
        text.push_str(&format!("\n  {verb:<17} {help}"));
    }
    text
}

/// The exit code of a process that was ended by a signal, as shells say it.
fn exit_code(status: process::ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_verb_is_answered_with_the_verbs_there_are() {
        let text = usage("bench-al");
        assert!(text.starts_with("there is no verb `bench-al`; there are:"));
        for (verb, ..) in VERBS {
            assert!(text.contains(verb));
        }
    }
}
