//! Behaviour: from a command's words to its reply.

mod acl;
mod client;
mod config;
mod connection;
mod error;
mod hashes;
mod keys;
mod lists;
mod server;
mod strings;
pub mod table;
pub mod transactions;

use crate::{
    connection::{Connection, ReplyMode},
    delays::Drawn,
    protocol::{Arguments, Parser, ProtocolError, Step},
    reply::Reply,
    state::{PauseScope, State},
};

pub use self::error::Error;
use self::table::{Command, Kind, MAX_NAME_BYTES};

/// A command's place in the table.
pub type CommandId = u16;

/// What a command answers besides its reply.
pub type Outcome = Result<(), Error>;

/// The words of one command, its name first.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    input: &'a [u8],
    arguments: &'a Arguments,
}

impl<'a> Words<'a> {
    pub fn new(input: &'a [u8], arguments: &'a Arguments) -> Self {
        Self { input, arguments }
    }

    pub fn len(self) -> usize {
        self.arguments.len()
    }

    pub fn get(self, index: usize) -> &'a [u8] {
        self.arguments.get(self.input, index)
    }

    /// The words from `start` on.
    pub fn from(self, start: usize) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator {
        (start..self.len()).map(move |index| self.get(index))
    }
}

/// One command being executed.
pub struct Call<'a> {
    pub words: Words<'a>,
    pub connection: &'a mut Connection,
    pub state: &'a mut State,
}

impl Call<'_> {
    pub fn reply(&mut self) -> Reply<'_> {
        self.connection.reply()
    }

    pub fn database(&self) -> usize {
        self.connection.session.database
    }
}

/// Executes what `input` holds for a connection; returns how much of it is used up.
pub fn execute_all(state: &mut State, connection: &mut Connection, input: &[u8]) -> usize {
    let mut used = 0;
    while !connection.session.closing && !connection.session.paused {
        match connection.parser.next(&input[used..]) {
            Ok(Step::Incomplete) => break,
            Ok(Step::Nothing(length)) => used += length,
            Ok(Step::Command(length)) => {
                let arguments = connection.parser.take();
                let progress = execute(state, connection, Words::new(&input[used..], &arguments));
                connection.parser.give_back(arguments);
                match progress {
                    Progress::Done => used += length,
                    Progress::Postponed => postpone(state, connection),
                }
            }
            Err(error) => {
                refuse_connection(connection, &error);
                return input.len();
            }
        }
    }
    used
}

/// The command stays in the input, to be parsed again when the pause is over.
fn postpone(state: &mut State, connection: &mut Connection) {
    connection.session.paused = true;
    connection.parser = Parser::default();
    state.paused.push(connection.token);
}

fn refuse_connection(connection: &mut Connection, error: &ProtocolError) {
    connection.reply().error(&error.to_string());
    connection.output.in_order();
    connection.session.closing = true;
}

#[derive(PartialEq, Eq)]
enum Progress {
    Done,
    Postponed,
}

fn execute(state: &mut State, connection: &mut Connection, words: Words) -> Progress {
    let start = connection.output.bytes().len();
    let skip = connection.session.reply_mode == ReplyMode::SkipNext;
    if skip {
        connection.session.reply_mode = ReplyMode::On;
    }
    let drawn = match admit(state, connection, words) {
        Ok(Admitted::Postponed) => {
            if skip {
                connection.session.reply_mode = ReplyMode::SkipNext;
            }
            return Progress::Postponed;
        }
        Ok(Admitted::Queued) => {
            connection.reply().simple("QUEUED");
            None
        }
        Ok(Admitted::Run(id, command, drawn)) => {
            run(state, connection, words, id, command);
            drawn
        }
        Err(error) => {
            transactions::doom(connection);
            connection.reply().error(&error.to_string());
            None
        }
    };
    // Looked at afterwards: the command that switches replies on is answered, the one that switches them off is not.
    if skip || connection.session.reply_mode == ReplyMode::Off {
        connection.output.bytes().truncate(start);
    }
    // A command may choose to answer nothing; then there is nothing to hold.
    if connection.output.bytes().len() > start {
        match drawn {
            Some(drawn) => connection.output.hold(drawn.command, state.arrived, drawn.nanos),
            None => connection.output.in_order(),
        }
    }
    Progress::Done
}

