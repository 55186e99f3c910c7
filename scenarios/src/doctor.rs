//! `stackbench doctor`: what about this machine will spoil figures, said before a long run and not after it.
//!
//! # Layout
//! - `facts`: what the machine says of itself, read here and now.
//! - `findings`: from these facts to findings; nothing in it looks at the machine.

mod facts;
mod findings;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use self::{
    facts::{Facts, Needs},
    findings::{Finding, Level},
};
use crate::{plan::Course, root::Places, run, say, scenario};

/// Options of `stackbench doctor`.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Scenarios that are to be run, by name or by the path of a .toml file
    #[arg(value_name = "SCENARIO", default_values = ["cache", "cache-nodelay"])]
    pub scenarios: Vec<String>,
    /// Where the run directory is to be [default: reports/]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// The verb. True when nothing is bad.
///
/// # Errors
/// What is wrong with the command line or a scenario file, or that this process's CPUs cannot be read.
pub fn doctor(args: &DoctorArgs) -> Result<bool> {
    let places = Places::find()?;
    let folder = places.root.join("scenarios");
    let courses: Vec<Course> =
        args.scenarios.iter().map(|name| Ok(Course::new(scenario::find(&folder, name)?))).collect::<Result<_>>()?;
    let out = args.out.clone().unwrap_or_else(|| places.root.join("reports"));
    let needs = Needs {
        connections: courses.iter().flat_map(|course| &course.steps).map(|s| s.scenario.load.connections).max(),
        descriptors: run::descriptors_needed(run::most_connections(&courses)),
    };
    let findings = findings::findings(&Facts::collect(needs, &out)?);
    for finding in &findings {
        say!("{finding}");
    }
    say!("\n{}", conclusion(&findings));
    Ok(findings.iter().all(|finding| finding.level != Level::Bad))
}

fn conclusion(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    match (count(Level::Bad), count(Level::Note)) {
        (0, 0) => "nothing here will spoil figures".to_owned(),
        (0, notes) => format!("nothing here must be mended; {notes} to bear in mind"),
        (bad, notes) => format!("{bad} to be mended before a long run, {notes} to bear in mind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(level: Level) -> Finding {
        Finding { level, seen: String::new(), remedy: None }
    }

    #[test]
    fn the_conclusion_counts_what_is_to_be_mended_and_what_is_to_be_known() {
        assert_eq!(conclusion(&[finding(Level::Ok)]), "nothing here will spoil figures");
        assert!(conclusion(&[finding(Level::Ok), finding(Level::Note)]).starts_with("nothing here must be mended; 1 "));
        assert!(conclusion(&[finding(Level::Bad), finding(Level::Note)]).starts_with("1 to be mended"));
    }
}
