//! The command line: GNU `getopt_long` semantics, as wrk's users and scripts expect them.

mod draft;
mod names;

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use self::draft::{Draft, text};
use self::names::{Name, Takes, long, short};
use crate::engine::Schedule;
use crate::output::Format;
use crate::threshold::Threshold;
use crate::units::NS_PER_S;
use crate::url::Url;

/// Name and version, as `--version` prints them; the bracket names the poller, as in wrk's own line.
pub const VERSION_LINE: &str = concat!("stackload ", env!("CARGO_PKG_VERSION"), " [epoll] latencies as measured");

/// The usage text.
pub const USAGE: &str = "\
Usage: stackload <options> <url>
  Options:
    -c, --connections <N>  Connections to keep open
    -d, --duration    <T>  Duration of test
    -t, --threads     <N>  Number of threads to use

    -s, --script      <S>  Load Lua script file
    -H, --header      <H>  Add header to request
    -L, --latency          Print latency statistics
    -T, --timeout     <T>  Socket/request timeout
    -v, --version          Print version details

    -R, --rate        <N>  Open loop: N requests/s over all threads, latencies from the instants they are due
    -U, --u_latency        Print the latencies from the actual sends too (with -R; implies --latency)
    -B, --batch_latency    A pipelined batch has one latency, that of its last answer (always so)
        --arrival   <KIND> constant (default) or poisson
        --seed         <N> Of the poisson arrivals (0)
        --ramp       <A:B> Change the rate from A to B over the duration

        --spin             Never sleep: each thread keeps a CPU of its own busy
        --requests     <N> Stop after so many, if that is sooner
        --unix-socket  <F> Connect to the unix socket F instead of the URL's host
        --verify           Refuse servers without a valid certificate
        --fail-if      <L> Exit with 3 if one of these holds, as 'p99>50ms,errors>0.1%'
        --find-rate    <L> Search for the highest rate at which all of these hold, as 'p99<20ms,errors<0.1%'
        --percentiles  <L> Print these percentiles, as 50,99.9 (implies --latency)
        --wrk-correction   Back-fill the printed latencies as wrk does

        --json         <F>  Write the result file to F
        --csv          <F>  Write the figures as a table of one row to F
        --hgrm         <F>  Write the percentile spectrum to F, as HdrHistogram's plotters read it
        --ndjson       <F>  Write one JSON object a second to F
        --warmup       <T>  Load the server that long before the measured window
        --spread       <T>  Spread the first requests evenly over this time
        --interval  <T>    In the result file, also the figures of each such part of a second
        --watch-tree <N=P>  Account process P and its descendants under the name N
        --expect-status <N> Count answers with another status as errors
        --expect-body  <S>  Count answers with another body as errors

  Numeric arguments may include a SI unit (1k, 1M, 1G)
  Time arguments may include a time unit (500us, 20ms, 1.5s, 2m, 2h)";

