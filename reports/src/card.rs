//! A stack's card: everything a reader should know of it besides its figures, as labelled lines.
//!
//! The lines are the same wherever a card is shown; how they are laid out is the matter of whoever shows them.

use serde::{Deserialize, Serialize};

use crate::{
    number,
    ownership::{Library, Ownership},
    row::{Mode, Role},
    run::StackMeta,
};

/// What a card shows where nothing was measured.
const NOT_MEASURED: &str = "not measured; run: cargo xtask ownership";

/// What a card knows beyond the other fields of its [`StackMeta`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// How many threads it runs, in words.
    pub threads: String,
    /// Conformance cases that it is expected to fail.
    pub deviations: Vec<String>,
    /// What upstream says of itself; null where its releases speak for it.
    pub upstream: Option<Upstream>,
    /// What was measured; null if nothing was.
    pub ownership: Option<Ownership>,
}

/// What upstream says of itself, where that overrides what its releases suggest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upstream {
    /// It asks not to be used any more.
    Discontinued,
}

/// What can be said of a stack's libraries together, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamState {
    /// Each has had a release in the last 12 months.
    Active,
    /// Some have not.
    Partly,
    /// None has.
    Dormant,
    /// Upstream asks not to be used any more.
    Discontinued,
    /// There is no library of others.
    None,
}

impl UpstreamState {
    /// The words for them, as [`UpstreamState::word`] says them.
    pub const WORDS: [&'static str; 5] = ["active", "partly", "dormant", "discontinued", "none"];

    /// Of a stack, by the rule of the cards; none where nothing was measured.
    pub fn of(stack: &StackMeta) -> Option<Self> {
        let card = stack.card.as_ref()?;
        let libraries = card.ownership.as_ref().map(|ownership| ownership.libraries.as_slice());
        // What upstream says of itself needs no measuring.
        let is_known = card.upstream.is_some() || libraries.is_some();
        is_known.then(|| Self::of_libraries(card.upstream, libraries.unwrap_or_default()))
    }

    fn of_libraries(upstream: Option<Upstream>, libraries: &[Library]) -> Self {
        let active = libraries.iter().filter(|library| is_active(library)).count();
        match (upstream, libraries.len(), active) {
            (Some(Upstream::Discontinued), ..) => Self::Discontinued,
            (None, 0, _) => Self::None,
            (None, all, active) if all == active => Self::Active,
            (None, _, 0) => Self::Dormant,
            (None, ..) => Self::Partly,
        }
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// One line of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is about.
    pub label: &'static str,
    /// What there is to say.
    pub text: String,
}

/// A stack's card. Of a stack that was recorded without one, only what was recorded.
pub fn lines(stack: &StackMeta) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut add = |label, text: String| lines.push(Line { label, text });
    add("role", role(stack.role).to_owned());
    add("panel", stack.panel.clone());
    add("model", stack.model.clone());
    if let Some(card) = &stack.card {
        add("threads", card.threads.clone());
    }
    add("HTTP", stack.http.clone());
    add("store client", stack.redis.clone());
    add("/sync", how(stack, Mode::Sync).to_owned());
    add("/async", how(stack, Mode::Async).to_owned());
    add("version", stack.version.clone());
    let settings: Vec<String> = stack.settings.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    add("settings", settings.join("; "));
    if let Some(card) = &stack.card {
        lines.extend(ownership(card));
        let deviations = if card.deviations.is_empty() { "none".to_owned() } else { card.deviations.join(", ") };
        lines.push(Line { label: "deviations", text: deviations });
    }
    lines.push(Line { label: "notes", text: stack.notes.trim().to_owned() });
    lines.retain(|line| !line.text.is_empty());
    lines
}

/// How a stack answers a mode: `native`, `bridged` or `no`.
pub fn how(stack: &StackMeta, mode: Mode) -> &'static str {
    match (stack.modes.contains(&mode), stack.bridged.contains(&mode)) {
        (false, _) => "no",
        (true, true) => "bridged",
        (true, false) => "native",
    }
}

