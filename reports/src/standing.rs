//! Where each cell stands in the tables of its section: what formats that list cells one by one say of places.

use std::collections::BTreeMap;

use crate::{
    cells::{CellKey, NamedCell, rows_by_cell},
    dir::Run,
    noise::Noise,
    panel::Panel,
    places::{Comparisons, TimesBest},
    row::{Placement, Row},
    run::StackMeta,
    summary::{Question, Spread},
    table::{Headline, Part, parts},
};

/// The cells of one scenario over one store in one placement.
#[derive(Debug)]
pub struct Group<'r> {
    /// Scenario's name.
    pub scenario: String,
    /// Which CPUs the processes might use.
    pub placement: Placement,
    /// Store in words.
    pub store: String,
    /// What its tables are ordered by.
    pub headline: Headline,
    /// What two names of one stack say of that figure.
    pub noise: Noise,
    /// Its cells, in the order of [`CellKey`].
    pub cells: Vec<Standing<'r>>,
    /// Rows of cells without any figure, because every trial of them was noisy and is yet to be measured again.
    pub unfinished: Vec<(CellKey, Vec<&'r Row>)>,
}

/// A cell, and what the tables that show it say of it.
#[derive(Debug)]
pub struct Standing<'r> {
    /// The cell.
    pub named: NamedCell<'r>,
    /// What its step sets, in words; empty for a scenario of one step.
    pub step_title: String,
    /// What the run says of the stack; none where it says nothing.
    pub stack: Option<&'r StackMeta>,
    /// What the tables of its group are ordered by.
    pub headline: Headline,
    /// The run's noise floor for that figure, as a log-ratio.
    pub noise_floor: Option<f64>,
    /// Its place in each panel that shows it; the second name of an A/A pair stands in none.
    pub places: Vec<Place>,
}

/// A cell's place in the table of one panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Which.
    pub panel: Panel,
    /// From 1; none where the verdict or the role forbids one, or where there are too few trials.
    pub place: Option<usize>,
    /// The other stacks of the same place.
    pub shared_with: Vec<String>,
    /// Its figure beside that of the best; none for the best itself and where the two have too few blocks in common.
    pub times_best: Option<TimesBest>,
}

impl Standing<'_> {
    /// A figure over the trials that the cell rests on.
    pub fn over(&self, figure: fn(&Row) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.named.sound_rows().filter_map(figure))
    }

    /// The place in a panel, if it has one there.
    pub fn place_in(&self, panel: Panel) -> Option<usize> {
        self.places.iter().find(|place| place.panel == panel)?.place
    }
}

/// All cells of a run by section, with their places.
pub fn groups(run: &Run) -> Vec<Group<'_>> {
    let parts = parts(run);
    let mut groups: Vec<Group> = Vec::new();
    let mut places = BTreeMap::new();
    for (key, rows) in rows_by_cell(run) {
        let is_same = |group: &Group| {
            (&group.scenario, group.placement, &group.store) == (&key.scenario, key.placement, &key.store)
        };
        if !groups.last().is_some_and(is_same) {
            let group = empty_group(&key, run);
            let part = parts.iter().find(|part| {
                (part.scenario, part.placement, part.store)
                    == (key.scenario.as_str(), key.placement, key.store.as_str())
            });
            places = part.map(|part| places_of(part, run, group.noise.floor)).unwrap_or_default();
            groups.push(group);
        }
        let group = groups.last_mut().expect("one was pushed just now if there was none");
        match NamedCell::of(key.clone(), rows.clone(), run) {
            Some(named) => {
                let places = of_name(&key, &places);
                group.cells.push(standing(named, places, group.headline, group.noise.floor, run));
            }
            None => group.unfinished.push((key, rows)),
        }
    }
    groups
}

