//! Lua scripts: those that Debian ships with wrk, beside wrk, and what goes wrong in them.

use std::path::Path;

use ::stackload::result::ErrorKind;
use rustix::process::{Pid, Signal, kill_process};

use crate::server::{OK, Server, Then};
use crate::stackload::{Run, command, errors, load, read_result, run, run_wrk, script};
use crate::wait::wait_until;

/// Where Debian puts wrk's examples.
const EXAMPLES: &str = "/usr/share/doc/wrk/examples/scripts";

fn example(name: &str) -> String {
    let path = format!("{EXAMPLES}/{name}.lua");
    assert!(
        Path::new(&path).exists(),
        "this test runs the scripts of Debian's package wrk, and {path} is not there: apt install wrk \
         (where dpkg leaves documentation out: --path-include='{EXAMPLES}/*')"
    );
    path
}

/// Runs a script in both programs against servers of the same kind.
fn both(script: &str, more: &[&str], server: fn() -> Server) -> [(Run, Server); 2] {
    [run, run_wrk].map(|program| {
        let server = server();
        let url = server.url();
        let run = program(&[&["-s", script], more, &[&url]].concat());
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
        (run, server)
    })
}

fn answering() -> Server {
    Server::answering(OK)
}

/// The lines before wrk's report, and those after its last.
fn own_lines(text: &str) -> (Vec<&str>, Vec<&str>) {
    let before = text.lines().take_while(|line| !line.starts_with("Running ")).collect();
    let after = text.lines().skip_while(|line| !line.starts_with("Transfer/sec:")).skip(1);
    (before, after.take_while(|line| !line.starts_with("Occupancy: ")).collect())
}

