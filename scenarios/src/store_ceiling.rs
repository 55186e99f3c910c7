//! What the store alone can do: asked by the stacks' own clients, without HTTP, before the first trial of a scenario.
//!
//! The added delays are off meanwhile, because what they allow is known. The program that asks runs where servers run.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use stackbench_reports::run::StoreCeiling;

use crate::{
    conformance::StoreControl,
    interrupt::Interrupted,
    process::{Process, Start},
    say,
    scenario::Scenario,
    store::Store,
    trial::Bench,
};

/// The program.
const PROGRAM: &str = "store-ceiling";
/// What one scenario may cost: a program that is not done by then is stopped, and there is no figure.
const AT_MOST: Duration = Duration::from_secs(3);
/// Each command is asked in two ways, each with a window of this length. Two commands leave half of [`AT_MOST`] for
/// connecting, warming up and a busy machine.
const WINDOW: Duration = Duration::from_millis(400);

/// By command, as `get`. What cannot be measured is said and left out: no trial needs it.
///
/// # Errors
/// [`Interrupted`] only.
pub fn measure(
    scenario: &Scenario,
    bench: &Bench,
    store: &mut Store,
) -> Result<BTreeMap<String, StoreCeiling>, Interrupted> {
    match of_commands(scenario, bench, store) {
        Ok(ceilings) => Ok(ceilings),
        Err(error) if error.is::<Interrupted>() => Err(Interrupted),
        Err(error) => {
            say!("the store's own ceiling under {} is not known: {error:#}", scenario.name);
            Ok(BTreeMap::new())
        }
    }
}

fn of_commands(scenario: &Scenario, bench: &Bench, store: &mut Store) -> Result<BTreeMap<String, StoreCeiling>> {
    let mut commands: Vec<&String> = scenario.requests.iter().flat_map(|request| request.store.keys()).collect();
    commands.sort_unstable();
    commands.dedup();
    if commands.is_empty() {
        return Ok(BTreeMap::new());
    }
    store.set_delays(&BTreeMap::new())?;
    store.load_keys().context("cannot load the store's keys")?;
    let each = AT_MOST / u32::try_from(commands.len()).unwrap_or(u32::MAX);
    let ceilings = commands.into_iter().map(|command| {
        let ceiling = of_command(command, scenario, bench, store, each).with_context(|| command.to_uppercase())?;
        Ok((command.clone(), ceiling))
    });
    ceilings.collect()
}

fn of_command(
    command: &str,
    scenario: &Scenario,
    bench: &Bench,
    store: &Store,
    at_most: Duration,
) -> Result<StoreCeiling> {
    let words = [
        bench.bin.join(PROGRAM).display().to_string(),
        format!("--redis={}", store.url()),
        format!("--command={command}"),
        format!("--connections={}", scenario.server.pool),
        format!("--in-flight={}", scenario.load.connections),
        format!("--window-ms={}", WINDOW.as_millis()),
    ];
    let logs = bench.out.join("logs");
    let (log, printed) = (
        logs.join(format!("{}-{PROGRAM}-{command}.log", scenario.name)),
        logs.join(format!("{}-{PROGRAM}-{command}.json", scenario.name)),
    );
    let no_env = BTreeMap::new();
    let how = Start { command: &words, env: &no_env, cwd: bench.root, cpus: &bench.cpus.server, log };
    let mut process = Process::start_capturing(&how, &printed, bench.guard)?;
    let status = process.wait(bench.interrupt, at_most)?;
    process.stop();
    ensure!(status.success(), "{PROGRAM} ended with {status}: {}", process.log_tail());
    let text = fs::read_to_string(&printed).with_context(|| format!("cannot read {}", printed.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not what its format says", printed.display()))
}
