//! `compare-clients`: the traps of `stackload selftest` sprung on other load generators, as a page of Markdown.
//!
//! Each generator is run with its own command line and judged by its own report. One that is not installed is named
//! with the command that installs it.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    bench::built_stackbench,
    command::{find_program, target_dir},
};

/// Connections, and seconds of load.
const CONNECTIONS: u32 = 4;
const SECONDS: u32 = 4;
/// Requests per second of the traps that need a rate.
const RATE: u32 = 100;

/// A generator hangs if it sends less than one in so many of the requests that another one sends.
const HANGS_BELOW: u64 = 10;

/// What a generator reports; what it does not report is not there.
#[derive(Debug, Default, Clone, PartialEq)]
struct Seen {
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    answers: Option<u64>,
    errors: Option<u64>,
}

/// A load generator.
struct Generator {
    name: &'static str,
    install: &'static str,
    /// The command that tells its version in its first line.
    version: &'static [&'static str],
    /// Traps that say nothing about it, and why.
    unfit: &'static [(&'static str, &'static str)],
    /// Its command line for a URL, with a rate or without; `None` where it has no rate.
    command: fn(&str, Option<u32>) -> Option<Vec<String>>,
    parse: fn(&str) -> Seen,
}

/// A trap, the rate it needs, and what is true of it.
struct Trap {
    name: &'static str,
    rate: Option<u32>,
    truth: fn(served: u64) -> Seen,
}

const TRAPS: &[Trap] = &[
    Trap { name: "constant", rate: None, truth: |served| latencies(20.0, 20.0, served) },
    Trap { name: "tenth-slow", rate: None, truth: |served| latencies(0.1, 50.0, served) },
    // A quarter of four seconds: half of the requests are not touched, the last hundredth waits nearly a second. Here
    // the truth is what was asked for: a generator that waits with the server sends too few.
    Trap { name: "freeze", rate: Some(RATE), truth: |_| latencies(0.1, 960.0, u64::from(RATE * SECONDS)) },
    // Two of the four connections never have an answer.
    Trap {
        name: "hang",
        rate: None,
        truth: |served| Seen { errors: Some(2), ..latencies(1.0, 1.0, served.saturating_sub(2)) },
    },
    // Nobody is ever answered: all four of them are errors.
    Trap { name: "silence", rate: None, truth: |_| Seen { answers: Some(0), errors: Some(4), ..Seen::default() } },
    // Every tenth answer breaks off.
    Trap {
        name: "reset",
        rate: None,
        truth: |served| Seen { errors: Some(served / 10), ..latencies(0.1, 0.1, served - served / 10) },
    },
    // 55 bytes, one by one.
    Trap { name: "trickle", rate: None, truth: |served| latencies(59.0, 59.0, served) },
    // One connection has nearly all the answers, and three have one in thirty between them.
    Trap { name: "unfair", rate: None, truth: |served| latencies(1.0, 100.0, served) },
    Trap { name: "no-length", rate: None, truth: |served| latencies(1.0, 1.0, served) },
    Trap { name: "interim", rate: None, truth: |served| latencies(1.0, 1.0, served) },
    Trap { name: "no-body", rate: None, truth: |served| latencies(1.0, 1.0, served) },
];

fn latencies(p50_ms: f64, p99_ms: f64, answers: u64) -> Seen {
    Seen { p50_ms: Some(p50_ms), p99_ms: Some(p99_ms), answers: Some(answers), errors: Some(0) }
}

