//! The command line.

use std::net::SocketAddr;

use clap::Parser;

use crate::{
    assigned::{self, Assignable},
    delay::Delay,
    errors::Share,
};

/// An embedded Redis that answers each command a chosen time after it arrived.
///
/// A delay is latency, not service time: commands on one connection overlap, and their replies keep their order. A
/// command takes effect when it arrives. Replies with different delays cannot overlap on one connection: such a command
/// is refused with an error. Delays can be changed while running: CONFIG SET delay "get=20ms set=200ms". How well they
/// are kept: INFO delays. Likewise errors: CONFIG SET errors "get=1%", and INFO errors.
#[derive(Debug, Parser)]
#[command(name = "fake-redis", version)]
pub struct Args {
    /// Where to listen; port 0 takes any free port. The first line on standard output says which.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Delays a command, such as get=20ms; may be repeated for further commands. A delay is one of 20ms,
    /// uniform(LOW,HIGH), lognormal(MEDIAN,P99), exponential(MEAN); units are s, ms, us, ns.
    #[arg(long, value_name = "COMMAND=DELAY", value_parser = checked::<Delay>)]
    pub delay: Vec<String>,

    /// Answers this share of a command's calls with -ERR injected error instead of their effect, such as get=1%; may
    /// be repeated for further commands.
    #[arg(long, value_name = "COMMAND=SHARE", value_parser = checked::<Share>)]
    pub errors: Vec<String>,

    /// Seed of the delays drawn from distributions, and of which calls are answered an error.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Connections served at once; a further one is told so and closed.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,
}

/// Only checks, so that clap can name the flag; which commands exist is known later.
fn checked<T: Assignable>(text: &str) -> Result<String, String> {
    let parsed: anyhow::Result<(String, T)> = assigned::parse(text);
    parsed.map(|_| text.to_owned()).map_err(|error| format!("{error:#}"))
}
