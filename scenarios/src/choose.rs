//! What the command line chooses: scenarios with its options applied, stacks by name or by group.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use stackbench_reports::row::Role;

use crate::{
    placement,
    plan::Course,
    root::Places,
    run::RunArgs,
    say,
    scenario::{self, Fault, Player, Scenario, WARMUP_DELAYS},
    setup::SharedArgs,
    stack::{self, Panel, Stack},
    store::StoreKind,
};

/// Blocks of a run that is to be published: enough for an interval of the median.
const PUBLISH_BLOCKS: u32 = 8;
/// What `--quick` makes of every scenario.
const QUICK: (u32, u32, Duration) = (200, 1, Duration::from_secs(1));
/// The shortest warm-up of `--quick`: two hundred connections are made and warm in less.
const QUICK_WARMUP: Duration = Duration::from_millis(250);

/// A word of `--stacks` that stands for several stacks.
type Group = (&'static str, fn(&Stack) -> bool);

/// The groups. What is no stack but a reference (ceiling, floor) stands beside both panels.
const GROUPS: [Group; 4] = [
    ("all", |_| true),
    ("default", |stack| stack.default),
    ("deployed", |stack| is_reference(stack) || stack.panel != Panel::Controlled),
    ("controlled", |stack| is_reference(stack) || stack.panel != Panel::Deployed),
];

fn is_reference(stack: &Stack) -> bool {
    matches!(stack.role, Role::Ceiling | Role::Floor)
}

/// The scenarios of the command line.
///
/// # Errors
/// As [`scenario::find`]; and for what the command line and a file cannot have together.
pub fn scenarios(args: &RunArgs, places: &Places) -> Result<Vec<Course>> {
    let folder = places.root.join("scenarios");
    let cpus = placement::allowed_cpus()?.len();
    let mut chosen: Vec<Course> = Vec::new();
    for name in &args.scenarios {
        let mut scenario = adjusted(scenario::find(&folder, name)?, args);
        scenario.steps.fit(cpus).with_context(|| format!("scenario `{}`", scenario.name))?;
        leave_out_faults(&mut scenario, &args.shared.redis);
        let name = &scenario.name;
        scenario.validate().with_context(|| format!("scenario `{name}`, with the options of the command line"))?;
        ensure!(!chosen.iter().any(|other| other.scenario.name == scenario.name), "`{}` is named twice", scenario.name);
        chosen.push(course(scenario, &args.shared)?);
    }
    Ok(chosen)
}

/// Leaves out the steps whose fault a store cannot play.
fn leave_out_faults(scenario: &mut Scenario, store: &StoreKind) {
    let is_played = |fault: &Fault| match fault.what.player() {
        Player::AnyStore => true,
        Player::OwnStore => !matches!(store, StoreKind::Url(_)),
        Player::EmbeddedStore => *store == StoreKind::Embedded,
    };
    let (played, left_out): (Vec<Fault>, Vec<Fault>) = scenario.steps.fault.iter().copied().partition(is_played);
    scenario.steps.fault = played;
    if !left_out.is_empty() {
        let titles: Vec<String> = left_out.iter().map(Fault::title).collect();
        say!("{}: left out, because --redis {store} cannot do it: {}", scenario.name, titles.join(", "));
    }
}

/// A scenario with its steps worked out.
///
/// # Errors
/// When it needs a store that can delay, and another was asked for.
pub fn course(scenario: Scenario, args: &SharedArgs) -> Result<Course> {
    let course = Course::new(scenario);
    ensure!(
        course.steps.iter().all(|step| step.scenario.store.delays.is_empty()) || args.redis == StoreKind::Embedded,
        "--redis {}: scenario `{}` delays the store's answers, which only the embedded store can do; leave --redis out",
        args.redis,
        course.scenario.name
    );
    Ok(course)
}

/// A scenario with the options of the command line applied: an option said outright outweighs `--quick`,
/// and a setting that is given one value is no step any more.
fn adjusted(mut scenario: Scenario, args: &RunArgs) -> Scenario {
    let (connections, trials, duration) = QUICK;
    if args.quick {
        (scenario.load.connections, scenario.run.trials, scenario.load.duration) = (connections, trials, duration);
        scenario.steps.connections.clear();
        if scenario.load.warmup.is_none() && scenario.steps.delays.is_empty() {
            scenario.load.warmup = Some(QUICK_WARMUP.max(scenario.longest_delay() * WARMUP_DELAYS));
        }
    }
    if args.publish {
        scenario.run.trials = PUBLISH_BLOCKS;
    }
    scenario.run.trials = args.trials.unwrap_or(scenario.run.trials);
    scenario.load.duration = args.duration.unwrap_or(scenario.load.duration);
    args.shared.apply(&mut scenario);
    scenario
}

/// The stacks of servers/ and of `--stacks-dir`.
///
/// # Errors
/// As [`stack::discover`] and [`stack::select`].
pub fn all_stacks(places: &Places, extra: Option<&Path>) -> Result<Vec<Stack>> {
    let mut all = stack::discover(&places.root.join("servers"))?;
    if let Some(dir) = extra {
        for stack in stack::discover(dir).context("--stacks-dir")? {
            ensure!(
                !all.iter().any(|other| other.name == stack.name),
                "--stacks-dir: servers/ has a `{}` too",
                stack.name
            );
            all.push(stack);
        }
    }
    Ok(all)
}

/// The stacks of the command line that are installed; the others are named and left out.
///
/// # Errors
/// As [`all_stacks`]; and when none is left.
pub fn installed_stacks(args: &SharedArgs, places: &Places) -> Result<Vec<Stack>> {
    let all = all_stacks(places, args.stacks_dir.as_deref())?;
    let names = without_groups(&all, &args.stacks);
    let chosen = stack::select(all, &names)?;
    let (installed, missing): (Vec<Stack>, Vec<Stack>) =
        chosen.into_iter().partition(|s| s.missing(&places.root).is_empty());
    for stack in missing {
        say!("{}: not installed, left out; to install it: {}", stack.name, stack.setup);
    }
    ensure!(!installed.is_empty(), "--stacks: none of them is installed");
    Ok(installed)
}

/// Names with each group replaced by its stacks. A stack that is named and also of a group, or of two groups, is meant
/// once; one that is named twice is left to be refused.
fn without_groups(all: &[Stack], words: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for word in words {
        let group = GROUPS.iter().find(|(group, _)| group == word).filter(|_| all.iter().all(|s| s.name != *word));
        let Some((_, is_member)) = group else {
            names.push(word.clone());
            continue;
        };
        let members = all.iter().filter(|stack| is_member(stack) && !words.contains(&stack.name));
        for stack in members {
            if !names.contains(&stack.name) {
                names.push(stack.name.clone());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name role panel default`, a line each.
    fn stacks(lines: &str) -> Vec<Stack> {
        let one = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!(
                "[[stack]]\nname = \"{}\"\nrole = \"{}\"\npanel = \"{}\"\ndefault = {}\nmodel = \"m\"\nlanguage = \"rust\"\n\
                 http = \"h\"\nredis = \"r\"\nstore = \"redis\"\nmodes = [\"sync\"]\nrun = [\"x\"]\nversion = [\"x\"]\n",
                words[0], words[1], words[2], words[3]
            )
        };
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stack.toml"), lines.lines().map(one).collect::<String>()).unwrap();
        stack::discover(dir.path()).unwrap()
    }

    const FIELD: &str = "a stack deployed true\nb stack both true\nc stack controlled true\nd stack deployed false\n\
                         null ceiling deployed true\nfloor floor controlled true";

    fn named(words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        without_groups(&stacks(FIELD), &words).join(" ")
    }

    #[test]
    fn a_panel_is_its_stacks_with_the_references_beside_them() {
        assert_eq!(named(&["deployed"]), "a b d null floor");
        assert_eq!(named(&["controlled"]), "b c null floor");
    }

    #[test]
    fn all_is_the_whole_field_and_default_what_bench_all_runs() {
        assert_eq!(named(&["all"]), "a b c d null floor");
        assert_eq!(named(&["default"]), "a b c null floor");
    }

    #[test]
    fn a_stack_of_two_groups_is_meant_once_and_names_keep_their_place() {
        assert_eq!(named(&["controlled", "deployed"]), "b c null floor a d");
        assert_eq!(named(&["null", "controlled"]), "null b c floor");
        assert_eq!(named(&["a", "a"]), "a a", "named twice, and refused for it");
    }
}
