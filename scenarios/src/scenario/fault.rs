//! Faults: what goes wrong in the window of a step.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

use super::{Delay, Rate, Scenario, Share};
use crate::units::show_duration;

/// Connections of the client whose requests hold their handlers: enough for these to overlap, far fewer than the load has.
pub const HOLDING_CONNECTIONS: u32 = 100;
/// Beyond ten times what a stack carries nothing new is seen.
const OVERLOAD_MAX: Share = Share(10.0);
/// More clients than this the harness does not play beside its other duties.
const SLOW_READERS_MAX: u32 = 2_000;
/// For words: how long the contract's `hold` route holds its handler.
const HELD: &str = "50ms";

/// What goes wrong, when and for how long. The window of its step is longer than that of others by the time it lasts, so
/// that as much of it lies after every fault.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What it is.
    pub what: What,
    /// When it begins, from the start of the window.
    #[serde(default)]
    pub at: Delay,
    /// How long it lasts.
    #[serde(default)]
    pub lasting: Delay,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Nothing, and the step has no rate: it goes as fast as answers come, which an overload is a share of.
    Maximum,
    /// Nothing, for the others to be compared with.
    Nothing,
    /// The store holds back every answer.
    StorePaused,
    /// The store's process is killed; when the time is over it is started again, and loaded with its keys.
    StoreKilled,
    /// The store closes all its connections, once.
    StoreConnectionsKilled,
    /// The store answers `GET` and `SET` later by this much.
    StoreSlower(Delay),
    /// The store answers this share of `GET` and `SET` with an error.
    StoreErrors(Share),
    /// Together with a second client, this share of what the stack reaches at most is offered.
    Overload(Share),
    /// Of all requests, this share hold their handler; a second client sends them.
    HeldHandlers(Share),
    /// So many clients ask all the time and hardly read.
    SlowReaders(u32),
}

/// Who can play a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Player {
    /// Whatever store there is.
    AnyStore,
    /// One that the harness started.
    OwnStore,
    /// The embedded one.
    EmbeddedStore,
}

impl What {
    /// Who can play it.
    pub fn player(&self) -> Player {
        match self {
            Self::StoreSlower(_) | Self::StoreErrors(_) => Player::EmbeddedStore,
            Self::StoreKilled => Player::OwnStore,
            _ => Player::AnyStore,
        }
    }
}

impl Fault {
    /// Whether nothing goes wrong.
    pub fn is_none(&self) -> bool {
        matches!(self.what, What::Maximum | What::Nothing)
    }

    /// Connections that a server must hold beside those of the load.
    pub fn further_connections(&self, load: u32) -> u32 {
        match self.what {
            What::Overload(_) => load,
            What::HeldHandlers(_) => HOLDING_CONNECTIONS,
            What::SlowReaders(clients) => clients,
            _ => 0,
        }
    }

    /// For headings: `store paused for 2s`.
    pub fn title(&self) -> String {
        let what = match self.what {
            What::Maximum => "at most".to_owned(),
            What::Nothing => "no fault".to_owned(),
            What::StorePaused => "store paused".to_owned(),
            What::StoreKilled => "store killed".to_owned(),
            What::StoreConnectionsKilled => "store connections killed".to_owned(),
            What::StoreSlower(by) => format!("store slower by {}", show_duration(by.0)),
            What::StoreErrors(share) => format!("{share} store errors"),
            What::Overload(share) => format!("{share} of its maximum"),
            What::HeldHandlers(share) => format!("{share} hold {HELD}"),
            What::SlowReaders(clients) => format!("{clients} slow readers"),
        };
        if self.lasting.0.is_zero() { what } else { format!("{what} for {}", show_duration(self.lasting.0)) }
    }

    /// Puts it into the scenario of a step.
    pub(super) fn set(&self, scenario: &mut Scenario) {
        scenario.fault = Some(*self);
        scenario.load.duration += self.lasting.0;
        if self.what == What::Maximum {
            scenario.load.rate = Some(Rate::Max);
        }
    }

    /// What the types cannot say. The scenario is that of the fault's step.
    pub(super) fn validate(&self, scenario: &Scenario) -> Result<()> {
        self.validate_times(scenario.load.duration - self.lasting.0)?;
        let at_most = |share: &Share, most: Share| {
            ensure!(share.0 <= most.0, "steps.fault: {share} is too much; at most {most} makes sense");
            Ok(())
        };
        match self.what {
            What::StoreErrors(share) | What::HeldHandlers(share) => at_most(&share, Share(1.0))?,
            What::Overload(share) => {
                at_most(&share, OVERLOAD_MAX)?;
                ensure!(
                    scenario.steps.fault.iter().any(|fault| fault.what == What::Maximum),
                    "steps.fault: an overload is a share of what a stack reaches at most; put a fault before it with \
                     what = \"maximum\""
                );
            }
            What::SlowReaders(clients) => ensure!(
                (1..=SLOW_READERS_MAX).contains(&clients),
                "steps.fault: slow-readers must be between 1 and {SLOW_READERS_MAX}, not {clients}"
            ),
            _ => {}
        }
        let is_offered = matches!(scenario.load.rate, Some(Rate::PerSecond(_)));
        ensure!(
            self.what == What::Maximum || is_offered,
            "steps.fault: what a fault does is told by an open loop; give [load] a rate in requests per second"
        );
        Ok(())
    }

    fn validate_times(&self, duration: Duration) -> Result<()> {
        let (at, lasting) = (self.at.0, self.lasting.0);
        let is_moment = self.is_none() || self.what == What::StoreConnectionsKilled;
        match (is_moment, lasting.is_zero()) {
            (true, false) => bail!("steps.fault: {} takes no time; leave `lasting` out", self.title()),
            (false, true) => bail!("steps.fault: how long is it? Write lasting = \"2s\""),
            _ => {}
        }
        if self.is_none() {
            ensure!(at.is_zero(), "steps.fault: {} does not begin; leave `at` out", self.title());
            return Ok(());
        }
        let words = show_duration(duration);
        ensure!(
            !at.is_zero() && at < duration,
            "steps.fault: at = {} must leave time before it and after it, within load.duration ({words})",
            show_duration(at)
        );
        Ok(())
    }
}