/// Upper bound of `-t`: far above any machine, far below what exhausts one.
const THREADS_MAX: u32 = 4096;
/// Upper bound of `-c`: a server address has fewer ports to be reached from, so more can never be open.
const CONNECTIONS_MAX: u32 = 1 << 20;
/// A century. Keeps every instant of a run within 64 bits of nanoseconds.
const TIME_MAX_NS: u64 = 100 * 365 * 24 * 3600 * NS_PER_S;
/// Upper bound of `-R`: more than one process can send.
pub const RATE_MAX: f64 = 1e6;

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The URL argument, verbatim.
    pub url_text: String,
    /// The URL argument, parsed.
    pub url: Url,
    /// Event loops.
    pub threads: u32,
    /// Connections over all event loops.
    pub connections: u32,
    /// Length of the measured window.
    pub duration_ns: u64,
    /// Answers later than this are counted as timeouts.
    pub timeout_ns: u64,
    /// Extra headers, in order; a repeated name keeps its place and takes the last value.
    pub headers: Vec<(String, String)>,
    /// Whether to print the latency distribution.
    pub latency: bool,
    /// Whether the version line was asked for.
    pub version: bool,
    /// Files to write, and in which format.
    pub outputs: Vec<(Format, PathBuf)>,
    /// The percentiles of the printed distribution.
    pub percentiles: Vec<f64>,
    /// Whether the printed latencies are those that wrk would print, back-filled.
    pub wrk_correction: bool,
    /// What makes the run a failure.
    pub thresholds: Vec<Threshold>,
    /// The objective of a search for the highest rate, if there is one.
    pub find_rate: Option<Vec<Threshold>>,
    /// Load before the window.
    pub warmup_ns: u64,
    /// Time over which the first requests are spread.
    pub spread_ns: u64,
    /// Length of the intervals that are counted apart; a second, or what divides it.
    pub interval_ns: u64,
    /// Whether the event loops never sleep.
    pub spins: bool,
    /// Process trees to account, by name.
    pub watch: Vec<(String, u32)>,
    /// The status every answer must have.
    pub expect_status: Option<u16>,
    /// The body every answer must have.
    pub expect_body: Option<Vec<u8>>,
    /// The script to load.
    pub script: Option<PathBuf>,
    /// What the script is told: the words after the URL.
    pub arguments: Vec<String>,
    /// When to send.
    pub schedule: Schedule,
    /// Whether to print the latencies from the actual sends beside those from the instants they were due.
    pub uncorrected: bool,
    /// How many requests to send at most.
    pub requests: Option<u64>,
    /// Where to connect instead of the URL's host.
    pub unix_socket: Option<PathBuf>,
    /// Whether the server needs a valid certificate.
    pub verify: bool,
    /// Advice about what was ignored, one sentence each, for standard error.
    pub warnings: Vec<String>,
}

impl Options {
    /// Whether this can be run; an error says what is wrong with it.
    ///
    /// # Errors
    /// When a number is out of its range.
    pub fn check(&self) -> Result<(), String> {
        let (threads, connections) = (self.threads, self.connections);
        if threads > THREADS_MAX || connections > CONNECTIONS_MAX {
            return Err(format!(
                "at most {THREADS_MAX} threads (-t) and {CONNECTIONS_MAX} connections (-c) are possible"
            ));
        }
        if threads == 0 || connections < threads {
            return Err("number of connections must be >= threads, and these above 0".to_owned());
        }
        if self.duration_ns.max(self.timeout_ns).max(self.warmup_ns).max(self.spread_ns) > TIME_MAX_NS {
            return Err("a time of more than a century was given".to_owned());
        }
        if let Schedule::Open { rate, .. } = self.schedule {
            let is_possible = |per_second: f64| (0.0..=RATE_MAX).contains(&per_second);
            if !is_possible(rate.from) || !is_possible(rate.to) || rate.to == 0.0 {
                return Err(format!("a rate must be above 0 and at most {RATE_MAX} requests per second"));
            }
        }
        if self.find_rate.is_some() {
            let one_run = [
                ("--json, --csv, --hgrm or --ndjson", !self.outputs.is_empty()),
                ("--fail-if", !self.thresholds.is_empty()),
                ("--script", self.script.is_some()),
                ("--requests", self.requests.is_some()),
                ("--ramp", matches!(self.schedule, Schedule::Open { rate, .. } if rate.from != rate.to)),
            ];
            if let Some((flag, _)) = one_run.iter().find(|(_, is_given)| *is_given) {
                return Err(format!("--find-rate makes many runs, and {flag} is of one; leave it out"));
            }
        }
        for (index, (_, path)) in self.outputs.iter().enumerate() {
            if self.outputs[..index].iter().any(|(_, other)| other == path) {
                return Err(format!("{}: two outputs cannot be one file", path.display()));
            }
        }
        Ok(())
    }
}

/// Why there is nothing to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Print the message, if any, on standard error and the usage text on standard output.
    Usage {
        /// The message.
        message: Option<String>,
        /// Whether the version line was asked for before.
        version: bool,
    },
    /// Print this one message on standard error.
    Message(String),
}

/// Reads the arguments, the program's name not among them.
pub fn parse<I>(arguments: I) -> Result<Options, Refusal>
where
    I: IntoIterator<Item = OsString>,
{
    let mut parser = Parser::from_args(arguments);
    parser.set_short_equals(false);
    let mut draft = Draft::new();
    while let Some((name, shown)) = next_option(&mut parser, &mut draft)? {
        draft.apply(name, &shown, &mut parser)?;
    }
    draft.finish()
}

