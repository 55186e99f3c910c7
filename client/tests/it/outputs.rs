//! Files beside the result file, and conditions on the result.

use ::stackload::result::LoadResult;

use crate::server::{OK, Server};
use crate::stackload::{read_result, run};

#[test]
fn all_files_of_a_run_tell_the_same() {
    let server = Server::answering(OK);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [json, csv, hgrm, ndjson] = ["a.json", "a.csv", "a.hgrm", "a.ndjson"].map(path);
    let files = ["--json", &json, "--csv", &csv, "--hgrm", &hgrm, "--ndjson", &ndjson];
    let done = run(&[&files[..], &["-t1", "-c2", "-d1200ms", &server.url()]].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let result: LoadResult = read_result(json.as_ref());
    let read = |path: &str| std::fs::read_to_string(path).unwrap();

    let table = read(&csv);
    let [names, values] = [0, 1].map(|row| table.lines().nth(row).unwrap().split(',').collect::<Vec<_>>());
    assert_eq!((names.len(), table.lines().count()), (values.len(), 2));
    let column = |name: &str| values[names.iter().position(|known| *known == name).unwrap()];
    assert_eq!(column("requests"), result.requests.to_string());
    assert_eq!(column("p99_us"), result.latency_us.p99.to_string());
    assert_eq!(column("latency"), "raw");

    let seconds: Vec<serde_json::Value> =
        read(&ndjson).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(seconds.len(), result.per_second.len());
    assert_eq!(seconds.iter().map(|second| second["requests"].as_u64().unwrap()).sum::<u64>(), result.requests);

    let spectrum = read(&hgrm);
    assert!(spectrum.starts_with("       Value   Percentile   TotalCount 1/(1-Percentile)\n\n"), "{spectrum}");
    assert!(spectrum.contains(&format!("Total count    = {:>12}]", result.requests)), "{spectrum}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "drafts are gone");
}

#[test]
fn a_condition_that_holds_is_named_and_fails_the_run_with_its_files_kept() {
    let server = Server::answering(OK);
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("a.json");
    let flags = ["-t1", "-c2", "-d200ms", "--json", json.to_str().unwrap(), "--fail-if"];
    let failed = run(&[&flags[..], &["p50>=0us,rate<1k,errors>0", &server.url()]].concat());
    assert_eq!(failed.code, Some(3));
    let is_named = failed.stdout.lines().any(|line| line.starts_with("Failed: p50>=0us: it is "));
    assert!(is_named && !failed.stdout.contains("Failed: errors"), "{}", failed.stdout);
    assert!(read_result(&json).requests > 0);
    let passed = run(&[&flags[..], &["p99>1m,errors>0%,unanswered>100", &server.url()]].concat());
    assert_eq!(passed.code, Some(0), "{}", passed.stdout);
}

#[test]
fn requests_without_an_answer_break_a_limit_of_latency() {
    let server = Server::start(|peer| {
        peer.wait_for_close();
        crate::server::Then::Close
    });
    let failed = run(&["-t1", "-c2", "-d300ms", "--fail-if", "p50>10s", &server.url()]);
    assert_eq!(failed.code, Some(3), "{}", failed.stdout);
    assert!(failed.stdout.contains("Failed: p50>10s: it is at least "), "{}", failed.stdout);
    assert!(failed.stdout.contains("With the requests that were never answered: p50 \u{2265} "), "{}", failed.stdout);
}

#[test]
fn percentiles_may_be_chosen() {
    let server = Server::answering(OK);
    let done = run(&["-t1", "-c1", "-d100ms", "--percentiles", "5,99.9", &server.url()]);
    let shown: Vec<&str> = done.stdout.lines().filter(|line| line.len() == 18 && line[..8].ends_with('%')).collect();
    assert!(
        shown.len() == 2 && shown[0].starts_with("      5%") && shown[1].starts_with("   99.9%"),
        "{}",
        done.stdout
    );
}

#[test]
fn a_spectrum_is_wrk2s_in_the_open_loop() {
    let server = Server::answering(OK);
    let done = run(&["-t1", "-c2", "-d300ms", "-R200", "-U", &server.url()]);
    let titles: Vec<&str> = done.stdout.lines().filter(|line| line.contains("HdrHistogram")).collect();
    let expected = [
        "  Latency Distribution (HdrHistogram - Recorded Latency)",
        "  Latency Distribution (HdrHistogram - Uncorrected Latency (measured without taking delayed starts into account))",
    ];
    assert_eq!(titles, expected, "{}", done.stdout);
    assert_eq!(done.stdout.lines().filter(|line| *line == "-".repeat(58)).count(), 2);
}

#[test]
fn wrks_correction_fills_in_what_a_stall_kept_from_being_sent() {
    let server = Server::start(|peer| {
        if peer.earlier == 20 {
            std::thread::sleep(std::time::Duration::from_millis(400));
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
        peer.send(OK);
        crate::server::Then::Stay
    });
    let flags = ["-t1", "-c1", "-d1", "--percentiles", "90"];
    let p90 = |more: &[&str]| {
        let done = run(&[&flags[..], more, &[&server.url()]].concat());
        let line = done.stdout.lines().find(|line| line.starts_with("     90%")).unwrap().to_owned();
        assert_eq!(done.stdout.contains("back-filled"), !more.is_empty());
        let value = line[8..].trim();
        value.strip_suffix("ms").map_or(0.0, |digits| digits.parse::<f64>().unwrap())
    };
    let (raw, filled) = (p90(&[]), p90(&["--wrk-correction"]));
    assert!(filled > 100.0 && raw < filled / 2.0, "{raw} and {filled}");
}
