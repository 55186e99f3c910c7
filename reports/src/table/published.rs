//! What published studies say of the same work, to stand beside a section's figures. None of it was measured here.

use crate::{
    number::{self, NONE},
    row::Row,
    run::ScenarioMeta,
    seeds::{self, Published, Study, Tool},
};

use super::mode_word;

/// Microseconds of a millisecond.
const US_PER_MS: f64 = 1e3;

/// A study's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedTable {
    /// What it measured.
    pub title: String,
    /// URL of the repository.
    pub repository: &'static str,
    /// File in it, …
    pub path: &'static str,
    /// … and a commit that has it.
    pub commit: &'static str,
    /// The machine, or that it is not stated.
    pub machine: &'static str,
    /// How the load was made.
    pub command: &'static str,
    /// What a reader has to know before comparing, a sentence or two each.
    pub cautions: Vec<String>,
    /// Figures by request, as the scenario has them, and then as they were published.
    pub lines: Vec<PublishedLine>,
}

/// One model under one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedLine {
    /// Request and mode.
    pub question: String,
    /// Server and model.
    pub model: &'static str,
    /// Requests per second.
    pub rate: String,
    /// Mean latency as printed, which cannot be checked.
    pub printed_mean: String,
    /// The mean latency that the rate implies.
    pub by_rate: String,
    /// Errors by kind.
    pub errors: String,
}

/// The tables for a scenario; none for one that no study did.
pub fn published(scenario: &str, meta: Option<&ScenarioMeta>, rows: &[&Row]) -> Vec<PublishedTable> {
    seeds::beside(scenario).into_iter().map(|study| table(study, meta, rows)).collect()
}

fn table(study: &'static Study, meta: Option<&ScenarioMeta>, rows: &[&Row]) -> PublishedTable {
    let position = |figure: &Published| {
        let requests = meta.map_or(&[][..], |meta| &meta.requests);
        let is_same = |name: &str, mode| name == figure.request && Some(mode) == figure.mode;
        requests.iter().position(|request| is_same(&request.name, request.mode)).unwrap_or(usize::MAX)
    };
    let mut figures: Vec<&'static Published> = study.figures.iter().collect();
    figures.sort_by_key(|figure| position(figure));
    let same = study.same_work.as_ref().map(|same| same.words.clone());
    let cautions = [same, Some(study.note.clone()), other_load(study, rows), Some(unchecked(study.tool).to_owned())];
    PublishedTable {
        title: study.title.clone(),
        repository: &study.origin.repository,
        path: &study.origin.path,
        commit: &study.origin.commit,
        machine: study.machine.as_deref().unwrap_or("machine not stated"),
        command: &study.command,
        cautions: cautions.into_iter().flatten().collect(),
        lines: figures.into_iter().map(line).collect(),
    }
}

fn line(figure: &'static Published) -> PublishedLine {
    let question = match figure.mode {
        Some(mode) => format!("{}, {}", figure.request, mode_word(mode)),
        None => figure.request.clone(),
    };
    let errors: Vec<String> =
        figure.errors.iter().map(|(kind, count)| format!("{} {kind}", number::count(*count as f64))).collect();
    PublishedLine {
        question,
        model: &figure.model,
        rate: number::rate(figure.requests_per_sec),
        printed_mean: number::duration_us(figure.latency_mean_ms * US_PER_MS),
        by_rate: number::duration_us(figure.latency_by_rate_ms() * US_PER_MS),
        errors: if errors.is_empty() { NONE.to_owned() } else { errors.join(", ") },
    }
}

/// What a closed loop of another size reaches is no measure of the same.
fn other_load(study: &Study, rows: &[&Row]) -> Option<String> {
    let (ours, theirs) = (rows.first()?.connections, study.figures.first()?.connections);
    (ours != theirs)
        .then(|| format!("This run has {ours} connections and the study {theirs}: the rates do not compare."))
}

fn unchecked(tool: Tool) -> &'static str {
    match tool {
        Tool::Wrk => {
            "c/X is connections over requests per second: what a connection takes from one request to the next. The mean \
             that wrk prints is another thing: wrk adds latencies that nobody measured wherever one is much longer than it \
             expects, and leaves out those of more than 2 s, so that it cannot be checked against c/X."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn tables(connections: u32) -> Vec<PublishedTable> {
        let row = Row { connections, ..sample::row("tokio") };
        published("cache", Some(&sample::meta().scenarios[0]), &[&row])
    }

    #[test]
    fn requests_come_in_the_order_of_the_scenario_with_what_their_rate_implies() {
        let tables = tables(2000);
        let first = &tables[0].lines[0];
        // The sample's scenario has async requests alone; the others follow as they were published.
        assert_eq!((first.question.as_str(), first.model), ("cache_hit, async", "gunicorn, uvicorn"));
        assert_eq!(
            (first.rate.as_str(), first.printed_mean.as_str(), first.by_rate.as_str()),
            ("6,295", "311 ms", "318 ms")
        );
        assert_eq!(tables[0].lines.len(), 14);
        assert_eq!(tables[0].lines[1].errors, "317 timeout");
    }

    #[test]
    fn another_number_of_connections_is_said() {
        let says =
            |connections| tables(connections)[0].cautions.iter().any(|caution| caution.contains("do not compare"));
        assert!(says(200) && !says(2000));
    }

    #[test]
    fn a_scenario_that_no_study_did_has_none() {
        assert!(published("cache-nodelay", None, &[]).is_empty());
    }
}
