//! Names of options, and the messages of GNU getopt about wrong ones.

/// An option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Connections,
    Duration,
    Threads,
    Script,
    Header,
    Latency,
    Timeout,
    Version,
    Help,
    Json,
    Warmup,
    Spread,
    WatchTree,
    ExpectStatus,
    ExpectBody,
    Rate,
    Uncorrected,
    BatchLatency,
    Arrival,
    Seed,
    Ramp,
    Requests,
    UnixSocket,
    Verify,
    WrkCorrection,
    Percentiles,
    Csv,
    Hgrm,
    Ndjson,
    FailIf,
    FindRate,
    Spin,
    Interval,
}

/// Whether an option has an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    Value,
}

/// wrk's long options. A prefix is resolved among these first, so that no script written for wrk becomes ambiguous.
const WRK_OPTIONS: &[(&str, Name, Takes)] = &[
    ("connections", Name::Connections, Takes::Value),
    ("duration", Name::Duration, Takes::Value),
    ("threads", Name::Threads, Takes::Value),
    ("script", Name::Script, Takes::Value),
    ("header", Name::Header, Takes::Value),
    ("latency", Name::Latency, Takes::Nothing),
    ("timeout", Name::Timeout, Takes::Value),
    ("help", Name::Help, Takes::Nothing),
    ("version", Name::Version, Takes::Nothing),
];

/// wrk2's, and ours.
const OWN_OPTIONS: &[(&str, Name, Takes)] = &[
    ("rate", Name::Rate, Takes::Value),
    ("u_latency", Name::Uncorrected, Takes::Nothing),
    ("batch_latency", Name::BatchLatency, Takes::Nothing),
    ("arrival", Name::Arrival, Takes::Value),
    ("seed", Name::Seed, Takes::Value),
    ("ramp", Name::Ramp, Takes::Value),
    ("requests", Name::Requests, Takes::Value),
    ("unix-socket", Name::UnixSocket, Takes::Value),
    ("verify", Name::Verify, Takes::Nothing),
    ("wrk-correction", Name::WrkCorrection, Takes::Nothing),
    ("percentiles", Name::Percentiles, Takes::Value),
    ("csv", Name::Csv, Takes::Value),
    ("hgrm", Name::Hgrm, Takes::Value),
    ("ndjson", Name::Ndjson, Takes::Value),
    ("fail-if", Name::FailIf, Takes::Value),
    ("find-rate", Name::FindRate, Takes::Value),
    ("json", Name::Json, Takes::Value),
    ("warmup", Name::Warmup, Takes::Value),
    ("interval", Name::Interval, Takes::Value),
    ("spin", Name::Spin, Takes::Nothing),
    ("spread", Name::Spread, Takes::Value),
    ("watch-tree", Name::WatchTree, Takes::Value),
    ("expect-status", Name::ExpectStatus, Takes::Value),
    ("expect-body", Name::ExpectBody, Takes::Value),
];

/// A short option. `-r` and `-?` are known to wrk and lead straight to the usage text.
pub fn short(letter: char) -> Result<(Name, String), Option<String>> {
    let name = match letter {
        'c' => Name::Connections,
        'd' => Name::Duration,
        't' => Name::Threads,
        's' => Name::Script,
        'H' => Name::Header,
        'T' => Name::Timeout,
        'L' => Name::Latency,
        'R' => Name::Rate,
        'U' => Name::Uncorrected,
        'B' => Name::BatchLatency,
        'v' => Name::Version,
        'r' | '?' => return Err(None),
        _ => return Err(Some(format!("stackload: invalid option -- '{letter}'"))),
    };
    Ok((name, format!("requires an argument -- '{letter}'")))
}

/// A long option, by its name or an unambiguous prefix of it.
pub fn long(given: &str) -> Result<(Name, &'static str, Takes), String> {
    for options in [WRK_OPTIONS, OWN_OPTIONS] {
        if let Some(&(full, name, takes)) = options.iter().find(|(full, ..)| *full == given) {
            return Ok((name, full, takes));
        }
    }
    for options in [WRK_OPTIONS, OWN_OPTIONS] {
        let matches: Vec<_> = options.iter().filter(|(full, ..)| full.starts_with(given)).collect();
        match matches[..] {
            [] => {}
            [&(full, name, takes)] => return Ok((name, full, takes)),
            _ => {
                let names: Vec<String> = matches.iter().map(|(full, ..)| format!("'--{full}'")).collect();
                return Err(format!("stackload: option '--{given}' is ambiguous; possibilities: {}", names.join(" ")));
            }
        }
    }
    Err(format!("stackload: unrecognized option '--{given}'"))
}