fn empty_group<'r>(key: &CellKey, run: &'r Run) -> Group<'r> {
    let headline = Headline::choose(&run.meta.machine, key.placement);
    Group {
        scenario: key.scenario.clone(),
        placement: key.placement,
        store: key.store.clone(),
        headline,
        noise: Noise::of(run, headline),
        cells: Vec::new(),
        unfinished: Vec::new(),
    }
}

fn standing<'r>(
    named: NamedCell<'r>,
    places: Vec<Place>,
    headline: Headline,
    noise_floor: Option<f64>,
    run: &'r Run,
) -> Standing<'r> {
    let stack = run.meta.stacks.iter().find(|stack| stack.name == named.key.stack);
    Standing { step_title: named.key.step_title(run), stack, headline, noise_floor, places, named }
}

/// Places by stack and question.
type Places<'p> = BTreeMap<(&'p str, &'p Question), Vec<Place>>;

fn of_name(key: &CellKey, places: &Places) -> Vec<Place> {
    let question = Question { request: key.request.clone(), mode: key.mode, step: key.step };
    let found = places.get(&(key.stack.as_str(), &question)).filter(|_| key.twin.is_none());
    found.cloned().unwrap_or_default()
}

fn places_of<'p>(part: &'p Part, run: &Run, floor: Option<f64>) -> Places<'p> {
    let mut found: Places = BTreeMap::new();
    for panel in part.panels(&run.meta.stacks) {
        for (question, cells) in part.of_panel(panel, &run.meta.stacks) {
            let comparisons = Comparisons::of(&cells, part.headline, floor);
            let places = comparisons.places();
            for (index, cell) in cells.iter().enumerate() {
                let shares =
                    |other: &usize| *other != index && places[*other].is_some() && places[*other] == places[index];
                let shared_with = (0..cells.len()).filter(shares).map(|other| cells[other].stack.clone()).collect();
                let times_best = comparisons.times_best(index);
                let place = Place { panel, place: places[index], shared_with, times_best };
                found.entry((&cell.stack, question)).or_default().push(place);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{row::Verdict, sample};

    fn run(rows: Vec<Row>) -> Run {
        Run { meta: sample::meta(), rows, latencies: BTreeMap::new(), warnings: Vec::new() }
    }

    /// Three trials of a stack that costs about so much.
    fn trials(stack: &str, us: f64) -> Vec<Row> {
        let row = |trial: u32| {
            let mut row = Row { trial, ..sample::row(stack) };
            row.server.cpu_us_per_request = us + f64::from(trial) / 10.0;
            row
        };
        (1..=3).map(row).collect()
    }

    #[test]
    fn cells_have_the_places_of_their_table_and_name_those_they_share_them_with() {
        let run = run([trials("dear", 40.0), trials("cheap", 20.0), trials("alike", 20.05)].concat());
        let groups = groups(&run);
        let told: Vec<(&str, Option<usize>, &[String])> = groups[0]
            .cells
            .iter()
            .map(|cell| (cell.named.key.stack.as_str(), cell.places[0].place, cell.places[0].shared_with.as_slice()))
            .collect();
        let (alike, cheap) = ("alike".to_owned(), "cheap".to_owned());
        assert_eq!(told, [("alike", Some(1), &[cheap][..]), ("cheap", Some(1), &[alike][..]), ("dear", Some(3), &[])]);
    }

    #[test]
    fn a_second_name_stands_in_no_panel() {
        let second = Row { twin: Some(2), ..sample::row("tokio") };
        let run = run(vec![sample::row("tokio"), second]);
        let places: Vec<usize> = groups(&run)[0].cells.iter().map(|cell| cell.places.len()).collect();
        assert_eq!(places, [1, 0]);
    }

    #[test]
    fn a_cell_whose_only_trial_is_to_be_measured_again_is_not_lost() {
        let noisy = Row { repeated: true, verdict: Verdict::Noisy, ..sample::row("tokio") };
        let run = run(vec![noisy]);
        let groups = groups(&run);
        assert_eq!((groups[0].cells.len(), groups[0].unfinished.len()), (0, 1));
    }
}
