//! The settings while the command line is read, and the checks at its end.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Parser;

use super::names::Name;
use super::{Options, Refusal};
use crate::engine::Schedule;
use crate::engine::arrivals::{Arrival, Rate};
use crate::output::Format;
use crate::threshold;
use crate::units::{NS_PER_S, parse_count, parse_time_ns};
use crate::url::Url;

/// Raw settings.
pub struct Draft {
    pub options: Options,
    pub positional: Vec<String>,
    threads: u64,
    connections: u64,
    rate: Option<u64>,
    ramp: Option<(u64, u64)>,
    arrival: Option<Arrival>,
    seed: Option<u64>,
    has_percentiles: bool,
}

impl Draft {
    /// wrk's defaults.
    pub fn new() -> Self {
        let url = Url { scheme: String::new(), host: String::new(), explicit_port: None, target: String::new() };
        let options = Options {
            url_text: String::new(),
            url,
            threads: 0,
            connections: 0,
            duration_ns: 10 * NS_PER_S,
            timeout_ns: 2 * NS_PER_S,
            headers: Vec::new(),
            latency: false,
            version: false,
            outputs: Vec::new(),
            percentiles: vec![50.0, 75.0, 90.0, 99.0],
            wrk_correction: false,
            thresholds: Vec::new(),
            find_rate: None,
            warmup_ns: 0,
            spread_ns: 0,
            interval_ns: NS_PER_S,
            spins: false,
            watch: Vec::new(),
            expect_status: None,
            expect_body: None,
            script: None,
            arguments: Vec::new(),
            schedule: Schedule::Closed,
            uncorrected: false,
            requests: None,
            unix_socket: None,
            verify: false,
            warnings: Vec::new(),
        };
        Self {
            options,
            positional: Vec::new(),
            threads: 2,
            connections: 10,
            rate: None,
            ramp: None,
            arrival: None,
            seed: None,
            has_percentiles: false,
        }
    }

    /// Takes an option, and from the parser its value. `missing` is what getopt says when there is none.
    pub fn apply(&mut self, name: Name, missing: &str, parser: &mut Parser) -> Result<(), Refusal> {
        match name {
            Name::Latency => self.options.latency = true,
            Name::Uncorrected => (self.options.uncorrected, self.options.latency) = (true, true),
            // A batch has one latency anyway.
            Name::BatchLatency => {}
            Name::Verify => self.options.verify = true,
            Name::Spin => self.options.spins = true,
            Name::WrkCorrection => self.options.wrk_correction = true,
            Name::Version => self.options.version = true,
            Name::Help => return Err(self.usage(None)),
            _ => {
                let value = parser.value().map_err(|_| self.usage(Some(format!("stackload: option {missing}"))))?;
                match name {
                    // A path may hold any bytes.
                    Name::Json => self.add_output(Format::Json, value),
                    Name::Csv => self.add_output(Format::Csv, value),
                    Name::Hgrm => self.add_output(Format::Hgrm, value),
                    Name::Ndjson => self.add_output(Format::Ndjson, value),
                    Name::Script => self.options.script = Some(PathBuf::from(value)),
                    Name::UnixSocket => self.options.unix_socket = Some(PathBuf::from(value)),
                    _ => self.apply_value(name, text(value))?,
                }
            }
        }
        Ok(())
    }