const GENERATORS: &[Generator] = &[
    Generator {
        name: "stackload",
        install: "cargo build --release",
        version: &["stackload", "--version"],
        unfit: &[],
        command: |url, rate| {
            let rate = rate.map(|rate| format!("-R{rate}"));
            Some(words(
                &["stackload", "-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}"), "--json", "/dev/stdout"],
                rate,
                url,
            ))
        },
        parse: stackload,
    },
    Generator {
        name: "wrk",
        install: "apt-get install wrk",
        version: &["wrk", "--version"],
        unfit: &[],
        command: |url, rate| {
            let words =
                words(&["wrk", "-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}"), "--latency"], None, url);
            rate.is_none().then_some(words)
        },
        parse: wrk,
    },
    Generator {
        name: "oha",
        install: "cargo install oha",
        version: &["oha", "--version"],
        unfit: &[],
        command: |url, rate| {
            let rate = rate.map(|rate| format!("-q{rate}"));
            let fixed = [
                "oha",
                "--no-tui",
                "--output-format",
                "json",
                "-z",
                &format!("{SECONDS}s"),
                "-c",
                &CONNECTIONS.to_string(),
            ];
            let mut words = words(&fixed, rate.clone(), url);
            if rate.is_some() {
                words.insert(1, "--latency-correction".to_owned());
            }
            Some(words)
        },
        parse: oha,
    },
    Generator {
        name: "hey",
        install: "apt-get install hey",
        // It does not know its own.
        version: &["dpkg-query", "--show", "hey"],
        unfit: &[],
        command: |url, rate| {
            // Its rate is that of each worker.
            let rate = rate.map(|rate| format!("-q={}", rate / CONNECTIONS));
            Some(words(&["hey", "-z", &format!("{SECONDS}s"), "-c", &CONNECTIONS.to_string()], rate, url))
        },
        parse: hey,
    },
    Generator {
        name: "ab",
        install: "apt-get install apache2-utils",
        version: &["ab", "-V"],
        unfit: &[
            ("interim", "speaks HTTP/1.0, which has no interim answers"),
            ("trickle", "speaks HTTP/1.0, and is not told there that the connection stays"),
        ],
        command: |url, rate| {
            // Of HTTP/1.0, so that it must ask for connections to stay; -t alone would end it after 50,000 requests.
            let (seconds, connections) = (SECONDS.to_string(), CONNECTIONS.to_string());
            let words = words(&["ab", "-k", "-q", "-t", &seconds, "-n", "10000000", "-c", &connections], None, url);
            rate.is_none().then_some(words)
        },
        parse: ab,
    },
    Generator {
        name: "h2load",
        install: "apt-get install nghttp2-client",
        version: &["h2load", "--version"],
        unfit: &[],
        command: |url, rate| {
            // Its rate is that of each connection.
            let rate = rate.map(|rate| format!("--rps={}", rate / CONNECTIONS));
            let fixed = ["h2load", "--h1", "-t", "1", "-D", &SECONDS.to_string(), "-c", &CONNECTIONS.to_string()];
            Some(words(&fixed, rate, url))
        },
        parse: h2load,
    },
    Generator {
        name: "autocannon",
        install: "npm install --global autocannon",
        version: &["autocannon", "--version"],
        unfit: &[],
        command: |url, rate| {
            let rate = rate.map(|rate| format!("--overallRate={rate}"));
            let fixed =
                ["autocannon", "--json", "--no-progress", "-d", &SECONDS.to_string(), "-c", &CONNECTIONS.to_string()];
            Some(words(&fixed, rate, url))
        },
        parse: autocannon,
    },
];

fn words(fixed: &[&str], rate: Option<String>, url: &str) -> Vec<String> {
    let fixed = fixed.iter().map(|word| (*word).to_owned());
    fixed.chain(rate).chain([url.to_owned()]).collect()
}

