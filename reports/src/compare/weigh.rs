//! What is shown of a cell, and what its trials say of that.

use super::{Options, Quantity, judge::Evidence, pairs::Pair, pairs::Side};
use crate::{
    row::{Row, Verdict},
    summary::{Cell, Spread},
    table::{self, Headline},
};

/// What a line is made from.
pub struct Weighed {
    pub quantity: Quantity,
    pub sides: [Option<Spread>; 2],
    pub evidence: Evidence,
}

/// The figures of a cell, the most telling first.
pub fn weigh(pair: &Pair, options: &Options) -> Vec<Weighed> {
    let unlike = pair.unlike(options.machines);
    wanted(pair, options).into_iter().map(|quantity| weigh_one(pair, quantity, unlike.as_deref())).collect()
}

fn weigh_one(pair: &Pair, quantity: Quantity, unlike: Option<&str>) -> Weighed {
    let trials = pair.sides.each_ref().map(|side| quantity.by_block(&side.named.rows, &side.named.cell, side.run));
    let sides = trials.each_ref().map(|blocks| Spread::of(blocks.values().copied()));
    let evidence = match unlike.map(str::to_owned).or_else(|| unsound(pair, quantity)) {
        Some(why) => Evidence::None(why),
        None if quantity == Quantity::Rate && is_open(pair) => match carried(pair) {
            Some(carried) => Evidence::Carried(carried),
            None => Evidence::None("older runs do not say whether a rate was carried".to_owned()),
        },
        None => Evidence::of(&trials, &sides),
    };
    Weighed { quantity, sides, evidence }
}

fn wanted(pair: &Pair, options: &Options) -> Vec<Quantity> {
    if !options.quantities.is_empty() {
        return options.quantities.clone();
    }
    let Side { run, named } = &pair.sides[0];
    let mut wanted = match Headline::choose(&run.meta.machine, named.key.placement) {
        Headline::CpuPerRequest => vec![Quantity::Cpu, Quantity::Rate],
        Headline::Rate => vec![Quantity::Rate, Quantity::Cpu],
    };
    // Of an offered rate there is something to say where one run carried what the other did not.
    let changed = carried(pair).is_some_and(|[a, b]| a != b);
    wanted.retain(|quantity| *quantity != Quantity::Rate || if is_open(pair) { changed } else { has_own_rate(pair) });
    wanted.extend(is_open(pair).then_some(Quantity::P99));
    wanted
}

/// Whether the rate of one of the runs is the server's own, or what was offered.
pub fn has_own_rate(pair: &Pair) -> bool {
    is_open(pair) || pair.sides.iter().any(|side| Quantity::Rate.ranks(side.named.cell.verdict))
}

/// Whether most trials carried what was offered, in each run. One disturbed trial of eight is no stack that carries less.
pub fn carried(pair: &Pair) -> Option<[bool; 2]> {
    let [a, b] = pair.sides.each_ref().map(|side| {
        let trials: Vec<bool> = counted(side).filter_map(|row| row.offered?.is_carried).collect();
        let carried = trials.iter().filter(|is_carried| **is_carried).count();
        (!trials.is_empty()).then_some(2 * carried > trials.len())
    });
    Some([a?, b?])
}

/// Whether a stack did something wrong, as opposed to being disturbed or outpaced.
pub fn is_broken(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Failed | Verdict::Errors | Verdict::Impossible | Verdict::Starved)
}

/// The trials that figures rest on.
fn counted<'s>(side: &'s Side) -> impl Iterator<Item = &'s Row> {
    side.named.rows.iter().copied().filter(|row| !row.repeated && row.verdict != Verdict::Failed)
}

fn is_open(pair: &Pair) -> bool {
    pair.sides.iter().any(|side| side.named.cell.is_open)
}

/// Why a figure of one of the runs may not be held against the other's.
fn unsound(pair: &Pair, quantity: Quantity) -> Option<String> {
    let is_offered = quantity == Quantity::Rate && is_open(pair);
    let allows = |cell: &Cell| match is_offered {
        // Whether a rate was carried, the trials say themselves.
        true => !is_broken(cell.verdict),
        false => quantity.ranks(cell.verdict),
    };
    let forbidden = named(pair).filter(|(side, _)| !allows(&side.named.cell));
    let verdicts: Vec<String> = forbidden
        .map(|(side, name)| {
            let Cell { verdict, reason, .. } = &side.named.cell;
            // What a stack did wrong is told at once; why others set its pace, the reports say.
            let why = if is_broken(*verdict) { format!(" ({})", table::one_line(reason)) } else { String::new() };
            format!("{} in {name}{why}", table::verdict_word(*verdict))
        })
        .collect();
    if !verdicts.is_empty() {
        return Some(verdicts.join(" and "));
    }
    let no_tail = if quantity == Quantity::P99 { no_tail(pair) } else { None };
    no_tail.or_else(|| pair.offered_unlike())
}

/// Why there is no p99 to compare.
fn no_tail(pair: &Pair) -> Option<String> {
    if !is_open(pair) {
        return Some("in a closed loop percentiles restate the rate".to_owned());
    }
    if let Some((_, name)) = named(pair).find(|(side, _)| side.named.cell.is_carried == Some(false)) {
        return Some(format!("a trial of {name} did not carry its rate, and its p99 says how long the window was"));
    }
    let lacks = |side: &Side| {
        let told = Quantity::P99.by_block(&side.named.rows, &side.named.cell, side.run).len();
        told < counted(side).filter(|row| row.requests > 0).count()
    };
    let (_, name) = named(pair).find(|(side, _)| lacks(side))?;
    Some(format!(
        "a trial of {name} has no p99: its result file is missing, or the rank falls among unanswered requests"
    ))
}

fn named<'p, 'r>(pair: &'p Pair<'r>) -> impl Iterator<Item = (&'p Side<'r>, &'static str)> {
    pair.sides.iter().zip(["A", "B"])
}