    fn apply_value(&mut self, name: Name, value: String) -> Result<(), Refusal> {
        match name {
            // A number that wrk cannot read ends option parsing at once, like wrk: the usage text and no message.
            Name::Connections => self.connections = self.readable(parse_count(&value))?,
            Name::Threads => self.threads = self.readable(parse_count(&value))?,
            Name::Duration => self.options.duration_ns = self.readable(parse_time_ns(&value))?,
            Name::Timeout => self.options.timeout_ns = self.readable(parse_time_ns(&value))?,
            Name::Rate => self.rate = Some(self.readable(parse_count(&value))?),
            Name::Header => self.add_header(&value),
            Name::Warmup => self.options.warmup_ns = own_time("--warmup", &value)?,
            Name::Spread => self.options.spread_ns = own_time("--spread", &value)?,
            Name::Interval => self.options.interval_ns = own_interval(&value)?,
            Name::WatchTree => self.add_watch(&value)?,
            Name::ExpectStatus => self.options.expect_status = Some(own_status(&value)?),
            Name::ExpectBody => self.options.expect_body = Some(value.into_bytes()),
            Name::Arrival => self.arrival = Some(own_arrival(&value)?),
            Name::Seed => self.seed = Some(own_number("--seed", &value, 0)?),
            Name::Ramp => self.ramp = Some(own_ramp(&value)?),
            Name::Percentiles => {
                self.options.percentiles = own_percentiles(&value)?;
                (self.options.latency, self.has_percentiles) = (true, true);
            }
            Name::FailIf => self.options.thresholds.extend(threshold::parse(&value).map_err(Refusal::Message)?),
            Name::FindRate => {
                let objective = threshold::parse_objective("--find-rate", &value).map_err(Refusal::Message)?;
                self.options.find_rate = Some(objective);
            }
            Name::Requests => self.options.requests = Some(own_number("--requests", &value, 1)?),
            // Taken before.
            Name::Latency
            | Name::Uncorrected
            | Name::BatchLatency
            | Name::Verify
            | Name::Spin
            | Name::Version
            | Name::Help
            | Name::WrkCorrection
            | Name::Json
            | Name::Csv
            | Name::Hgrm
            | Name::Ndjson
            | Name::Script
            | Name::UnixSocket => {}
        }
        Ok(())
    }

    /// As with every option, the last one counts.
    fn add_output(&mut self, format: Format, path: OsString) {
        self.options.outputs.retain(|(known, _)| *known != format);
        self.options.outputs.push((format, PathBuf::from(path)));
    }

    fn readable(&self, value: Option<u64>) -> Result<u64, Refusal> {
        value.ok_or_else(|| self.usage(None))
    }

    fn usage(&self, message: Option<String>) -> Refusal {
        Refusal::Usage { message, version: self.options.version }
    }

    /// wrk splits at the first colon, wants one blank after it and drops anything else without a word; we say so.
    fn add_header(&mut self, value: &str) {
        let parsed = value.split_once(':').and_then(|(name, rest)| Some((name, rest.strip_prefix(' ')?)));
        let Some((name, value)) = parsed else {
            let warning = format!("stackload: ignoring header '{value}': write it as 'Name: value'");
            self.options.warnings.push(warning);
            return;
        };
        match self.options.headers.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.options.headers.push((name.to_owned(), value.to_owned())),
        }
    }

    fn add_watch(&mut self, value: &str) -> Result<(), Refusal> {
        let parsed = value.rsplit_once('=').and_then(|(name, pid)| Some((name, pid.parse::<u32>().ok()?)));
        let Some((name, pid)) = parsed.filter(|(name, pid)| !name.is_empty() && *pid > 0) else {
            return Err(Refusal::Message(format!("stackload: --watch-tree '{value}': expected NAME=PID")));
        };
        if self.options.watch.iter().any(|(known, _)| known == name) {
            return Err(Refusal::Message(format!("stackload: --watch-tree: the name '{name}' is given twice")));
        }
        self.options.watch.push((name.to_owned(), pid));
        Ok(())
    }

    /// wrk's order of checks, and wrk2's after them.
    pub fn finish(mut self) -> Result<Options, Refusal> {
        let (threads, connections, duration_ns) = (self.threads, self.connections, self.options.duration_ns);
        if self.positional.is_empty() || threads == 0 || duration_ns == 0 {
            return Err(self.usage(None));
        }
        let url_text = self.positional.remove(0);
        let Ok(url) = Url::parse(&url_text) else {
            return Err(self.usage(Some(format!("invalid URL: {url_text}"))));
        };
        if connections == 0 || connections < threads {
            return Err(self.usage(Some("number of connections must be >= threads".to_owned())));
        }
        if self.rate == Some(0) {
            return Err(self.usage(Some("Throughput MUST be specified with the --rate or -R option".to_owned())));
        }
        let options = &mut self.options;
        options.threads = u32::try_from(threads).unwrap_or(u32::MAX);
        options.connections = u32::try_from(connections).unwrap_or(u32::MAX);
        options.url_text = url_text;
        options.url = url;
        options.arguments = std::mem::take(&mut self.positional);
        self.options.schedule = self.schedule()?;
        self.options.check().map_err(|message| Refusal::Message(format!("stackload: {message}")))?;
        self.warn();
        Ok(self.options)
    }

    /// What was given and has no effect.
    fn warn(&mut self) {
        let options = &mut self.options;
        let mut ignored = |flag: &str, why: &str| options.warnings.push(format!("stackload: ignoring {flag}: {why}"));
        if options.schedule != Schedule::Closed {
            if options.spread_ns > 0 {
                ignored("--spread", "with a rate the instants are the rate's");
            }
            if options.wrk_correction {
                ignored("--wrk-correction", "with a rate latencies are those from the intended instants");
            }
            if self.has_percentiles {
                ignored("--percentiles", "with a rate wrk2's spectrum is printed");
            }
        }
        if self.seed.is_some() && self.arrival != Some(Arrival::Poisson) {
            ignored("--seed", "only --arrival poisson is random");
        }
    }

    fn schedule(&self) -> Result<Schedule, Refusal> {
        let refuse = |message: &str| Err(Refusal::Message(format!("stackload: {message}")));
        let rate = match (self.rate, self.ramp) {
            (Some(_), Some(_)) => {
                return refuse("--rate and --ramp both say how many requests to send: give one of them");
            }
            (Some(rate), None) => Rate::constant(rate as f64),
            (None, Some((from, to))) => Rate {
                from: from as f64,
                to: to as f64,
                hold_ns: self.options.warmup_ns,
                over_ns: self.options.duration_ns,
            },
            (None, None) if self.arrival.is_some() => return refuse("--arrival: without a rate (-R) nothing is due"),
            (None, None) if self.options.uncorrected => {
                return refuse("--u_latency: without a rate (-R) latencies are never corrected");
            }
            (None, None) => return Ok(Schedule::Closed),
        };
        let arrival = self.arrival.unwrap_or(Arrival::Constant);
        Ok(Schedule::Open { rate, arrival, seed: self.seed.unwrap_or(0) })
    }
}

