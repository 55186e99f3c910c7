//! The command line: GNU `getopt_long` semantics, as wrk's users and scripts expect them.

mod names;

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use self::names::{Name, Takes, long, short};
use crate::units::{NS_PER_S, parse_count, parse_time_ns};
use crate::url::Url;

/// Name and version, as `--version` prints them; the bracket names the poller, as in wrk's own line.
pub const VERSION_LINE: &str = concat!("stackload ", env!("CARGO_PKG_VERSION"), " [epoll] closed loop, raw latencies");

/// The usage text.
pub const USAGE: &str = "\
Usage: stackload <options> <url>
  Options:
    -c, --connections <N>  Connections to keep open
    -d, --duration    <T>  Duration of test
    -t, --threads     <N>  Number of threads to use

    -s, --script      <S>  Load Lua script file (not supported yet)
    -H, --header      <H>  Add header to request
        --latency          Print latency statistics
        --timeout     <T>  Socket/request timeout
    -v, --version          Print version details

        --json         <F>  Write the result file to F
        --warmup       <T>  Load the server that long before the measured window
        --spread       <T>  Spread the first requests evenly over this time
        --watch-tree <N=P>  Account process P and its descendants under the name N
        --expect-status <N> Count answers with another status as errors
        --expect-body  <S>  Count answers with another body as errors

  Numeric arguments may include a SI unit (1k, 1M, 1G)
  Time arguments may include a time unit (500us, 20ms, 1.5s, 2m, 2h)";

/// Upper bound of `-t`: far above any machine, far below what exhausts one.
const THREADS_MAX: u64 = 4096;
/// Upper bound of `-c`: a server address has fewer ports to be reached from, so more can never be open.
const CONNECTIONS_MAX: u64 = 1 << 20;
/// A century. Keeps every instant of a run within 64 bits of nanoseconds.
const TIME_MAX_NS: u64 = 100 * 365 * 24 * 3600 * NS_PER_S;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Where to write the result file.
    pub json: Option<PathBuf>,
    /// Load before the window.
    pub warmup_ns: u64,
    /// Time over which the first requests are spread.
    pub spread_ns: u64,
    /// Process trees to account, by name.
    pub watch: Vec<(String, u32)>,
    /// The status every answer must have.
    pub expect_status: Option<u16>,
    /// The body every answer must have.
    pub expect_body: Option<Vec<u8>>,
    /// Advice about what was ignored, one sentence each, for standard error.
    pub warnings: Vec<String>,
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

/// Raw settings while the command line is read.
struct Draft {
    threads: u64,
    connections: u64,
    options: Options,
    script: Option<String>,
    positional: Vec<String>,
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

/// Arguments are passed on as text; what is not UTF-8 could not be part of a URL or header anyway.
fn text(value: OsString) -> String {
    value.to_string_lossy().into_owned()
}

impl Draft {
    fn new() -> Self {
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
            json: None,
            warmup_ns: 0,
            spread_ns: 0,
            watch: Vec::new(),
            expect_status: None,
            expect_body: None,
            warnings: Vec::new(),
        };
        Self { threads: 2, connections: 10, options, script: None, positional: Vec::new() }
    }

    fn apply(&mut self, name: Name, missing: &str, parser: &mut Parser) -> Result<(), Refusal> {
        match name {
            Name::Latency => self.options.latency = true,
            Name::Version => self.options.version = true,
            Name::Help => return Err(self.usage(None)),
            _ => {
                let value = parser.value().map_err(|_| self.usage(Some(format!("stackload: option {missing}"))))?;
                match name {
                    // A path may hold any bytes.
                    Name::Json => self.options.json = Some(PathBuf::from(value)),
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
            Name::Header => self.add_header(&value),
            Name::Script => self.script = Some(value),
            Name::Warmup => self.options.warmup_ns = own_time("--warmup", &value)?,
            Name::Spread => self.options.spread_ns = own_time("--spread", &value)?,
            Name::WatchTree => self.add_watch(&value)?,
            Name::ExpectStatus => self.options.expect_status = Some(own_status(&value)?),
            Name::ExpectBody => self.options.expect_body = Some(value.into_bytes()),
            // Taken before.
            Name::Latency | Name::Version | Name::Help | Name::Json => {}
        }
        Ok(())
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

    /// wrk's order of checks.
    fn finish(mut self) -> Result<Options, Refusal> {
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
        if let Some(script) = &self.script {
            let message = format!("stackload: --script '{script}': Lua scripts are not supported yet");
            return Err(Refusal::Message(message));
        }
        if url.is_tls() {
            let message = format!("stackload: '{url_text}': https is not supported yet, use an http URL");
            return Err(Refusal::Message(message));
        }
        if threads > THREADS_MAX || connections > CONNECTIONS_MAX {
            return Err(Refusal::Message(format!(
                "stackload: at most {THREADS_MAX} threads (-t) and {CONNECTIONS_MAX} connections (-c) are possible"
            )));
        }
        let options = &mut self.options;
        if duration_ns.max(options.timeout_ns).max(options.warmup_ns).max(options.spread_ns) > TIME_MAX_NS {
            return Err(Refusal::Message("stackload: a time of more than a century was given".to_owned()));
        }
        options.threads = threads as u32;
        options.connections = connections as u32;
        options.url_text = url_text;
        options.url = url;
        Ok(self.options)
    }
}

fn own_time(flag: &str, value: &str) -> Result<u64, Refusal> {
    let message = || Refusal::Message(format!("stackload: {flag} '{value}': expected a time such as 500ms, 2s or 1m"));
    parse_time_ns(value).ok_or_else(message)
}

fn own_status(value: &str) -> Result<u16, Refusal> {
    let message = || Refusal::Message(format!("stackload: --expect-status '{value}': expected 100 to 999"));
    value.parse().ok().filter(|status| (100..=999).contains(status)).ok_or_else(message)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

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
        assert_eq!(
            refusal(&["--s", "x", URL]),
            Refusal::Message("stackload: --script 'x': Lua scripts are not supported yet".to_owned())
        );
        assert_eq!(options(&["--sp", "1s", URL]).spread_ns, NS_PER_S);
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
    fn the_result_file_may_have_any_name() {
        let path = OsString::from_vec(b"/tmp/\xff.json".to_vec());
        let given = parse([OsString::from("--json"), path.clone(), OsString::from(URL)]).unwrap();
        assert_eq!(given.json, Some(PathBuf::from(path)));
    }

    #[test]
    fn our_own_flags_name_themselves_when_they_are_wrong() {
        for (words, part) in [
            (&["--warmup", "x", URL][..], "--warmup"),
            (&["--spread", "1sec", URL], "--spread"),
            (&["--watch-tree", "a", URL], "--watch-tree"),
            (&["--watch-tree", "a=1", "--watch-tree", "a=2", URL], "'a' is given twice"),
            (&["--expect-status", "20", URL], "--expect-status"),
            (&["https://localhost/"], "https is not supported"),
            (&["-c99m", URL], "connections (-c)"),
        ] {
            let Refusal::Message(message) = refusal(words) else { panic!("{words:?}") };
            assert!(message.contains(part), "{message}");
        }
    }
}
