//! A run as one JSON document: where it comes from, every cell with its figures and places, and for each trial the files
//! and command lines it was made with. docs/formats.md says what each key is. What there is not is null.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::columns::{self, COLUMNS, Of};
use crate::{
    cells::CellKey,
    dir::Run,
    heading,
    noise::Noise,
    row::{Cost, Mode, Placement, Row, Verdict},
    run::RunMeta,
    standing::{Group, Place, Standing, groups},
    summary::Spread,
};

/// Name and version of the document's format.
const SCHEMA: &str = "stackbench-summary/1";

/// Draws a run.
pub fn draw(run: &Run) -> String {
    let groups = groups(run);
    let document = Document {
        schema: SCHEMA,
        run: &run.meta,
        sections: groups.iter().map(|group| Section::of(group, run)).collect(),
        warnings: &run.warnings,
    };
    serde_json::to_string_pretty(&document).expect("keys are strings, and memory takes all of it") + "\n"
}

#[derive(Serialize)]
struct Document<'r> {
    schema: &'static str,
    /// As `run.json` has it.
    run: &'r RunMeta,
    sections: Vec<Section<'r>>,
    /// What could not be read.
    warnings: &'r [String],
}

/// One scenario over one store in one placement.
#[derive(Serialize)]
struct Section<'r> {
    scenario: &'r str,
    title: Option<&'r str>,
    placement: Placement,
    store: &'r str,
    /// Store, placement and load in sentences, as they stand above the tables.
    facts: Vec<String>,
    /// The figure that places are of.
    ordered_by: &'static str,
    noise: NoiseOf<'r>,
    cells: Vec<Cell<'r>>,
    /// Trials of cells that have no figures yet.
    unfinished: Vec<Unfinished<'r>>,
}

impl<'r> Section<'r> {
    fn of(group: &'r Group<'r>, run: &'r Run) -> Self {
        let meta = run.meta.scenarios.iter().find(|scenario| scenario.name == group.scenario);
        let is_of_group = |row: &&Row| {
            (&row.scenario, row.placement, &row.store_name) == (&group.scenario, group.placement, &group.store)
        };
        let rows: Vec<&Row> = run.rows.iter().filter(is_of_group).collect();
        Self {
            scenario: &group.scenario,
            title: meta.map(|meta| meta.title.as_str()),
            placement: group.placement,
            store: &group.store,
            facts: heading::facts(meta, &rows),
            ordered_by: columns::ordered_by(group.headline),
            noise: NoiseOf::of(&group.noise),
            cells: group.cells.iter().map(Cell).collect(),
            unfinished: group.unfinished.iter().map(|(key, rows)| Unfinished::of(key, rows)).collect(),
        }
    }
}

#[derive(Serialize)]
struct NoiseOf<'r> {
    /// As a share: 0.02 where two names of one stack differ by up to 2 %.
    floor: Option<f64>,
    stacks: &'r [String],
    without_sound_figures: &'r [String],
}

impl<'r> NoiseOf<'r> {
    fn of(noise: &'r Noise) -> Self {
        Self { floor: noise.floor.map(f64::exp_m1), stacks: &noise.stacks, without_sound_figures: &noise.unsound }
    }
}

/// A cell: the facts of [`COLUMNS`], then their figures, places and trials.
struct Cell<'r>(&'r Standing<'r>);

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let standing = self.0;
        let mut map = serializer.serialize_map(None)?;
        for column in COLUMNS {
            if let Of::Fact(fact) = column.of {
                map.serialize_entry(column.name, &fact(standing))?;
            }
        }
        map.serialize_entry("figures", &Figures(standing))?;
        let places: Vec<PlaceOf> = standing.places.iter().map(PlaceOf::of).collect();
        map.serialize_entry("places", &places)?;
        let trials: Vec<Trial> = standing.named.rows.iter().map(|row| Trial::of(row)).collect();
        map.serialize_entry("per_trial", &trials)?;
        map.end()
    }
}

struct Figures<'r>(&'r Standing<'r>);

