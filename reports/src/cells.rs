//! A run as a flat list of cells, each under the names that tell it from the others: what every format that is not a
//! table of stacks side by side is made from.

use std::collections::BTreeMap;

use crate::{
    dir::Run,
    row::{Mode, Placement, Role, Row, Verdict},
    run::ScenarioMeta,
    summary::Cell,
    table::step_title,
};

/// What makes a cell. The order is that of reports: scenarios as on the command line, and the steps of one stack next to
/// each other, so that they make a curve.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellKey {
    /// Where the command line has its scenario.
    position: usize,
    /// Scenario's name.
    pub scenario: String,
    /// Which CPUs the processes might use.
    pub placement: Placement,
    /// Store in words.
    pub store: String,
    /// Request's name.
    pub request: String,
    /// Mode.
    pub mode: Mode,
    /// What the stack is in the suite.
    pub role: Role,
    /// Stack's name.
    pub stack: String,
    /// 2 for the second name of an A/A pair.
    pub twin: Option<u8>,
    /// Step of the load.
    pub step: Option<u32>,
}

impl CellKey {
    /// The cell of a row.
    pub fn of(row: &Row, run: &Run) -> Self {
        let position = run.meta.scenarios.iter().position(|scenario| scenario.name == row.scenario);
        Self {
            position: position.unwrap_or(usize::MAX),
            scenario: row.scenario.clone(),
            placement: row.placement,
            store: row.store_name.clone(),
            request: row.request.clone(),
            mode: row.mode,
            role: row.role,
            stack: row.stack.clone(),
            twin: row.twin,
            step: row.step,
        }
    }

    /// What the step sets, in words; empty for a scenario of one step.
    pub fn step_title(&self, run: &Run) -> String {
        self.step.map(|step| step_title(step, self.scenario(run))).unwrap_or_default()
    }

    /// What the run says of its scenario.
    pub fn scenario<'r>(&self, run: &'r Run) -> Option<&'r ScenarioMeta> {
        run.meta.scenarios.iter().find(|scenario| scenario.name == self.scenario)
    }
}

/// A cell with its name and its trials.
#[derive(Debug, Clone)]
pub struct NamedCell<'r> {
    /// What makes it.
    pub key: CellKey,
    /// Its trials, those that were [repeated](Row::repeated) included.
    pub rows: Vec<&'r Row>,
    /// What they say together.
    pub cell: Cell,
}

/// The rows of each cell, those that were [repeated](Row::repeated) included.
pub fn rows_by_cell(run: &Run) -> BTreeMap<CellKey, Vec<&Row>> {
    let mut grouped: BTreeMap<CellKey, Vec<&Row>> = BTreeMap::new();
    for row in &run.rows {
        grouped.entry(CellKey::of(row, run)).or_default().push(row);
    }
    grouped
}

/// Every cell of a run that has a trial to rest on, second names of A/A pairs included.
pub fn cells(run: &Run) -> Vec<NamedCell<'_>> {
    rows_by_cell(run).into_iter().filter_map(|(key, rows)| NamedCell::of(key, rows, run)).collect()
}

impl<'r> NamedCell<'r> {
    /// `None` where every trial was to be measured again.
    pub fn of(key: CellKey, rows: Vec<&'r Row>, run: &'r Run) -> Option<Self> {
        let cell = Cell::of(&rows, &run.latencies)?.weighed_by(&run.rows);
        Some(Self { key, rows, cell })
    }

    /// The trials that its figures rest on.
    pub fn sound_rows(&self) -> impl Iterator<Item = &'r Row> {
        self.rows.iter().copied().filter(|row| !row.repeated && row.verdict != Verdict::Failed)
    }
}