enum Admitted {
    Run(CommandId, &'static Command, Option<Drawn>),
    Queued,
    Postponed,
}

/// All that can keep a command from running, in Redis's order.
fn admit(state: &mut State, connection: &mut Connection, words: Words) -> Result<Admitted, Error> {
    let id = find(state, words)?;
    let command = state.table.get(id);
    let rejection = if !command.accepts(words.len()) {
        Some(Error::Arity(command.name))
    } else if !state.permissions.allows(id) {
        Some(Error::NoPermission(command.name))
    } else {
        None
    };
    if let Some(error) = rejection {
        state.stats[id as usize].rejected += 1;
        return Err(if command.kind == Kind::Exec { transactions::abort(connection, &error) } else { error });
    }
    let queues = connection.session.transaction.is_some() && !command.runs_inside_multi();
    if let Some(pause) = state.pause {
        let waits = match pause.scope {
            PauseScope::All => true,
            PauseScope::Writes => command.kind == Kind::Write || transactions::exec_would_write(connection, command),
        };
        if waits && state.now < pause.until {
            return Ok(Admitted::Postponed);
        }
    }
    if queues {
        transactions::queue(connection, id, command, words);
        return Ok(Admitted::Queued);
    }
    let drawn =
        if command.kind == Kind::Exec { transactions::draw_slowest(state, connection) } else { state.delays.draw(id) };
    if let Some(drawn) = drawn {
        let refused = refuse_mixed(state, connection, id, drawn);
        let exec = command.kind == Kind::Exec;
        refused.map_err(|error| if exec { transactions::abort(connection, &error) } else { error })?;
    }
    Ok(Admitted::Run(id, command, drawn))
}

fn find(state: &State, words: Words) -> Result<CommandId, Error> {
    let mut buffer = [0; MAX_NAME_BYTES];
    let name = lowercase(words.get(0), &mut buffer);
    let Some(id) = name.and_then(|name| state.table.find(name)) else { return Err(Error::unknown_command(words)) };
    let container = state.table.get(id);
    if container.kind != Kind::Container || words.len() == 1 {
        return Ok(id);
    }
    let subcommand = state.table.find_sub(container.name, words.get(1));
    subcommand.ok_or_else(|| Error::unknown_subcommand(container.name, words.get(1)))
}

/// Small letters in a buffer on the stack; `None` if the word is longer than any command's name.
fn lowercase<'a>(word: &[u8], buffer: &'a mut [u8; MAX_NAME_BYTES]) -> Option<&'a [u8]> {
    let name = buffer.get_mut(..word.len())?;
    name.copy_from_slice(word);
    name.make_ascii_lowercase();
    Some(name)
}

/// On one connection all delays in flight must be the same: a short one behind a long one could not be kept, since
/// replies keep their order, and the figures would describe neither.
fn refuse_mixed(state: &mut State, connection: &Connection, id: CommandId, drawn: Drawn) -> Result<(), Error> {
    let Some(last) = connection.output.last_held() else { return Ok(()) };
    match state.delays.law(last.command) {
        Some(law) if law != drawn.law => {
            state.stats[id as usize].rejected += 1;
            let names = (state.table.get(last.command).name, state.table.get(drawn.command).name);
            Err(Error::MixedDelays { ahead: (names.0, law), refused: (names.1, drawn.law) })
        }
        _ => Ok(()),
    }
}

fn run(state: &mut State, connection: &mut Connection, words: Words, id: CommandId, command: &Command) {
    state.charge(id);
    connection.session.last_command = Some(id);
    let outcome = match state.errors.strike(id) {
        true => Err(Error::Injected),
        false => (command.run)(&mut Call { words, connection, state }),
    };
    // Counted afterwards, as in Redis: INFO does not count itself, nor does CONFIG RESETSTAT forget itself.
    let stats = &mut state.stats[id as usize];
    stats.calls += 1;
    if let Err(error) = outcome {
        stats.failed += 1;
        connection.reply().error(&error.to_string());
    }
}
