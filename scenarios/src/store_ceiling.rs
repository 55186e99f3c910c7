//! What the store alone can do: asked by the stacks' own clients, without HTTP, before the first trial of a scenario.
//!
//! The added delays are off meanwhile, because what they allow is known. The program that asks runs where servers run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

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
/// What one command may cost: what is not done by then is stopped and has no figure. Two thousand threads take most of a
/// second to connect and to end.
const AT_MOST: Duration = Duration::from_secs(5);
/// Each command is asked in two ways, each with a window of this length.
const WINDOW: Duration = Duration::from_millis(300);

/// By command, as `get`. What cannot be measured is said and left out: no trial needs it.
///
/// # Errors
/// [`Interrupted`] only.
pub fn measure(
    scenario: &Scenario,
    bench: &Bench,
    store: &mut Store,
) -> Result<BTreeMap<String, StoreCeiling>, Interrupted> {
    let commands: BTreeSet<&String> = scenario.requests.iter().flat_map(|request| request.store.keys()).collect();
    let mut ceilings = BTreeMap::new();
    let mut is_ready = false;
    for command in commands {
        let ceiling = prepare(store, &mut is_ready).and_then(|()| of_command(command, scenario, bench, store));
        match ceiling {
            Ok(ceiling) => _ = ceilings.insert(command.clone(), ceiling),
            Err(error) if error.is::<Interrupted>() => return Err(Interrupted),
            Err(error) => {
                let (command, name) = (command.to_uppercase(), &scenario.name);
                say!("{name}: what the store alone can do is not known of {command}: {error:#}");
            }
        }
    }
    Ok(ceilings)
}

/// Once: all keys, and no delay.
fn prepare(store: &mut Store, is_ready: &mut bool) -> Result<()> {
    if !*is_ready {
        store.set_delays(&BTreeMap::new())?;
        store.load_keys().context("cannot load the store's keys")?;
        *is_ready = true;
    }
    Ok(())
}

fn of_command(command: &str, scenario: &Scenario, bench: &Bench, store: &Store) -> Result<StoreCeiling> {
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
    let status = process.wait(bench.interrupt, AT_MOST)?;
    process.stop();
    ensure!(status.success(), "{PROGRAM} ended with {status}: {}", process.log_tail());
    let text = fs::read_to_string(&printed).with_context(|| format!("cannot read {}", printed.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not what its format says", printed.display()))
}