/// Arguments are passed on as text; what is not UTF-8 could not be part of a URL or header anyway.
pub fn text(value: OsString) -> String {
    value.to_string_lossy().into_owned()
}

fn own_time(flag: &str, value: &str) -> Result<u64, Refusal> {
    let message = || Refusal::Message(format!("stackload: {flag} '{value}': expected a time such as 500ms, 2s or 1m"));
    parse_time_ns(value).ok_or_else(message)
}

/// Shorter intervals hold too few answers for a percentile, and a histogram each.
const INTERVAL_NS_MIN: u64 = 20_000_000;

fn own_interval(value: &str) -> Result<u64, Refusal> {
    let divides = |ns: &u64| (INTERVAL_NS_MIN..=NS_PER_S).contains(ns) && NS_PER_S.is_multiple_of(*ns);
    let message = || {
        Refusal::Message(format!("stackload: --interval '{value}': expected a part of a second from 20ms on, as 100ms"))
    };
    parse_time_ns(value).filter(divides).ok_or_else(message)
}

fn own_status(value: &str) -> Result<u16, Refusal> {
    let message = || Refusal::Message(format!("stackload: --expect-status '{value}': expected 100 to 999"));
    value.parse().ok().filter(|status| (100..=999).contains(status)).ok_or_else(message)
}

fn own_number(flag: &str, value: &str, least: u64) -> Result<u64, Refusal> {
    let message =
        || Refusal::Message(format!("stackload: {flag} '{value}': expected a number from {least} on, as 10k"));
    parse_count(value).filter(|number| *number >= least).ok_or_else(message)
}

fn own_arrival(value: &str) -> Result<Arrival, Refusal> {
    match value {
        "constant" => Ok(Arrival::Constant),
        "poisson" => Ok(Arrival::Poisson),
        _ => Err(Refusal::Message(format!("stackload: --arrival '{value}': expected constant or poisson"))),
    }
}

fn own_percentiles(value: &str) -> Result<Vec<f64>, Refusal> {
    let message = || {
        Refusal::Message(format!(
            "stackload: --percentiles '{value}': expected numbers above 0 and up to 100, as 50,99.9"
        ))
    };
    let one = |text: &str| text.trim().parse().ok().filter(|percent| *percent > 0.0 && *percent <= 100.0);
    value.split(',').map(|text| one(text).ok_or_else(message)).collect()
}

fn own_ramp(value: &str) -> Result<(u64, u64), Refusal> {
    let message = || Refusal::Message(format!("stackload: --ramp '{value}': expected two rates, as 100:10k"));
    let (from, to) = value.split_once(':').ok_or_else(message)?;
    let rates = (parse_count(from).ok_or_else(message)?, parse_count(to).ok_or_else(message)?);
    // Without an end above 0 there would be no next request to wait for.
    if rates.1 == 0 { Err(message()) } else { Ok(rates) }
}