impl Serialize for Figures<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let figures = COLUMNS.iter().filter_map(|column| match column.of {
            Of::Fact(_) => None,
            Of::Figure(figure) => Some((column.name, figure(self.0).map(SpreadOf::of))),
        });
        serializer.collect_map(figures)
    }
}

#[derive(Serialize)]
struct SpreadOf {
    median: f64,
    min: f64,
    max: f64,
    interval: Option<IntervalOf>,
    trials: usize,
}

#[derive(Serialize)]
struct IntervalOf {
    low: f64,
    high: f64,
    coverage: f64,
}

impl SpreadOf {
    fn of(spread: Spread) -> Self {
        let Spread { median, min, max, interval, trials } = spread;
        let interval =
            interval.map(|interval| IntervalOf { low: interval.low, high: interval.high, coverage: interval.coverage });
        Self { median, min, max, interval, trials }
    }
}

/// Where a cell stands in the table of one panel.
#[derive(Serialize)]
struct PlaceOf<'r> {
    panel: &'static str,
    place: Option<usize>,
    shared_with: &'r [String],
    times_best: Option<TimesBestOf>,
}

#[derive(Serialize)]
struct TimesBestOf {
    ratio: f64,
    low: f64,
    high: f64,
}

impl<'r> PlaceOf<'r> {
    fn of(place: &'r Place) -> Self {
        let times_best = place.times_best.map(|times| TimesBestOf {
            ratio: times.ratio,
            low: times.interval.0,
            high: times.interval.1,
        });
        Self { panel: place.panel.key(), place: place.place, shared_with: &place.shared_with, times_best }
    }
}

/// What a trial's own files and programs were, and its main figures.
#[derive(Serialize)]
struct Trial<'r> {
    trial: u32,
    repeated: bool,
    started: &'r str,
    verdict: Verdict,
    reason: &'r str,
    error: Option<&'r str>,
    requests: u64,
    requests_per_sec: f64,
    server_cpu_us_per_request: Option<f64>,
    errors: &'r BTreeMap<String, u64>,
    /// The client's result file, relative to the run directory.
    raw: Option<&'r str>,
    /// The client's wrk report, relative to the run directory.
    wrk: Option<&'r str>,
    commands: &'r BTreeMap<String, Vec<String>>,
    server_sha256: Option<&'r str>,
}

