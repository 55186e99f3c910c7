//! Two searches for capacity: the bounds of each stack before a change and after it.

use super::{Basis, Difference, Finding, Machines, Refusal, Regression, pairs::Pairs};
use crate::{
    capacity::{Capacity, Ended, Search, Settings},
    dir::Run,
    number,
    row::Role,
    summary::Question,
    table,
};

/// What became of the bounds of searches.
#[derive(Debug)]
pub struct ComparedSearches {
    /// What the two runs stand on, and what changed.
    pub basis: Basis,
    /// What had to hold at a rate.
    pub objective: String,
    /// The searches that both runs made.
    pub searches: Vec<ComparedSearch>,
}

/// One stack under one request.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedSearch {
    /// Scenario, request and mode.
    pub question: String,
    /// Stack's name.
    pub stack: String,
    /// What it is in the suite.
    pub role: Role,
    /// Lower and upper bound in the baseline and in the new run, per second.
    pub bounds: [(Option<f64>, Option<f64>); 2],
    /// The middle of the new run's bounds over that of the baseline's; none where one of them has no bound.
    pub times: Option<f64>,
    /// Whether bounds are apart.
    pub finding: Finding,
    /// Whether the search failed in the new run and did not in the baseline, and why.
    pub newly_failed: Option<String>,
}

impl ComparedSearches {
    /// Compares searches with those of a baseline.
    ///
    /// # Errors
    /// When they asked for different things or were made on different ground, or have no cell in common.
    pub fn of(runs: [&Run; 2], found: [&Capacity; 2], machines: Machines) -> Result<Self, Refusal> {
        let objectives = found.map(|found| found.objective.clone());
        if objectives[0] != objectives[1] {
            return Err(Refusal::Objective(Difference { what: "it is".to_owned(), values: objectives }));
        }
        let pairs = Pairs::of(runs, machines);
        let mut basis = Basis::of(runs, &pairs, machines, None)?;
        basis.changed.settings.extend(settings(found.map(|found| &found.settings)));
        let mut searches = Vec::new();
        for pair in &pairs.common {
            let of_side = |side: usize| {
                let row = pair.sides[side].named.rows.first()?;
                found[side].searches.iter().find(|search| search.has(row))
            };
            // Rows without a search are those of one that was cut off before its first line.
            let (Some(a), Some(b)) = (of_side(0), of_side(1)) else { continue };
            let question = Question { request: b.request.clone(), mode: b.mode, step: None };
            let key = &pair.sides[1].named.key;
            searches.push(ComparedSearch {
                question: format!("{}: {}", b.scenario, table::title(&question, None)),
                role: key.role,
                ..compared(a, b, pair.unlike(machines))
            });
        }
        let [objective, _] = objectives;
        Ok(Self { basis, objective, searches })
    }

    /// As of ordinary runs; the ratio of a search is that of the middles of its bounds.
    pub fn regressions(&self, threshold: f64) -> Vec<Regression> {
        let of_search = |search: &ComparedSearch| {
            let is_beyond = search.times.is_some_and(|times| times < 1.0 - threshold);
            let what = match &search.newly_failed {
                Some(why) => format!("failed in B and did not in A: {}", table::one_line(why)),
                None if search.finding == Finding::Worse && is_beyond => search.words(),
                None => return None,
            };
            Some(Regression { question: search.question.clone(), stack: search.stack.clone(), what })
        };
        self.searches.iter().filter(|search| search.role == Role::Stack).filter_map(of_search).collect()
    }

    /// Of how many stacks it could be told whether their bounds differ.
    pub fn judged(&self) -> usize {
        let is_judged = |search: &&ComparedSearch| search.role == Role::Stack && search.finding.is_judged();
        self.searches.iter().filter(is_judged).count()
    }
}

impl ComparedSearch {
    /// What became of the bounds, in a word or two.
    pub fn verdict(&self) -> &'static str {
        match self.finding {
            Finding::WithinNoise => "the same: bounds overlap",
            Finding::Better => "carries more",
            Finding::Worse => "carries less",
            Finding::TooFewTrials(_) | Finding::NotComparable(_) | Finding::Carried(_) => "not comparable",
        }
    }

    /// `carries less: 9,000–9,400/s → 8,000–8,300/s`.
    pub fn words(&self) -> String {
        let [a, b] = self.bounds.map(bounds_words);
        format!("{}: {a}/s → {b}/s", self.verdict())
    }
}