/// The processor and the kernel.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(String::new, |(_, model)| model.to_owned());
    format!("{model}, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}

/// `compare-clients`: no options.
pub fn compare(options: &[OsString]) -> Result<ExitCode> {
    ensure!(options.is_empty(), "compare-clients has no options");
    if let Err(code) = built_stackbench()? {
        return Ok(code);
    }
    let (here, absent): (Vec<&Generator>, Vec<&Generator>) = GENERATORS
        .iter()
        .partition(|generator| generator.name == "stackload" || find_program(generator.name).is_some());
    println!("# The traps of the self-test, and other load generators\n");
    println!(
        "`cargo xtask compare-clients` made this page on {}, on {}: traps of `stackload selftest`, all but those that need a\n\
         flag of ours, served to each generator with {CONNECTIONS} connections for {SECONDS} s, and at {RATE} requests per second\n\
         where a trap needs a rate. *Reported* is p50, p99, answers and errors as the generator itself says; *true* is what\n\
         the server did to that generator, and with a rate as many answers as were asked for. **Bold** is a time that is off\n\
         by more than a quarter and 2 ms, a count that is off by more than 1 % and {CONNECTIONS}, an error that there was\n\
         not, and errors of which none was seen. A generator *hangs* that sent not a tenth of what another one did. – is\n\
         what it does not report. Requests that are under way at the end are no errors; oha counts them as such.\n",
        jiff::Timestamp::now().strftime("%F"),
        machine()
    );
    for generator in &here {
        println!("- {}", version(generator)?);
    }
    for generator in &absent {
        println!("- {}: not installed here ({})", generator.name, generator.install);
    }
    println!("\n| trap | generator | true | reported |\n|:--|:--|:--|:--|");
    for trap in TRAPS {
        // The first one, ours, goes through all of them: who sends far less than it hangs.
        let mut most = 0;
        for generator in &here {
            println!("| {} | {} | {} |", trap.name, generator.name, spring(trap, generator, &mut most)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn version(generator: &Generator) -> Result<String> {
    let [program, words @ ..] = generator.version else { return Ok(generator.name.to_owned()) };
    let output = Command::new(program_of(program)?).args(words).output().with_context(|| (*program).to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or(generator.name).trim().replace('\t', " "))
}

/// Our own from its build, the others from the PATH.
fn program_of(name: &str) -> Result<PathBuf> {
    if name == "stackload" { Ok(target_dir()?.join("release/stackload")) } else { Ok(name.into()) }
}

/// The cells of truth and report. `most` is how many requests any generator has sent so far.
fn spring(trap: &Trap, generator: &Generator, most: &mut u64) -> Result<String> {
    let mut server = TrapServer::start(trap.name)?;
    if let Some((_, why)) = generator.unfit.iter().find(|(name, _)| *name == trap.name) {
        return Ok(format!("{why} | –"));
    }
    let Some(words) = (generator.command)(&server.url, trap.rate) else {
        return Ok("has no rate | –".to_owned());
    };
    eprintln!("$ {}", words.join(" "));
    let output = Command::new(program_of(&words[0])?).args(&words[1..]).stdin(Stdio::null()).output()?;
    let served = server.stop()?;
    let truth = (trap.truth)(served);
    let seen = (generator.parse)(&String::from_utf8_lossy(&output.stdout));
    *most = served.max(*most);
    let hangs = if served * HANGS_BELOW < *most { ", **hangs**" } else { "" };
    Ok(format!("{} | {}{hangs}", row(&truth, &truth), row(&seen, &truth)))
}

/// One cell, with what is wrong in bold.
fn row(seen: &Seen, truth: &Seen) -> String {
    let time = |seen: Option<f64>, truth: Option<f64>| match (seen, truth) {
        (Some(seen), Some(truth)) => {
            let is_right = (seen - truth).abs() <= (0.25 * truth).max(2.0);
            let text = format!("{seen:.1} ms");
            if is_right { text } else { format!("**{text}**") }
        }
        _ => "–".to_owned(),
    };
    let count = |seen: Option<u64>, truth: Option<u64>, name: &str| match (seen, truth) {
        (Some(seen), Some(truth)) => {
            let is_right = seen.abs_diff(truth) as f64 <= (0.01 * truth as f64).max(f64::from(CONNECTIONS));
            // An error that is there must be seen; none may be made up.
            let is_right = is_right && (name != "errors" || (seen == 0) == (truth == 0));
            if is_right { format!("{seen} {name}") } else { format!("**{seen} {name}**") }
        }
        _ => "–".to_owned(),
    };
    [
        time(seen.p50_ms, truth.p50_ms),
        time(seen.p99_ms, truth.p99_ms),
        count(seen.answers, truth.answers, "answers"),
        count(seen.errors, truth.errors, "errors"),
    ]
    .join(", ")
}

/// `stackload selftest --serve`.
struct TrapServer {
    child: Child,
    url: String,
}

impl TrapServer {
    fn start(trap: &str) -> Result<Self> {
        let program = target_dir()?.join("release/stackload");
        let mut command = Command::new(program);
        let mut child =
            command.args(["selftest", "--serve", trap]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.as_mut().context("the server's output")?;
        BufReader::with_capacity(1, stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ").context("the server does not listen")?;
        Ok(Self { url: format!("http://{address}/x"), child })
    }

    /// Ends it; how many requests it has seen.
    fn stop(&mut self) -> Result<u64> {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.child.stdout.as_mut().context("the server's output")?.read_to_string(&mut rest)?;
        self.child.wait()?;
        rest.trim().strip_prefix("requests ").context("the server's count")?.parse().context("the server's count")
    }
}

impl Drop for TrapServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

// --- reports --------------------------------------------------------------------------------------

fn stackload(report: &str) -> Seen {
    let Some(result) = report.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()) else {
        return Seen::default();
    };
    let latency = if result["latency_corrected_us"].is_null() { "latency_us" } else { "latency_corrected_us" };
    let ms = |name: &str| Some(result[latency][name].as_f64()? / 1000.0);
    let errors = result["errors"].as_object().map(|errors| errors.values().filter_map(Value::as_u64).sum());
    Seen { p50_ms: ms("p50"), p99_ms: ms("p99"), answers: result["requests_total"].as_u64(), errors }
}

fn wrk(report: &str) -> Seen {
    let percentile = |name: &str| {
        let line = report.lines().find(|line| line.trim_start().starts_with(name))?;
        milliseconds(line.split_whitespace().nth(1)?)
    };
    let errors: u64 = report
        .lines()
        .filter(|line| line.contains("Socket errors") || line.contains("Non-2xx"))
        .flat_map(|line| line.split(|letter: char| !letter.is_ascii_digit()))
        .filter_map(|digits| digits.parse::<u64>().ok())
        .sum();
    let answers = report.lines().find(|line| line.contains(" requests in "));
    Seen {
        p50_ms: percentile("50%"),
        p99_ms: percentile("99%"),
        answers: answers.and_then(|line| line.split_whitespace().next()?.parse().ok()),
        errors: Some(errors),
    }
}

fn milliseconds(text: &str) -> Option<f64> {
    let unit = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let factor = match &text[unit..] {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1000.0,
        "m" => 60_000.0,
        _ => return None,
    };
    Some(text[..unit].parse::<f64>().ok()? * factor)
}

fn oha(report: &str) -> Seen {
    let result: Value = serde_json::from_str(report).unwrap_or_default();
    let ms = |name: &str| Some(result["latencyPercentiles"][name].as_f64()? * 1000.0);
    let sum = |name: &str| result[name].as_object().map(|counts| counts.values().filter_map(Value::as_u64).sum());
    Seen {
        p50_ms: ms("p50"),
        p99_ms: ms("p99"),
        answers: sum("statusCodeDistribution"),
        errors: sum("errorDistribution"),
    }
}

fn hey(report: &str) -> Seen {
    let percentile = |name: &str| {
        let line = report.lines().find(|line| line.trim_start().starts_with(name))?;
        Some(line.split_whitespace().nth(2)?.parse::<f64>().ok()? * 1000.0)
    };
    let bracketed = |text: &str| text.trim().strip_prefix('[')?.split_once(']')?.0.parse::<u64>().ok();
    let (statuses, errors) = report.split_once("Error distribution:").unwrap_or((report, ""));
    let answers = statuses.lines().filter(|line| line.trim_end().ends_with(" responses"));
    Seen {
        p50_ms: percentile("50%"),
        p99_ms: percentile("99%"),
        answers: Some(answers.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()),
        errors: Some(errors.lines().filter_map(bracketed).sum()),
    }
}

fn ab(report: &str) -> Seen {
    // Whole milliseconds; without answers there is no distribution.
    let after = |name: &str| {
        let line = report.lines().find_map(|line| line.trim_start().strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Seen {
        p50_ms: after("50%").map(|ms| ms as f64),
        p99_ms: after("99%").map(|ms| ms as f64),
        answers: after("Complete requests:"),
        errors: after("Failed requests:"),
    }
}

fn h2load(report: &str) -> Seen {
    // It prints no percentiles.
    let line = report.lines().find(|line| line.starts_with("requests: ")).unwrap_or_default();
    let count = |name: &str| {
        let words: Vec<&str> = line.split([' ', ',']).collect();
        words.windows(2).find(|pair| pair[1] == name)?[0].parse::<u64>().ok()
    };
    let errors = ["failed", "errored", "timeout"].map(count);
    Seen { answers: count("done"), errors: errors.into_iter().sum(), ..Seen::default() }
}

fn autocannon(report: &str) -> Seen {
    let result: Value = serde_json::from_str(report).unwrap_or_default();
    let sum = |names: &[&str]| names.iter().map(|name| result[*name].as_u64()).sum();
    Seen {
        p50_ms: result["latency"]["p50"].as_f64(),
        p99_ms: result["latency"]["p99"].as_f64(),
        answers: sum(&["1xx", "2xx", "3xx", "4xx", "5xx"]),
        errors: sum(&["errors", "timeouts"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_report_is_read_as_its_generator_writes_it() {
        let wrk_report = "    Latency Distribution\n     50%   20.21ms\n     99%    1.05s \n  280 requests in 6.01s, 10KB read\n  \
                          Socket errors: connect 0, read 1, write 0, timeout 4\n";
        let seen = Seen { p50_ms: Some(20.21), p99_ms: Some(1050.0), answers: Some(280), errors: Some(5) };
        assert_eq!(wrk(wrk_report), seen);
        let hey_report = "  50% in 0.0202 secs\n  99% in 0.0500 secs\n\nStatus code distribution:\n  [200]\t396 responses\n\n\
                          Error distribution:\n  [3]\tGet \"http://h/\": EOF\n";
        let seen = Seen { p50_ms: Some(20.2), p99_ms: Some(50.0), answers: Some(396), errors: Some(3) };
        assert_eq!(hey(hey_report), seen);
        let ab_report =
            "Complete requests:      396\nFailed requests:        3\n   (Connect: 0)\n  50%     20\n  99%     50\n";
        let seen = Seen { p50_ms: Some(20.0), p99_ms: Some(50.0), answers: Some(396), errors: Some(3) };
        assert_eq!(ab(ab_report), seen);
        let h2load_report = "requests: 9 total, 9 started, 7 done, 6 succeeded, 1 failed, 1 errored, 0 timeout\n";
        assert_eq!(h2load(h2load_report), Seen { answers: Some(7), errors: Some(2), ..Seen::default() });
        let oha_report = r#"{"latencyPercentiles": {"p50": 0.02, "p99": 0.05}, "statusCodeDistribution": {"200": 7},
                            "errorDistribution": {"aborted": 2}}"#;
        let seen = Seen { p50_ms: Some(20.0), p99_ms: Some(50.0), answers: Some(7), errors: Some(2) };
        assert_eq!(oha(oha_report), seen);
        let report = r#"{"latency": {"p50": 20, "p99": 50}, "1xx": 0, "2xx": 7, "3xx": 0, "4xx": 0, "5xx": 0, "errors": 1, "timeouts": 1}"#;
        assert_eq!(autocannon(report), seen);
    }

    #[test]
    fn what_is_wrong_is_bold() {
        let truth = latencies(20.0, 50.0, 1000);
        assert_eq!(row(&truth, &truth), "20.0 ms, 50.0 ms, 1000 answers, 0 errors");
        let seen = Seen { p50_ms: Some(8.0), p99_ms: Some(51.0), answers: Some(2000), errors: Some(3) };
        assert_eq!(row(&seen, &truth), "**8.0 ms**, 51.0 ms, **2000 answers**, **3 errors**");
    }
}
