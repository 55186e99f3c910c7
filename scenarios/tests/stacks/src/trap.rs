//! Which traps there are, and what each does to a request.

use std::time::Duration;

use clap::ValueEnum;
use stack_contract::Answer;

/// How many requests to the store the late traps answer as they should: more than any verification sends.
const HONEST_REQUESTS: u64 = 64;
/// [`Trap::Dies`] ends with this request.
const DYING_REQUEST: u64 = 500;
/// [`Trap::WrongBody`] and [`Trap::WrongLength`] spoil one answer in so many, [`Trap::Errors`] one in half as many.
const SPOILED_IN: u64 = 100;
const FAILED_IN: u64 = 50;

/// [`Trap::Tires`] waits this long before its first answer, and so much longer before each further one: after some seconds
/// of any load, answers take twice as long as at its beginning.
const RESTED_US: u64 = 2_000;
const TIRED_BY_US: u64 = 1;
/// [`Trap::Sleeps`] does nothing for this long before each answer: many times what an answer takes.
const NAP: Duration = Duration::from_millis(20);
/// [`Trap::Burns`] computes for this long before each answer: many times what an answer costs client and store together.
const BURNT_CPU: Duration = Duration::from_micros(200);

/// What a server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Trap {
    /// Answers without touching the store
    NoStore,
    /// Sends the command and answers before the store does
    EarlyAnswer,
    /// Does well for 64 requests, then as `no-store`
    LateCheat,
    /// Does well for 64 requests, then as `early-answer`
    LateEarly,
    /// Gives each of 16 threads to one connection until that closes; the others wait
    Starve,
    /// After 64 requests, 1 answer in 100 has another body of the same length
    WrongBody,
    /// After 64 requests, 1 answer in 100 has a longer body
    WrongLength,
    /// Exits with status 3 at request 500
    Dies,
    /// Exits at once
    NoStart,
    /// Listens, and never answers /check
    NeverReady,
    /// 1 answer in 50 is a 503
    Errors,
    /// Starts a child that holds the listening socket
    Forks,
    /// Starts such a child in a process group of its own, where it outlives its parent
    LeaksPort,
    /// Binds its port so that others can listen there too (SO_REUSEPORT)
    SharesPort,
    /// Does not stop when asked to
    IgnoresSigterm,
    /// Writes to standard error without end
    Chatter,
    /// Writes to standard output without end, and no line of it
    Babbles,
    /// Waits longer before each answer than before the last
    Tires,
    /// Sleeps before each answer
    Sleeps,
    /// Computes before each answer
    Burns,
    /// Costs client and store as much as the request's query says, and itself little
    Burdens,
    /// Answers all connections at once, and then rests
    Batches,
    /// Stops the store's process now and then
    StallsStore,
    /// Closes the connection of a request for which the store fails
    Drops,
}

/// What is done with one request to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// What the contract says.
    Honest,
    /// The command is sent, its reply is not waited for.
    Early,
    /// The store is asked, and this is answered whatever it says.
    Instead(Answer),
    /// What the contract says, and then nothing for a while.
    Late(Duration),
    /// What the contract says, and then this much CPU time for nothing.
    Burn(Duration),
    /// The store is asked something dear instead.
    Burden,
    /// What the contract says, once all other connections wait for that too.
    Together,
    /// The store is not asked.
    Unasked,
    /// The process ends.
    Die,
}

impl Trap {
    /// What is done with the `nth` request to the store, counted from 1.
    pub(crate) fn deed(self, nth: u64) -> Deed {
        let late = nth > HONEST_REQUESTS;
        match self {
            Self::NoStore => Deed::Unasked,
            Self::EarlyAnswer => Deed::Early,
            Self::LateCheat if late => Deed::Unasked,
            Self::LateEarly if late => Deed::Early,
            Self::WrongBody if late && nth.is_multiple_of(SPOILED_IN) => Deed::Instead(SAME_LENGTH),
            Self::WrongLength if late && nth.is_multiple_of(SPOILED_IN) => Deed::Instead(LONGER),
            Self::Errors if nth.is_multiple_of(FAILED_IN) => Deed::Instead(FAILURE),
            Self::Dies if nth == DYING_REQUEST => Deed::Die,
            Self::Tires => Deed::Late(Duration::from_micros(RESTED_US + nth * TIRED_BY_US)),
            Self::Sleeps => Deed::Late(NAP),
            Self::Burns => Deed::Burn(BURNT_CPU),
            Self::Burdens => Deed::Burden,
            Self::Batches => Deed::Together,
            _ => Deed::Honest,
        }
    }

    /// Whether the client of the `nth` request to the store is left without this answer. Verification wants its 503.
    pub(crate) fn drops(self, nth: u64, answer: Answer) -> bool {
        self == Self::Drops && nth > HONEST_REQUESTS && answer.status == 503
    }

    /// Whether the answer to the `nth` request to the store may be longer than it need be. Verification wants no chunks.
    pub(crate) fn pads(self, nth: u64) -> bool {
        matches!(self, Self::Burdens | Self::Batches) && nth > HONEST_REQUESTS
    }
}

const SAME_LENGTH: Answer = Answer { status: 200, body: r#"{"status": "no"}"# };
const LONGER: Answer = Answer { status: 200, body: r#"{"status": "okay"}"# };
const FAILURE: Answer = Answer { status: 503, body: r#"{"error": "this is a trap"}"# };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_traps_are_honest_at_first() {
        for (trap, deed) in [(Trap::LateCheat, Deed::Unasked), (Trap::LateEarly, Deed::Early)] {
            assert_eq!(trap.deed(HONEST_REQUESTS), Deed::Honest);
            assert_eq!(trap.deed(HONEST_REQUESTS + 1), deed);
        }
    }

    #[test]
    fn spoiled_answers_keep_or_change_the_length_as_their_names_say() {
        assert_eq!(SAME_LENGTH.body.len(), Answer::OK.body.len());
        assert_ne!(LONGER.body.len(), Answer::OK.body.len());
        let spoiled = (1..=1000).filter(|nth| Trap::WrongBody.deed(*nth) != Deed::Honest).count();
        assert_eq!(spoiled, 10);
    }

    #[test]
    fn one_that_tires_takes_longer_for_each_answer() {
        let waits = [1, 2_000, 4_000].map(|nth| Trap::Tires.deed(nth));
        assert_eq!(waits, [2_001, 4_000, 6_000].map(|us| Deed::Late(Duration::from_micros(us))));
    }

    #[test]
    fn every_trap_can_be_named() {
        for trap in Trap::value_variants() {
            let name = trap.to_possible_value().unwrap();
            assert_eq!(Trap::from_str(name.get_name(), false).unwrap(), *trap);
        }
    }
}