/// `9,000–9,400`; a bound that was not found is left out.
pub fn bounds_words((lower, upper): (Option<f64>, Option<f64>)) -> String {
    match (lower.map(number::rate), upper.map(number::rate)) {
        (Some(lower), Some(upper)) => format!("{lower}–{upper}"),
        (Some(lower), None) => format!("≥ {lower}"),
        (None, Some(upper)) => format!("< {upper}"),
        (None, None) => number::NONE.to_owned(),
    }
}

fn compared(a: &Search, b: &Search, unlike: Option<String>) -> ComparedSearch {
    let searches = [a, b];
    let middle = |search: &Search| match (search.lower_per_sec, search.upper_per_sec) {
        (Some(lower), Some(upper)) => Some((lower * upper).sqrt()),
        (lower, upper) => lower.or(upper),
    };
    let times = middle(b).zip(middle(a)).map(|(b, a)| b / a).filter(|_| unlike.is_none());
    let broke = unlike.is_none() && a.ended != Ended::Failed && b.ended == Ended::Failed;
    ComparedSearch {
        question: String::new(),
        stack: b.stack.clone(),
        role: Role::Stack,
        bounds: searches.map(|search| (search.lower_per_sec, search.upper_per_sec)),
        times,
        finding: finding(searches, unlike),
        newly_failed: broke.then(|| b.error.clone().unwrap_or_default()),
    }
}

fn finding([a, b]: [&Search; 2], unlike: Option<String>) -> Finding {
    let uncertain = [(a, "A"), (b, "B")].into_iter().find(|(search, _)| !search.is_certain());
    let uncertain = uncertain.map(|(search, name)| format!("{} in {name}", search.ended_word()));
    if let Some(why) = unlike.or(uncertain) {
        return Finding::NotComparable(why);
    }
    // As among the stacks of one table: a bound that two have in common tells them apart.
    if b.carries_least() >= a.carries_most() {
        return Finding::Better;
    }
    if a.carries_least() >= b.carries_most() {
        return Finding::Worse;
    }
    let upper = |search: &Search| search.upper_per_sec.unwrap_or(f64::INFINITY);
    let limited = [(upper(a) <= b.carries_least(), "A"), (upper(b) <= a.carries_least(), "B")];
    match limited.into_iter().find(|(is_below, _)| *is_below) {
        Some((_, name)) => Finding::NotComparable(format!(
            "the upper bound in {name} was set by client or store, and the stack may carry more"
        )),
        None => Finding::WithinNoise,
    }
}