/// The state of a stack's libraries as its card says it; none where nothing was measured.
pub fn upstream(stack: &StackMeta) -> Option<String> {
    let card = stack.card.as_ref()?;
    match &card.ownership {
        Some(ownership) => Some(state(card.upstream, &ownership.libraries)),
        None => card.upstream.map(|upstream| declared(upstream).to_owned()),
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Stack => "stack",
        Role::Ceiling => "ceiling",
        Role::Floor => "floor",
        Role::Trap => "trap",
    }
}

fn ownership(card: &Card) -> Vec<Line> {
    let line = |label, text: String| Line { label, text };
    let notes = if card.upstream.is_some() { " (see the notes)" } else { "" };
    let Some(ownership) = &card.ownership else {
        let state = card.upstream.map(|upstream| line("upstream", format!("{}{notes}", declared(upstream))));
        return state.into_iter().chain([line("ownership", NOT_MEASURED.to_owned())]).collect();
    };
    let mut lines = vec![line("upstream", state(card.upstream, &ownership.libraries) + notes)];
    lines.extend(ownership.libraries.iter().map(|library| line("library", release(library))));
    let crates = ownership.crates;
    let of_ours = format!("{} from the registry and {} of this workspace", crates.registry, crates.workspace);
    lines.push(line("crates", of_ours));
    match &ownership.build {
        None => lines.push(line("cold build", NOT_MEASURED.to_owned())),
        Some(build) => {
            let (seconds, cpu, cpus) = (number::rate(build.wall_s), number::rate(build.cpu_s), build.cpus);
            let text = format!("{seconds} s on {cpus} CPUs ({cpu} s of CPU), {}, {}", build.rustc, build.date);
            lines.push(line("cold build", text));
            let stripped = build.stripped_bytes.map(|bytes| format!(", {} stripped", number::bytes(bytes as f64)));
            let text = number::bytes(build.binary_bytes as f64) + &stripped.unwrap_or_default();
            lines.push(line("binary", text));
        }
    }
    lines
}

fn declared(upstream: Upstream) -> &'static str {
    match upstream {
        Upstream::Discontinued => "discontinued by its authors",
    }
}

/// The rule: a library with a release in the last 12 months is active, any other dormant. Whether a dormant one is
/// finished or abandoned, no rule can tell.
fn is_active(library: &Library) -> bool {
    library.releases_12_months > 0
}

/// The state of all libraries together, by that rule unless upstream says more.
fn state(upstream: Option<Upstream>, libraries: &[Library]) -> String {
    let dormant: Vec<&str> = libraries.iter().filter(|l| !is_active(l)).map(|l| l.name.as_str()).collect();
    let dormant = dormant.join(", ");
    match UpstreamState::of_libraries(upstream, libraries) {
        UpstreamState::None => "no library of others".to_owned(),
        UpstreamState::Active => "active".to_owned(),
        UpstreamState::Partly => format!("active but for {dormant} (no release in 12 months)"),
        UpstreamState::Dormant => format!("dormant: no release of {dormant} in 12 months"),
        UpstreamState::Discontinued => declared(Upstream::Discontinued).to_owned(),
    }
}

