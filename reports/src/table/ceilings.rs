//! Where the ceilings of a table come from, in a sentence.

use crate::{number, summary::Cell};

/// Ceilings of one kind.
struct Ceiling<'a> {
    /// What comes before the measured delay, if there is one: `2000 connections`.
    kind: &'a str,
    source: &'a str,
    least: f64,
    most: f64,
    stacks: Vec<&'a str>,
}

/// `2000 connections / 199.8 ms = 10,010/s (tokio, thread-pool)`, for each kind of ceiling there is. Delays are
/// measured in each trial and differ by a trifle: stacks that differ in nothing else share an entry, with the range.
pub fn ceilings(cells: &[&Cell]) -> String {
    let mut found: Vec<Ceiling> = Vec::new();
    for cell in cells {
        let Some((rate, source)) = &cell.ceiling else { continue };
        let kind = source.split(" / ").next().unwrap_or(source);
        match found.iter_mut().find(|ceiling| ceiling.kind == kind) {
            Some(ceiling) => {
                (ceiling.least, ceiling.most) = (ceiling.least.min(*rate), ceiling.most.max(*rate));
                ceiling.stacks.push(&cell.stack);
            }
            None => found.push(Ceiling { kind, source, least: *rate, most: *rate, stacks: vec![&cell.stack] }),
        }
    }
    let alone = found.len() == 1;
    let words = found.iter().map(|Ceiling { kind, source, least, most, stacks }| {
        let whose = if alone { String::new() } else { format!(" ({})", stacks.join(", ")) };
        let (least, most) = (number::rate(*least), number::rate(*most));
        match (least == most, kind == source) {
            (true, _) => format!("{source} = {most}/s{whose}"),
            (false, true) => format!("{source} = {least}–{most}/s{whose}"),
            (false, false) => format!("{kind} / measured delay = {least}–{most}/s{whose}"),
        }
    });
    words.collect::<Vec<_>>().join("; ")
}
