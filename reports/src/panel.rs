//! The two panels: which stacks are compared with which, and what that comparison can say.

use crate::{
    row::{Role, Row},
    run::StackMeta,
    summary::Cell,
};

/// A panel of stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panel {
    /// Each stack as people run it.
    Deployed,
    /// Everything the same but the runtime.
    Controlled,
}

/// What `stack.toml` calls a stack of both panels.
const BOTH: &str = "both";

impl Panel {
    /// For headings.
    pub fn title(self) -> &'static str {
        match self {
            Self::Deployed => "As deployed",
            Self::Controlled => "Controlled",
        }
    }

    /// The question it answers.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Deployed => {
                "What people deploy: each stack with an HTTP library and a store client that fit it. These differ \
                 together with the runtime, so a difference here is that of the whole and not the runtime's."
            }
            Self::Controlled => {
                "What the runtime does: one HTTP codec and one store multiplexer under every runtime, so that what differs is \
                 the runtime and the loop that suits it."
            }
        }
    }

    /// What `stack.toml` calls it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::Controlled => "controlled",
        }
    }

    /// Whether a cell stands in this panel's tables: its stacks do, and ceilings and floors, which are references for
    /// both.
    pub fn shows(self, stacks: &[StackMeta], cell: &Cell) -> bool {
        self.shows_stack(stacks, &cell.stack, cell.role)
    }

    /// The same of a stack by its name.
    pub fn shows_stack(self, stacks: &[StackMeta], name: &str, role: Role) -> bool {
        match role {
            Role::Ceiling | Role::Floor => true,
            Role::Stack | Role::Trap => self.has(stacks, name),
        }
    }

    /// Whether a stack is of this panel. One that the run does not describe is taken for deployed.
    fn has(self, stacks: &[StackMeta], name: &str) -> bool {
        let panel = stacks.iter().find(|stack| stack.name == name).map_or(Self::Deployed.key(), |s| s.panel.as_str());
        panel == self.key() || panel == BOTH
    }
}

/// The panels that some compared stack of these rows is of; where nothing is compared, the first.
pub fn in_run(stacks: &[StackMeta], rows: &[&Row]) -> Vec<Panel> {
    let compared = |row: &&&Row| matches!(row.role, Role::Stack | Role::Trap);
    let has = |panel: Panel| rows.iter().filter(compared).any(|row| panel.has(stacks, &row.stack));
    let found: Vec<Panel> = [Panel::Deployed, Panel::Controlled].into_iter().filter(|panel| has(*panel)).collect();
    if found.is_empty() { vec![Panel::Deployed] } else { found }
}