impl<'r> Trial<'r> {
    fn of(row: &'r Row) -> Self {
        let is_counted = |cost: &Cost| cost.cpu_s > 0.0 && row.requests > 0;
        Self {
            trial: row.trial,
            repeated: row.repeated,
            started: &row.started,
            verdict: row.verdict,
            reason: &row.reason,
            error: row.error.as_deref(),
            requests: row.requests,
            requests_per_sec: row.requests_per_sec,
            server_cpu_us_per_request: is_counted(&row.server).then_some(row.server.cpu_us_per_request),
            errors: &row.errors,
            raw: row.raw.as_deref(),
            wrk: row.wrk.as_deref(),
            commands: &row.commands,
            server_sha256: row.server_sha256.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct Unfinished<'r> {
    stack: &'r str,
    twin: Option<u8>,
    request: &'r str,
    mode: Mode,
    step: Option<u32>,
    per_trial: Vec<Trial<'r>>,
}

impl<'r> Unfinished<'r> {
    fn of(key: &'r CellKey, rows: &[&'r Row]) -> Self {
        let CellKey { stack, twin, request, mode, step, .. } = key;
        let per_trial = rows.iter().map(|row| Trial::of(row)).collect();
        Self { stack, twin: *twin, request, mode: *mode, step: *step, per_trial }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sample;

    fn document(rows: Vec<Row>) -> Value {
        let warnings = vec!["rows.jsonl:3: damaged".to_owned()];
        let run = Run { meta: sample::meta(), rows, latencies: BTreeMap::new(), warnings };
        serde_json::from_str(&draw(&run)).unwrap()
    }

    #[test]
    fn it_says_what_it_is_and_where_it_comes_from() {
        let document = document(vec![sample::row("tokio")]);
        assert_eq!(document["schema"], "stackbench-summary/1");
        let run: RunMeta = serde_json::from_value(document["run"].clone()).unwrap();
        assert_eq!(run, sample::meta());
        assert_eq!(document["warnings"], json!(["rows.jsonl:3: damaged"]));
    }

    #[test]
    fn every_row_is_there_with_its_files_and_programs() {
        let row = |stack: &str, trial, twin| Row {
            trial,
            twin,
            raw: Some(format!("raw/{stack}-{trial}-{twin:?}.json")),
            wrk: Some(format!("raw/{stack}-{trial}-{twin:?}.wrk.txt")),
            server_sha256: Some("ab".repeat(32)),
            commands: BTreeMap::from([("server".to_owned(), vec!["stack".to_owned(), "--workers".to_owned()])]),
            ..sample::row(stack)
        };
        let again = Row { repeated: true, verdict: Verdict::Noisy, ..row("smol", 1, None) };
        let stepped = Row { step: Some(1), ..row("may", 9, None) };
        let rows = vec![row("tokio", 1, None), row("tokio", 2, None), row("tokio", 1, Some(2)), again, stepped];
        let document = document(rows.clone());
        let section = &document["sections"][0];
        let of = |list: &str| section[list].as_array().unwrap().clone();
        let trials: Vec<Value> = [of("cells"), of("unfinished")]
            .concat()
            .iter()
            .flat_map(|cell| cell["per_trial"].as_array().unwrap().clone())
            .collect();
        assert_eq!(trials.len(), rows.len());
        for row in rows {
            let found = trials.iter().find(|trial| trial["raw"] == json!(row.raw)).unwrap();
            assert_eq!(found["wrk"], json!(row.wrk));
            assert_eq!(found["commands"], json!(row.commands));
            assert_eq!(found["server_sha256"], json!(row.server_sha256));
        }
    }

    #[test]
    fn a_figure_is_a_median_with_range_and_interval_and_what_there_is_not_is_null() {
        let rows = |trials: u32| (1..=trials).map(|trial| Row { trial, ..sample::row("tokio") }).collect::<Vec<_>>();
        let figures = |trials| document(rows(trials))["sections"][0]["cells"][0]["figures"].clone();
        assert_eq!(
            figures(3)["requests_per_sec"],
            json!({ "median": 10000.0, "min": 10000.0, "max": 10000.0, "interval": null, "trials": 3 })
        );
        let coverage = figures(6)["requests_per_sec"]["interval"]["coverage"].as_f64().unwrap();
        assert!((coverage - 0.96875).abs() < 1e-12, "{coverage}");
        assert_eq!(figures(3)["offered_per_sec"], Value::Null);
    }

    #[test]
    fn places_are_those_of_the_tables() {
        let trials = |stack: &str, us: f64| {
            let row = |trial| {
                let mut row = Row { trial, ..sample::row(stack) };
                row.server.cpu_us_per_request = us;
                row
            };
            (1..=3).map(row).collect::<Vec<_>>()
        };
        let document = document([trials("a", 20.0), trials("b", 20.0), trials("c", 40.0)].concat());
        let section = &document["sections"][0];
        assert_eq!(section["ordered_by"], "server_cpu_us_per_request");
        let places: Vec<Value> = (0..3).map(|index| section["cells"][index]["places"].clone()).collect();
        assert_eq!(
            places,
            [
                json!([{ "panel": "deployed", "place": 1, "shared_with": ["b"], "times_best": null }]),
                json!([{ "panel": "deployed", "place": 1, "shared_with": ["a"], "times_best": null }]),
                json!([{ "panel": "deployed", "place": 3, "shared_with": [], "times_best": null }]),
            ]
        );
    }

    #[test]
    fn a_run_without_rows_is_a_document_without_sections() {
        assert_eq!(document(Vec::new())["sections"], json!([]));
    }
}