fn requests(run: &Run) -> u64 {
    let line = run.stdout.lines().find(|line| line.contains(" requests in ")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// What a script of ours prints before and after the report.
fn printed(source: &str, more: &[&str]) -> (Vec<String>, Vec<String>) {
    let (file, server) = (script(source), answering());
    let run = run(&[&["-t1", "-c1", "-d100ms", "-s", file.path().to_str().unwrap(), &server.url()], more].concat());
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let (before, after) = own_lines(&run.stdout);
    (before.into_iter().map(str::to_owned).collect(), after.into_iter().map(str::to_owned).collect())
}

#[test]
fn addr_lua_prints_each_threads_address_before_the_run() {
    for (run, server) in both(&example("addr"), &["-t2", "-c2", "-d1"], answering) {
        let address = server.url().replace("http://", "").replace("/x", "");
        assert_eq!(own_lines(&run.stdout).0, vec![format!("thread addr: {address}"); 2]);
    }
}

#[test]
fn auth_lua_takes_a_token_from_the_first_answer() {
    let server = || {
        Server::start(|peer| {
            let request = String::from_utf8_lossy(&peer.request).into_owned();
            let ok = request.contains("X-Token: secret") && request.starts_with("GET /resource ");
            peer.send(match request.starts_with("GET /authenticate ") {
                true => b"HTTP/1.1 200 OK\r\nX-Token: secret\r\nContent-Length: 0\r\n\r\n",
                false if ok => OK,
                false => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            });
            Then::Stay
        })
    };
    for (run, server) in both(&example("auth"), &["-t1", "-c1", "-d1"], server) {
        assert!(!run.stdout.contains("Non-2xx"), "{}", run.stdout);
        assert!(server.requests() > 10);
    }
}

#[test]
fn counter_lua_counts_in_each_thread() {
    // The first thread's request is called once before the run, so that its first target is /1.
    let server = || {
        Server::start(|peer| {
            let text = String::from_utf8_lossy(&peer.request).into_owned();
            let target: usize = text.split_whitespace().nth(1).unwrap()[1..].parse().unwrap();
            let fits = text.contains(&format!("X-Counter: {target}\r\n")) && target == peer.earlier + 1;
            peer.send(if fits { OK } else { b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n" });
            Then::Stay
        })
    };
    for (run, _server) in both(&example("counter"), &["-t1", "-c1", "-d1"], server) {
        assert!(requests(&run) > 10 && !run.stdout.contains("Non-2xx"), "{}", run.stdout);
    }
}

#[test]
fn delay_lua_slows_the_requests_down_and_not_their_latency() {
    for (run, _server) in both(&example("delay"), &["-t1", "-c4", "-d1"], answering) {
        // 10 to 50 ms between two requests of a connection.
        assert!((30..=400).contains(&requests(&run)), "{}", run.stdout);
    }
}

#[test]
fn pipeline_lua_sends_three_at_once() {
    let server = || {
        Server::start(|peer| {
            let heads = peer.request.windows(4).filter(|bytes| bytes == b"\r\n\r\n").count();
            (0..heads).for_each(|_| peer.send(OK));
            Then::Stay
        })
    };
    for (run, server) in both(&example("pipeline"), &["-t1", "-c1", "-d1"], server) {
        // The server sees a batch as one.
        let batches = server.requests() as u64;
        assert!((3 * (batches - 1)..=3 * batches).contains(&requests(&run)), "{} of {batches}", requests(&run));
    }
}

#[test]
fn post_lua_sends_a_body() {
    let server = || {
        Server::start(|peer| {
            let text = String::from_utf8_lossy(&peer.request).into_owned();
            let fits = text.starts_with("POST /x HTTP/1.1\r\n")
                && text.contains("Content-Type: application/x-www-form-urlencoded\r\n")
                && text.ends_with("\r\n\r\nfoo=bar&baz=quux");
            peer.send(if fits { OK } else { b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n" });
            Then::Stay
        })
    };
    for (run, _server) in both(&example("post"), &["-t1", "-c1", "-d1"], server) {
        assert!(requests(&run) > 10 && !run.stdout.contains("Non-2xx"), "{}", run.stdout);
    }
}

#[test]
fn report_lua_prints_percentiles_below_the_report() {
    for (run, _server) in both(&example("report"), &["-t1", "-c1", "-d1"], answering) {
        let (_, after) = own_lines(&run.stdout);
        let labels: Vec<&str> = after.iter().map(|line| line.split(',').next().unwrap()).collect();
        assert_eq!(labels, ["------------------------------", "50%", "90%", "99%", "99.999%"], "{}", run.stdout);
    }
}

#[test]
fn setup_lua_reads_the_threads_counters() {
    for (run, _server) in both(&example("setup"), &["-t2", "-c2", "-d1"], answering) {
        let (before, after) = own_lines(&run.stdout);
        assert_eq!(before, ["thread 1 created", "thread 2 created"]);
        assert_eq!(after.len(), 2, "{}", run.stdout);
        for (index, line) in after.iter().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!((words[0], words[1], words[2]), ("thread", &*(index + 1).to_string(), "made"), "{line}");
            let [sent, answered] = [3, 7].map(|at: usize| words[at].parse::<i64>().unwrap());
            assert!(answered > 10 && (0..=2).contains(&(sent - answered)), "{line}");
        }
    }
}

#[test]
fn stop_lua_ends_the_threads_and_not_the_run() {
    for (run, _server) in both(&example("stop"), &["-t2", "-c2", "-d1"], answering) {
        // Each thread stops at its hundredth answer.
        assert!((199..=202).contains(&requests(&run)), "{}", run.stdout);
        let runtime = run.stdout.lines().find_map(|line| line.split(" requests in ").nth(1)).unwrap().to_owned();
        let seconds: f64 = runtime.split('s').next().unwrap().parse().unwrap();
        assert!((1.0..10.0).contains(&seconds), "{}", run.stdout);
    }
}

#[test]
fn a_script_that_is_wrong_is_refused_with_its_line() {
    let server = answering();
    for (source, part) in [
        ("x = = 1", ":1: unexpected symbol near '='"),
        ("\nerror('no')", ":2: no"),
        ("local a = nil\na.b = 1", ":2: attempt to index local 'a' (a nil value)"),
    ] {
        let file = script(source);
        let path = file.path().to_str().unwrap();
        let refused = run(&["-d1", "-s", path, &server.url()]);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{source}");
        assert_eq!(refused.stderr, format!("stackload: --script {path}: {path}{part}\n"));
    }
    let missing = run(&["-d1", "-s", "/nonexistent/a.lua", &server.url()]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.starts_with("stackload: --script /nonexistent/a.lua: No such file"), "{}", missing.stderr);
}

#[test]
fn an_error_in_a_hook_ends_the_run_in_wrks_words() {
    for source in [
        "function setup(thread)\n error('broken') end",
        "function init(args)\n error('broken') end",
        "function request()\n error('broken') end",
        "function delay()\n error('broken') end",
        "function response()\n error('broken') end",
        "function done()\n error('broken') end",
    ] {
        let file = script(source);
        for program in [run, run_wrk] {
            let server = answering();
            let failed = program(&["-t1", "-c1", "-d1", "-s", file.path().to_str().unwrap(), &server.url()]);
            assert_eq!(failed.code, Some(1), "{source}: {}", failed.stderr);
            let message = format!("({}:2: broken)", file.path().display());
            assert!(failed.stderr.starts_with("PANIC: unprotected error in call to Lua API "), "{}", failed.stderr);
            assert!(failed.stderr.contains(&message), "{source}: {}", failed.stderr);
            assert_eq!(failed.stderr.matches("PANIC").count(), 1, "{source}: {}", failed.stderr);
        }
    }
}

#[test]
fn a_request_that_is_none_is_refused_in_wrks_words() {
    for (body, message) in [
        ("'GET / HTTP/1.1\\r\\nHost: h\\r\\n'", "incomplete request at 3:1\n"),
        ("'xyz / HTTP/1.1\\r\\n\\r\\n'", "invalid HTTP method at 1:1\n"),
    ] {
        let file = script(&format!("function request() return {body} end"));
        for program in [run, run_wrk] {
            let server = answering();
            let refused = program(&["-t1", "-c1", "-d1", "-s", file.path().to_str().unwrap(), &server.url()]);
            assert_eq!((refused.code, refused.stderr.as_str()), (Some(1), message), "{}", refused.stdout);
        }
    }
}

#[test]
fn a_name_that_cannot_be_looked_up_ends_the_program() {
    let file = script("function setup() pcall(wrk.lookup, 'stackload.invalid', 'http') end");
    let server = answering();
    let refused = run(&["-t1", "-c1", "-d1", "-s", file.path().to_str().unwrap(), &server.url()]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.starts_with("unable to resolve stackload.invalid:http "), "{}", refused.stderr);
}

#[test]
fn init_is_given_the_url_and_the_words_after_it() {
    let source = "function init(args) print(#args, args[0]:match('^http') , args[1], args[2]) end";
    let (before, _) = printed(source, &["--", "-a", "b c"]);
    assert_eq!(before, ["2\thttp\t-a\tb c"]);
}

#[test]
fn the_table_wrk_holds_what_the_command_line_said() {
    let source = "function init()
        print(wrk.scheme, wrk.host, wrk.port ~= nil, wrk.method, wrk.path, wrk.body, wrk.headers.A, wrk.headers.Host ~= nil)
    end";
    let (before, _) = printed(source, &["-H", "A: b"]);
    assert_eq!(before, ["http\t127.0.0.1\ttrue\tGET\t/x\tnil\tb\ttrue"]);
}

#[test]
fn a_fixed_request_is_the_threads_own() {
    let server = Server::start(|peer| {
        let text = String::from_utf8_lossy(&peer.request).into_owned();
        peer.send(if text.starts_with("GET /2 ") { OK } else { b"HTTP/1.1 404 Not\r\nContent-Length: 0\r\n\r\n" });
        Then::Stay
    });
    let source = "local number = 0
        function setup(thread) number = number + 1 thread:set('id', number) end
        function init() wrk.path = '/' .. id end";
    let file = script(source);
    let (result, _) = load(&["-t2", "-c2", "-d200ms", "-s", file.path().to_str().unwrap(), &server.url()]);
    assert!(result.statuses.get(&200).is_some_and(|count| *count > 0), "{:?}", result.statuses);
    assert!(result.statuses.get(&404).is_some_and(|count| *count > 0), "{:?}", result.statuses);
}

#[test]
fn a_body_without_end_is_not_kept_for_the_hook() {
    let server = Server::start(|peer| {
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n");
        while peer.try_send(&[b'x'; 1 << 20]) {}
        Then::Close
    });
    let file = script("function response() end");
    let folder = tempfile::tempdir().unwrap();
    let (script, json) = (file.path().to_str().unwrap(), folder.path().join("r.json"));
    let arguments = ["-t1", "-c2", "-d60", "-s", script, "--json", json.to_str().unwrap(), &server.url()];
    let mut child = command(&arguments).spawn().unwrap();
    // Both connections were given up, however long the machine took to send so much, and asked again on new ones.
    wait_until("new connections", || server.requests() >= 4);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    child.wait().unwrap();
    let result = read_result(&json);
    assert!(errors(&result, ErrorKind::Protocol) > 0, "{:?}", result.errors);
    assert!(result.client.rss_peak_bytes < 400 << 20, "{} bytes", result.client.rss_peak_bytes);
}

#[test]
fn the_rest_of_a_batch_that_the_server_closes_on_is_an_error() {
    let server = Server::start(|peer| {
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        Then::Close
    });
    let file = script("function request() return wrk.format() .. wrk.format() end");
    let (result, _) = load(&["-t1", "-c1", "-d200ms", "-s", file.path().to_str().unwrap(), &server.url()]);
    let broken = errors(&result, ErrorKind::Eof);
    assert!(broken > 0 && broken.abs_diff(result.requests_total) <= 1, "{:?}", result.errors);
}

#[test]
fn all_of_luajit_is_there() {
    let source = "local ffi, bit = require('ffi'), require('bit')
        ffi.cdef('int getpid(void);')
        function init() print(ffi.C.getpid() > 0, bit.band(6, 3), jit ~= nil, debug ~= nil, _VERSION) end";
    assert_eq!(printed(source, &[]).0, ["true\t2\ttrue\ttrue\tLua 5.1"]);
}

#[test]
fn tables_go_to_a_thread_and_come_back() {
    let source = "local kept
        function setup(thread) kept = thread thread:set('t', { 1, x = { y = 'z' } }) print(thread.unknown) end
        function init() t.x.y = t.x.y .. '!' end
        function done() print(kept:get('t').x.y, kept:get('t')[1], kept:get('nothing')) end";
    assert_eq!(printed(source, &[]), (vec!["unknown".to_owned()], vec!["z!\t1\tnil".to_owned()]));
}

#[test]
fn done_is_told_what_the_report_says() {
    let source = "function done(summary, latency, requests)
        local n, sum = #latency, 0
        for i = 1, n do local value, count = latency(i) sum = sum + count end
        print(summary.requests == sum, summary.errors.connect, summary.errors.status, summary.duration >= 100000,
              latency.min <= latency:percentile(50), latency:percentile(100) == latency.max, latency.unknown,
              select('#', latency(n + 1)), latency.mean > 0, latency.stdev >= 0, requests.max >= 0, summary.bytes > 0)
    end";
    let (_, after) = printed(source, &[]);
    assert_eq!(after, ["true\t0\t0\ttrue\ttrue\ttrue\tunknown\t2\ttrue\ttrue\ttrue\ttrue"]);
}

#[test]
fn the_response_hook_sees_status_headers_and_body() {
    let source = "local seen
        function response(status, headers, body) seen = status .. headers['Content-Length'] .. body end
        function init() end
        function delay() if seen then print(seen) wrk.thread:stop() end return 0 end";
    let (file, server) = (script(source), answering());
    let run = run(&["-t1", "-c1", "-d100ms", "-s", file.path().to_str().unwrap(), &server.url()]);
    assert!(run.stdout.contains("20016{\"status\": \"ok\"}"), "{}{}", run.stdout, run.stderr);
}

#[test]
fn a_request_of_a_script_is_counted_as_the_server_counts_it() {
    let file = script("function request() return wrk.format('GET', '/a') end");
    let server = answering();
    let url = server.url();
    let (result, _) = load(&["-t2", "-c4", "-d300ms", "-s", file.path().to_str().unwrap(), &url]);
    let arrived = server.requests() as u64;
    let (low, high) = (result.requests_total, result.requests_total + result.in_flight_at_end);
    assert!((low..=high).contains(&arrived) && result.errors.is_empty(), "{arrived} arrived, {low} to {high}");
}
