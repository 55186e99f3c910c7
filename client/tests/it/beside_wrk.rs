//! The report, line by line beside the one that wrk itself prints for the same server.

use std::thread;
use std::time::Duration;

use crate::server::{OK, Server, Then};
use crate::stackload::{run, run_wrk};

/// Where the cells of a statistics row end: name, average, deviation, maximum, percentage.
const ROW_COLUMNS: [usize; 5] = [14, 22, 32, 41, 50];

/// A line with its figures made anonymous, so that two runs can be compared: each number with its unit becomes `#`.
fn shape(line: &str) -> String {
    if line.starts_with("    Latency") || line.starts_with("    Req/Sec") {
        return row_shape(line);
    }
    if let Some((percent, value)) = line.split_once('%').filter(|(percent, _)| percent.len() == 7) {
        assert_eq!(value.len(), 10, "{line:?}");
        return percent.to_owned();
    }
    let mut shape = String::new();
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if character.is_ascii_digit() {
            while characters.next_if(|next| next.is_ascii_alphanumeric() || *next == '.').is_some() {}
            // Right-aligned: how many blanks stand before depends on the figure.
            shape.truncate(shape.trim_end().len());
            shape += " #";
        } else {
            shape.push(character);
        }
    }
    shape
}

/// A statistics row: every cell must end in its column, with its unit where wrk puts it.
fn row_shape(line: &str) -> String {
    assert_eq!(line.len(), 50, "{line:?}");
    let mut shape = line[..ROW_COLUMNS[0]].to_owned();
    for edges in ROW_COLUMNS.windows(2) {
        let cell = &line[edges[0]..edges[1]];
        let number = cell.trim_start().trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = &cell[cell.find(number).unwrap() + number.len()..];
        assert!(number.parse::<f64>().is_ok() || cell.contains("-nan"), "{line:?}");
        assert!(["us", "ms", "s ", "m ", "k ", "  ", "%"].contains(&unit) || cell.contains("-nan"), "{line:?}");
        shape += "|";
    }
    shape
}

/// Runs both and compares all that wrk prints; ours may go on below it. Returns both numbers of requests, and in how
/// many seconds.
fn assert_same_layout(server: &Server, arguments: &[&str]) -> [(u64, f64); 2] {
    let url = server.url();
    let arguments = [arguments, &[&url]].concat();
    let (ours, wrks) = (run(&arguments), run_wrk(&arguments));
    assert_eq!((ours.code, ours.stderr.as_str()), (wrks.code, wrks.stderr.as_str()));
    let shapes = |text: &str| text.lines().map(shape).collect::<Vec<_>>();
    let (our_shapes, wrk_shapes) = (shapes(&ours.stdout), shapes(&wrks.stdout));
    assert_eq!(our_shapes[..wrk_shapes.len()], wrk_shapes, "{}\n{}", ours.stdout, wrks.stdout);
    // The first two lines hold no measured figure.
    assert!(ours.stdout.lines().take(3).eq(wrks.stdout.lines().take(3)), "{}\n{}", ours.stdout, wrks.stdout);
    let widths = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).map(str::len);
    for name in ["Requests/sec:", "Transfer/sec:"] {
        assert_eq!(widths(&ours.stdout, name), widths(&wrks.stdout, name));
    }
    [requests(&ours.stdout), requests(&wrks.stdout)]
}

fn requests(report: &str) -> (u64, f64) {
    let line = report.lines().find(|line| line.contains(" requests in ")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let runtime = words[3].trim_end_matches(',');
    let seconds = match runtime.strip_suffix("ms") {
        Some(digits) => digits.parse::<f64>().unwrap() / 1000.0,
        None => runtime.strip_suffix('s').unwrap().parse().unwrap(),
    };
    (words[0].parse().unwrap(), seconds)
}

#[test]
fn a_fast_server() {
    let [(ours, _), (wrks, _)] = assert_same_layout(&Server::answering(OK), &["-t2", "-c4", "-d1", "--latency"]);
    assert!(ours > 100 && wrks > 100);
}

#[test]
fn a_server_that_takes_its_time() {
    let server = Server::delaying(Duration::from_millis(20));
    let figures = assert_same_layout(&server, &["-t2", "-c6", "-d1"]);
    for (requests, seconds) in figures {
        // Six connections, at most fifty answers a second each; the report rounds the time to hundredths.
        assert!(requests >= 6 && requests as f64 <= 300.0 * (seconds + 0.01), "{figures:?}");
    }
}

#[test]
fn stalls_of_seconds_and_timeouts() {
    let server = Server::start(|peer| {
        if peer.earlier == 3 {
            thread::sleep(Duration::from_millis(1500));
        }
        peer.send(OK);
        Then::Stay
    });
    assert_same_layout(&server, &["-t1", "-c2", "-d3", "--latency"]);
    assert_same_layout(&server, &["-t1", "-c2", "-d3", "--timeout", "1s"]);
}

#[test]
fn bad_statuses() {
    let server = Server::answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_same_layout(&server, &["-t1", "-c2", "-d1"]);
}

#[test]
fn nothing_ever_answered() {
    let server = Server::start(|peer| {
        peer.wait_for_close();
        Then::Close
    });
    let [(ours, _), (wrks, _)] = assert_same_layout(&server, &["-t2", "-c2", "-d1", "--latency"]);
    assert_eq!((ours, wrks), (0, 0));
}

#[test]
fn connections_that_break() {
    let server = Server::start(|peer| {
        peer.send(OK);
        if peer.earlier == 9 { Then::Close } else { Then::Stay }
    });
    assert_same_layout(&server, &["-t1", "-c2", "-d1"]);
}

#[test]
fn shapes_hide_figures_and_nothing_else() {
    assert_eq!(shape("Requests/sec: 112442.32"), shape("Requests/sec:     12.50"));
    assert_ne!(shape("  Socket errors: connect 0, read 0"), shape("  Socket errors: connect 0, write 0"));
    assert_eq!(
        shape("    Latency   586.08us    1.21ms   9.47ms   88.63%"),
        shape("    Latency    50.55ms    1.05s    2.50s     -nan%")
    );
}