/// The next option, with positional arguments put aside; the second part is how getopt quotes it.
fn next_option(parser: &mut Parser, draft: &mut Draft) -> Result<Option<(Name, String)>, Refusal> {
    loop {
        let version = draft.options.version;
        let usage = |message| Refusal::Usage { message, version };
        let name = match parser.next() {
            Ok(None) => return Ok(None),
            Ok(Some(Arg::Value(value))) => {
                draft.positional.push(text(value));
                continue;
            }
            Ok(Some(Arg::Short(letter))) => short(letter).map_err(usage)?,
            Ok(Some(Arg::Long(given))) => {
                let (name, full, takes) = long(given).map_err(|message| usage(Some(message)))?;
                if takes == Takes::Nothing && parser.optional_value().is_some() {
                    return Err(usage(Some(format!("stackload: option '--{full}' doesn't allow an argument"))));
                }
                (name, format!("'--{full}' requires an argument"))
            }
            // Options without a value never leave one behind: the two cases above take it away.
            Err(error) => return Err(usage(Some(format!("stackload: {error}")))),
        };
        return Ok(Some(name));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;
    use crate::engine::arrivals::{Arrival, Rate};

    fn options(words: &[&str]) -> Options {
        parse(words.iter().map(OsString::from)).unwrap()
    }

    fn refusal(words: &[&str]) -> Refusal {
        parse(words.iter().map(OsString::from)).unwrap_err()
    }

    fn usage(message: &str) -> Refusal {
        let message = (!message.is_empty()).then(|| message.to_owned());
        Refusal::Usage { message, version: false }
    }

    const URL: &str = "http://127.0.0.1:1/x";

    #[test]
    fn defaults_are_wrks() {
        let options = options(&[URL]);
        assert_eq!((options.threads, options.connections), (2, 10));
        assert_eq!((options.duration_ns, options.timeout_ns), (10 * NS_PER_S, 2 * NS_PER_S));
    }

    #[test]
    fn every_spelling_of_an_option_means_the_same() {
        for words in [
            &["-c4", "-t1", URL][..],
            &["-c", "4", "-t", "1", URL],
            &[URL, "--connections", "4", "--threads=1"],
            &["--conn=4", "--thr", "1", "--", URL],
            &["-c9", "-c4", URL, "-t7", "-t1"],
        ] {
            let options = options(words);
            assert_eq!((options.connections, options.threads), (4, 1), "{words:?}");
        }
        assert!(options(&["-L", URL]).latency && options(&["--lat", URL]).latency);
        assert_eq!(options(&["-T", "3", URL]).timeout_ns, options(&["--timeout=3s", URL]).timeout_ns);
    }

    #[test]
    fn a_prefix_of_wrks_options_is_never_taken_away_by_ours() {
        assert_eq!(options(&["--s", "x", URL]).script, Some(PathBuf::from("x")));
        assert_eq!(options(&["--spr", "1s", URL]).spread_ns, NS_PER_S);
        assert_eq!(options(&["--warm=20ms", URL]).warmup_ns, 20_000_000);
    }

    #[test]
    fn getopts_own_messages_are_kept() {
        for (words, message) in [
            (&["-x"][..], "stackload: invalid option -- 'x'"),
            (&["-h"], "stackload: invalid option -- 'h'"),
            (&["--foo"], "stackload: unrecognized option '--foo'"),
            (&["--t", "1"], "stackload: option '--t' is ambiguous; possibilities: '--threads' '--timeout'"),
            (&["--latency=3"], "stackload: option '--latency' doesn't allow an argument"),
            (&["-c"], "stackload: option requires an argument -- 'c'"),
            (&["--conn"], "stackload: option '--connections' requires an argument"),
            (&["-r"], ""),
            (&["--help"], ""),
            (&[], ""),
            (&["-t0", URL], ""),
            (&["-d0", URL], ""),
            (&["-c1.5", URL], ""),
            (&["foo"], "invalid URL: foo"),
            (&["-c1", "-t2", URL], "number of connections must be >= threads"),
            (&["-c0", URL], "number of connections must be >= threads"),
        ] {
            assert_eq!(refusal(words), usage(message), "{words:?}");
        }
    }

    #[test]
    fn headers_keep_their_order_and_the_last_value() {
        let options = options(&["-H", "A: 1", "-H", "B: x:  y ", "-H", "A: 2", "-H", "C: ", "-H", "bad:1", URL]);
        let headers: Vec<_> = options.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(headers, [("A", "2"), ("B", "x:  y "), ("C", "")]);
        assert_eq!(options.warnings.len(), 1);
    }

    #[test]
    fn a_rate_makes_the_loop_open() {
        assert_eq!(options(&[URL]).schedule, Schedule::Closed);
        let open = |rate, arrival, seed| Schedule::Open { rate, arrival, seed };
        assert_eq!(options(&["-R2k", URL]).schedule, open(Rate::constant(2000.0), Arrival::Constant, 0));
        let rate = Rate { from: 10.0, to: 200.0, hold_ns: NS_PER_S, over_ns: 4 * NS_PER_S };
        let words = ["--ramp=10:200", "--arrival=poisson", "--seed=7", "-d4", "--warmup=1s", URL];
        assert_eq!(options(&words).schedule, open(rate, Arrival::Poisson, 7));
        let message = "Throughput MUST be specified with the --rate or -R option";
        assert_eq!(refusal(&["-R0", URL]), usage(message));
    }

    #[test]
    fn what_has_no_effect_is_named() {
        let words = ["-R5", "--spread=1s", "--wrk-correction", "--percentiles=50", "--seed=3", URL];
        let warned = options(&words).warnings;
        for (warning, flag) in warned.iter().zip(["--spread", "--wrk-correction", "--percentiles", "--seed"]) {
            assert!(warning.starts_with(&format!("stackload: ignoring {flag}: ")), "{warning}");
        }
        assert_eq!(warned.len(), 4);
    }

    #[test]
    fn the_words_after_the_url_are_the_scripts() {
        for words in [&[URL, "--", "-a", "b"][..], &["--", URL, "-a", "b"]] {
            assert_eq!(options(words).arguments, ["-a", "b"], "{words:?}");
        }
    }

    #[test]
    fn the_result_file_may_have_any_name() {
        let path = OsString::from_vec(b"/tmp/\xff.json".to_vec());
        let given = parse([OsString::from("--json"), path.clone(), OsString::from(URL)]).unwrap();
        assert_eq!(given.outputs, [(Format::Json, PathBuf::from(path))]);
    }

    #[test]
    fn our_own_flags_name_themselves_when_they_are_wrong() {
        for (words, part) in [
            (&["--warmup", "x", URL][..], "--warmup"),
            (&["--spread", "1sec", URL], "--spread"),
            (&["--watch-tree", "a", URL], "--watch-tree"),
            (&["--watch-tree", "a=1", "--watch-tree", "a=2", URL], "'a' is given twice"),
            (&["--expect-status", "20", URL], "--expect-status"),
            (&["--percentiles", "50,101", URL], "--percentiles"),
            (&["--fail-if", "p99", URL], "--fail-if"),
            (&["--ramp", "5", URL], "--ramp"),
            (&["--ramp", "0:0", URL], "--ramp"),
            (&["--arrival", "fair", "-R1", URL], "--arrival"),
            (&["--arrival", "poisson", URL], "--arrival: without a rate"),
            (&["--seed", "x", "-R1", URL], "--seed"),
            (&["--json", "/a", "--csv", "/a", URL], "/a: two outputs"),
            (&["-U", URL], "--u_latency: without a rate"),
            (&["-R100m", URL], "requests per second"),
            (&["--requests", "0", URL], "--requests"),
            (&["-R5", "--ramp", "1:2", URL], "--rate and --ramp"),
            (&["-c99m", URL], "connections (-c)"),
        ] {
            let Refusal::Message(message) = refusal(words) else { panic!("{words:?}") };
            assert!(message.contains(part), "{message}");
        }
    }
}