fn release(library: &Library) -> String {
    let dated = |version: &str, date: &Option<String>| {
        date.as_ref().map_or_else(|| version.to_owned(), |date| format!("{version} of {date}"))
    };
    let newest = match &library.newest {
        Some(newest) if *newest == library.locked => ", the newest".to_owned(),
        Some(newest) => format!("; newest {}", dated(newest, &library.newest_date)),
        None => String::new(),
    };
    let releases = match library.releases_12_months {
        1 => "1 release".to_owned(),
        many => format!("{many} releases"),
    };
    let locked = dated(&library.locked, &library.locked_date);
    format!("{} {locked}{newest}; {releases} in the 12 months before {}", library.name, library.as_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ownership::{Build, Crates},
        sample,
    };

    fn text(stack: &StackMeta, label: &str) -> Option<String> {
        let found: Vec<String> = lines(stack).into_iter().filter(|l| l.label == label).map(|l| l.text).collect();
        (!found.is_empty()).then(|| found.join("\n"))
    }

    fn library(name: &str, releases: u32) -> Library {
        Library {
            name: name.to_owned(),
            locked: "1.2.0".to_owned(),
            locked_date: Some("2026-10-01".to_owned()),
            newest: Some("1.3.0".to_owned()),
            newest_date: Some("2026-11-01".to_owned()),
            releases_12_months: releases,
            as_of: "2026-11-21".to_owned(),
        }
    }

    fn measured(libraries: &[Library]) -> StackMeta {
        let ownership = Ownership {
            package: "stack-t".to_owned(),
            libraries: libraries.to_vec(),
            crates: Crates { registry: 94, workspace: 4 },
            build: Some(Build {
                date: "2026-11-21".to_owned(),
                cpus: 2,
                rustc: "rustc 1.95.0".to_owned(),
                wall_s: 42.25,
                cpu_s: 80.5,
                binary_bytes: 4 << 20,
                stripped_bytes: Some(1 << 20),
            }),
        };
        let card = Card { threads: "--workers".to_owned(), ownership: Some(ownership), ..Card::default() };
        StackMeta { card: Some(card), ..sample::meta().stacks.remove(0) }
    }

    #[test]
    fn a_card_says_how_each_mode_is_answered() {
        let stack = measured(&[]);
        assert_eq!(text(&stack, "/sync").unwrap(), "bridged");
        assert_eq!(text(&stack, "/async").unwrap(), "native");
        assert_eq!(text(&stack, "deviations").unwrap(), "none");
    }

    #[test]
    fn what_was_measured_is_shown_with_its_circumstances() {
        let stack = measured(&[library("hyper", 6)]);
        assert_eq!(
            text(&stack, "library").unwrap(),
            "hyper 1.2.0 of 2026-10-01; newest 1.3.0 of 2026-11-01; 6 releases in the 12 months before 2026-11-21"
        );
        assert_eq!(text(&stack, "crates").unwrap(), "94 from the registry and 4 of this workspace");
        assert_eq!(text(&stack, "cold build").unwrap(), "42.2 s on 2 CPUs (80.5 s of CPU), rustc 1.95.0, 2026-11-21");
        assert_eq!(text(&stack, "binary").unwrap(), "4.00 MiB, 1.00 MiB stripped");
    }

    #[test]
    fn a_library_without_a_release_in_a_year_is_called_dormant() {
        assert_eq!(text(&measured(&[library("a", 1)]), "upstream").unwrap(), "active");
        let some = measured(&[library("a", 1), library("b", 0)]);
        assert_eq!(text(&some, "upstream").unwrap(), "active but for b (no release in 12 months)");
        let all = measured(&[library("a", 0), library("b", 0)]);
        assert_eq!(text(&all, "upstream").unwrap(), "dormant: no release of a, b in 12 months");
        let words = [&measured(&[library("a", 1)]), &some, &all, &measured(&[])].map(UpstreamState::of);
        assert_eq!(words.map(|state| state.unwrap().word()), ["active", "partly", "dormant", "none"]);
    }

    #[test]
    fn what_upstream_says_of_itself_outweighs_its_releases() {
        let mut stack = measured(&[library("a", 3)]);
        stack.card.as_mut().unwrap().upstream = Some(Upstream::Discontinued);
        assert!(text(&stack, "upstream").unwrap().starts_with("discontinued"));
        assert_eq!(UpstreamState::of(&stack), Some(UpstreamState::Discontinued));
    }

    #[test]
    fn a_stack_that_was_not_measured_says_how_to_measure_it() {
        let stack = StackMeta { card: Some(Card::default()), ..sample::meta().stacks.remove(0) };
        assert_eq!(text(&stack, "ownership").unwrap(), "not measured; run: cargo xtask ownership");
        assert_eq!(text(&stack, "crates"), None);
    }

    #[test]
    fn a_run_that_was_recorded_without_cards_shows_what_it_has() {
        let stack = StackMeta { card: None, ..sample::meta().stacks.remove(0) };
        let recorded = serde_json::to_string(&stack).unwrap();
        assert!(!recorded.contains("card"), "{recorded}");
        let stack: StackMeta = serde_json::from_str(&recorded).unwrap();
        assert_eq!(text(&stack, "model").unwrap(), "a model");
        assert_eq!(text(&stack, "ownership"), None);
    }
}