/// What the searches were set to, as far as it differs.
fn settings(settings: [&Settings; 2]) -> Vec<Difference> {
    type Told = (&'static str, fn(&Settings) -> String);
    let told: [Told; 5] = [
        ("first rate", |of| number::rate(of.start_per_sec)),
        ("lowest rate", |of| number::rate(of.least_per_sec)),
        ("highest rate", |of| number::rate(of.most_per_sec)),
        ("precision", |of| format!("{} %", number::percent(of.precision))),
        ("trials at each bound", |of| of.confirmations.to_string()),
    ];
    let differing = told.iter().filter_map(|(what, of)| Difference::of(what, settings.map(of)));
    differing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        capacity::{
            SetBy,
            tests::{capacity, search},
        },
        sample,
    };

    fn around(stack: &str, lower: f64, upper: f64) -> Search {
        search(stack, (lower, upper), &[(lower, None), (upper, Some(SetBy::Stack))])
    }

    /// A run of these searches, with a row for each.
    fn run(searches: &[Search]) -> Run {
        let rows = searches.iter().map(|search| sample::row(&search.stack)).collect();
        Run { meta: sample::meta(), rows, latencies: Default::default(), warnings: Vec::new() }
    }

    fn compare(a: Vec<Search>, b: Vec<Search>) -> ComparedSearches {
        let runs = [run(&a), run(&b)];
        let found = [capacity(a), capacity(b)];
        ComparedSearches::of(runs.each_ref(), found.each_ref(), Machines::Same).unwrap()
    }

    #[test]
    fn bounds_that_are_apart_differ_and_those_that_overlap_do_not() {
        let a = vec![around("may", 1_000.0, 1_050.0), around("tokio", 900.0, 945.0), around("smol", 900.0, 945.0)];
        let b = vec![around("may", 1_020.0, 1_070.0), around("tokio", 700.0, 735.0), around("smol", 945.0, 990.0)];
        let compared = compare(a, b);
        let of = |stack: &str| compared.searches.iter().find(|search| search.stack == stack).unwrap();
        let findings = ["may", "tokio", "smol"].map(|stack| of(stack).finding.clone());
        assert_eq!(findings, [Finding::WithinNoise, Finding::Worse, Finding::Better]);
        assert!((of("tokio").times.unwrap() - 7.0 / 9.0).abs() < 1e-12);
        assert_eq!(of("tokio").words(), "carries less: 900–945/s → 700–735/s");
        let stacks = |threshold| compared.regressions(threshold).into_iter().map(|r| r.stack).collect::<Vec<_>>();
        assert_eq!((stacks(0.2), stacks(0.25)), (vec!["tokio".to_owned()], Vec::new()));
        assert_eq!(compared.judged(), 3);
    }

    #[test]
    fn an_upper_bound_that_others_set_bounds_the_stack_in_nothing() {
        let mut limited = around("tokio", 500.0, 525.0);
        limited.upper_set_by = Some(SetBy::Client);
        let compared = compare(vec![around("tokio", 900.0, 945.0)], vec![limited]);
        let Finding::NotComparable(why) = &compared.searches[0].finding else { panic!("it was compared") };
        assert!(why.starts_with("the upper bound in B was set by client or store"), "{why}");
    }

    #[test]
    fn a_search_that_failed_is_a_regression_and_one_that_did_not_converge_tells_nothing() {
        let mut failed = around("tokio", 900.0, 945.0);
        (failed.ended, failed.error) = (Ended::Failed, Some("it was killed".to_owned()));
        let compared = compare(vec![around("tokio", 900.0, 945.0)], vec![failed]);
        assert_eq!(compared.searches[0].finding, Finding::NotComparable("failed in B".to_owned()));
        assert_eq!(compared.regressions(1.0)[0].what, "failed in B and did not in A: it was killed");
        let mut endless = around("tokio", 100.0, 900.0);
        endless.ended = Ended::NotConverged;
        let compared = compare(vec![endless], vec![around("tokio", 1.0, 2.0)]);
        assert_eq!(compared.searches[0].finding, Finding::NotComparable("did not converge in A".to_owned()));
        assert_eq!((compared.regressions(0.0).len(), compared.judged()), (0, 0));
    }

    #[test]
    fn searches_under_another_load_are_not_compared() {
        let searches = vec![around("tokio", 900.0, 945.0)];
        let (a, mut b) = (run(&searches), run(&searches));
        b.meta.scenarios[0].connections = 10;
        let found = capacity(searches);
        let compared = ComparedSearches::of([&a, &b], [&found, &found], Machines::Same).unwrap();
        let why = Finding::NotComparable("connections: 2000 in A, 10 in B".to_owned());
        assert_eq!((compared.searches[0].finding.clone(), compared.searches[0].times), (why, None));
    }

    #[test]
    fn searches_with_another_objective_are_refused_with_both() {
        let searches = vec![around("tokio", 900.0, 945.0)];
        let run = run(&searches);
        let a = capacity(searches);
        let b = Capacity { objective: "p99<5ms".to_owned(), ..a.clone() };
        let text = ComparedSearches::of([&run, &run], [&a, &b], Machines::Same).unwrap_err().to_string();
        assert!(text.contains("p99<20ms in A, p99<5ms in B"), "{text}");
    }

    #[test]
    fn how_searches_were_made_is_told_where_it_changed() {
        let searches = vec![around("tokio", 900.0, 945.0)];
        let run = run(&searches);
        let a = capacity(searches);
        let mut b = a.clone();
        b.settings.precision = 0.01;
        let compared = ComparedSearches::of([&run, &run], [&a, &b], Machines::Same).unwrap();
        let what: Vec<String> = compared.basis.changed.settings.iter().map(Difference::words).collect();
        assert_eq!(what, ["precision: 5.0 % in A, 1.0 % in B"]);
    }
}
