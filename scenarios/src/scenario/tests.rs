//! Tests of the format.

use super::*;

const GOOD: &str = r#"
    name = "t"
    title = "T"
    source = "a test"
    analysis = "none"
    [store]
    delays = { get = "20ms", set = "200ms" }
    [load]
    model = "closed"
    connections = 2000
    duration = "10s"
    timeout = "30s"
    [server]
    pool = 16
    [run]
    trials = 3
    [[request]]
    name = "cache_hit"
    method = "GET"
    path = "/myapp/{mode}/cache_hit"
    modes = ["sync", "async"]
    status = 200
    body = '{"status": "ok"}'
    store = { get = 1 }
"#;

fn load(text: &str) -> Result<Scenario> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    Scenario::load(file.path())
}

#[test]
fn a_scenario_knows_its_targets_its_delays_and_its_warm_up() {
    let scenario = load(GOOD).unwrap();
    assert_eq!(scenario.requests[0].target(Mode::Sync), "/myapp/sync/cache_hit");
    assert_eq!(scenario.delay_of(&scenario.requests[0]), Duration::from_millis(20));
    assert_eq!(scenario.warmup(), Duration::from_secs(1), "five delays of 200 ms");
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_key() {
    let error = format!("{:#}", load(&GOOD.replace("connections", "conections")).unwrap_err());
    assert!(error.contains("conections") && error.contains("line 10"), "{error}");
}

#[test]
fn a_malformed_duration_is_refused_with_its_line() {
    let error = format!("{:#}", load(&GOOD.replace("\"10s\"", "\"ten\"")).unwrap_err());
    assert!(error.contains("`ten` is not a duration") && error.contains("line 11"), "{error}");
}

#[test]
fn a_warm_up_shorter_than_five_delays_is_refused() {
    let error = format!("{:#}", load(&GOOD.replace("timeout =", "warmup = \"500ms\"\ntimeout =")).unwrap_err());
    assert!(error.contains("write at least 1s"), "{error}");
}

#[test]
fn what_would_only_fail_later_is_refused_with_its_key() {
    let cases = [
        ("connections = 2000", "connections = 0", "load.connections must be between"),
        ("connections = 2000", "connections = 2000\nthreads = 0", "load.threads must be between"),
        ("pool = 16", "pool = 16\nworkers = 0", "server.workers must be between"),
        ("\"30s\"", "\"0s\"", "load.timeout must be between"),
        ("status = 200", "status = 20", "no HTTP status"),
        ("set = \"200ms\"", "sett = \"200ms\"", "`sett` must be one of get, set"),
        ("[\"sync\", \"async\"]", "[\"sync\", \"sync\"]", "named twice"),
        ("{ get = 1 }", "{ get = 1, incr = 1 }", "different delays"),
    ];
    for (good, bad, words) in cases {
        let error = format!("{:#}", load(&GOOD.replace(good, bad)).unwrap_err());
        assert!(error.contains(words), "`{words}` is not in `{error}`");
    }
}

/// The scenario as an open loop.
fn open(rest: &str) -> Result<Scenario> {
    load(&GOOD.replace("model = \"closed\"", "model = \"open\"").replace("[server]", &format!("{rest}\n[server]")))
}

#[test]
fn an_open_loop_offers_a_rate_or_one_at_each_step() {
    let scenario = open("rate = 500").unwrap();
    assert_eq!((scenario.load.rate, scenario.load.arrival), (Some(Rate::PerSecond(500.0)), Arrival::Poisson));
    let steps = open("arrival = \"constant\"\n[steps]\nrate = [\"max\", 500, \"25%\"]").unwrap().at_steps();
    let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(titles, ["as fast as answers come", "500/s", "25 % of its maximum"]);
    assert_eq!(steps[2].scenario.load.rate, Some(Rate::Share(0.25)));
}

#[test]
fn rates_that_contradict_the_loop_or_each_other_are_refused() {
    let closed = load(&GOOD.replace("timeout =", "rate = 5\ntimeout ="));
    for (scenario, words) in [
        (closed, "load.rate: a closed loop has none"),
        (open(""), "load.rate: an open loop needs one"),
        (open("rate = \"50%\""), "put \"max\" into [steps] rate"),
        (open("[steps]\nrate = [100, \"50%\"]"), "put \"max\" into [steps] rate"),
        (open("rate = 0"), "from 1 to"),
    ] {
        let error = format!("{:#}", scenario.unwrap_err());
        assert!(error.contains(words), "`{words}` is not in `{error}`");
    }
}

#[test]
fn mixed_delays_on_one_connection_are_refused() {
    let error = format!("{:#}", load(&GOOD.replace("{ get = 1 }", "{ get = 1, set = 1 }")).unwrap_err());
    assert!(error.contains("different delays"), "{error}");
}

/// The scenario with steps over delay and pool.
fn stepped() -> Scenario {
    let steps = "[steps]\ndelays = [{ get = \"1ms\" }, { get = \"400ms\" }]\npool = [16, 64]\n[server]";
    load(&GOOD.replace("[server]", steps)).unwrap()
}

#[test]
fn every_combination_is_a_step_and_the_first_list_changes_slowest() {
    let steps = stepped().at_steps();
    let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(
        titles,
        ["GET after 1ms, pool 16", "GET after 1ms, pool 64", "GET after 400ms, pool 16", "GET after 400ms, pool 64"]
    );
    let numbers: Vec<Option<u32>> = steps.iter().map(|step| step.number).collect();
    assert_eq!(numbers, [Some(0), Some(1), Some(2), Some(3)]);
    let last = &steps[3].scenario;
    assert_eq!((last.server.pool, last.delay_of(&last.requests[0])), (64, Duration::from_millis(400)));
    assert_eq!(last.warmup(), Duration::from_secs(2), "five delays of the step");
}

#[test]
fn a_scenario_without_steps_is_one_without_a_number() {
    let steps = load(GOOD).unwrap().at_steps();
    assert_eq!((steps.len(), steps[0].number, steps[0].title.as_str()), (1, None, ""));
}

#[test]
fn what_a_step_sets_is_checked_as_if_the_scenario_said_it() {
    for (steps, words) in [
        ("pool = [16, 0]", "in step 1 (pool 0): server.pool must be between"),
        ("delays = [{ sett = \"1ms\" }]", "`sett` must be one of get, set"),
        ("polo = [16]", "polo"),
        ("workers = [1, 0]", "in step 1 (0 workers): server.workers must be between"),
    ] {
        let error =
            format!("{:#}", load(&GOOD.replace("[server]", &format!("[steps]\n{steps}\n[server]"))).unwrap_err());
        assert!(error.contains(words), "`{words}` is not in `{error}`");
    }
    let many = vec!["16"; 65].join(", ");
    let error = load(&GOOD.replace("[server]", &format!("[steps]\npool = [{many}]\n[server]"))).unwrap_err();
    assert!(format!("{error:#}").contains("at most 64"), "{error:#}");
}

/// The scenario with steps over workers, on a machine of two CPUs.
fn on_two_cpus(workers: &str) -> Result<Scenario> {
    let mut scenario = load(&GOOD.replace("[server]", &format!("[steps]\nworkers = {workers}\n[server]"))).unwrap();
    scenario.steps.fit(2)?;
    Ok(scenario)
}

#[test]
fn a_step_over_workers_gives_each_a_cpu_and_what_does_not_fit_is_left_out() {
    let scenario = on_two_cpus("[1, 2, 4, 8]").unwrap();
    let steps = scenario.at_steps();
    let seen: Vec<_> =
        steps.iter().map(|s| (s.title.as_str(), s.scenario.server.workers, s.scenario.server.cpus)).collect();
    assert_eq!(seen, [("1 worker", Some(1), Some(1)), ("2 workers", Some(2), Some(2))]);
    assert_eq!(scenario.steps.workers_left_out, [4, 8]);
}

#[test]
fn steps_over_workers_of_which_none_fits_are_refused_with_the_remedy() {
    let error = on_two_cpus("[8, 4]").unwrap_err().to_string();
    for words in ["steps.workers: 4 or more", "2 CPUs", "--workers"] {
        assert!(error.contains(words), "`{words}` is not in `{error}`");
    }
}

/// The scenario at a rate, with a fault.
fn faulty(fault: &str) -> Result<Scenario> {
    open(&format!("rate = 500\n[[steps.fault]]\n{fault}"))
}

#[test]
fn a_fault_lengthens_its_window_by_the_time_it_lasts() {
    let two = "what = \"nothing\"\n[[steps.fault]]\nwhat = { store-slower = \"1ms\" }\nat = \"3s\"\nlasting = \"2s\"";
    let steps = faulty(two).unwrap().at_steps();
    let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(titles, ["no fault", "store slower by 1ms for 2s"]);
    let [calm, slow] = [0, 1].map(|step: usize| steps[step].scenario.load.duration);
    assert_eq!(slow, calm + Duration::from_secs(2));
}

#[test]
fn an_overload_needs_more_connections_and_a_maximum_to_be_a_share_of() {
    let overload = "what = { overload = \"150%\" }\nat = \"3s\"\nlasting = \"2s\"";
    let steps = faulty(&format!("what = \"maximum\"\n[[steps.fault]]\n{overload}")).unwrap().at_steps();
    assert_eq!(steps[0].scenario.load.rate, Some(Rate::Max));
    assert_eq!([0, 1].map(|step: usize| steps[step].scenario.connections()), [2000, 4000]);
    let error = format!("{:#}", faulty(overload).unwrap_err());
    assert!(error.contains("put a fault before it with what = \"maximum\""), "{error}");
}

#[test]
fn faults_that_contradict_themselves_are_refused() {
    for (fault, words) in [
        ("what = \"store-paused\"\nat = \"3s\"", "how long is it?"),
        ("what = \"store-paused\"\nlasting = \"1s\"", "must leave time before it"),
        ("what = \"store-paused\"\nat = \"11s\"\nlasting = \"1s\"", "within load.duration (10s)"),
        ("what = \"store-connections-killed\"\nat = \"1s\"\nlasting = \"1s\"", "takes no time; leave `lasting` out"),
        ("what = \"nothing\"\nat = \"1s\"", "does not begin; leave `at` out"),
        ("what = { store-errors = \"101%\" }\nat = \"1s\"\nlasting = \"1s\"", "at most 100 %"),
        ("what = { store-errors = \"much\" }\nat = \"1s\"\nlasting = \"1s\"", "`much` is no share"),
        ("what = { slow-readers = 0 }\nat = \"1s\"\nlasting = \"1s\"", "slow-readers must be between 1 and"),
        ("what = \"store-on-fire\"\nat = \"1s\"", "store-paused"),
    ] {
        let error = format!("{:#}", faulty(fault).unwrap_err());
        assert!(error.contains(words), "`{words}` is not in `{error}`");
    }
    let closed = load(&GOOD.replace("[server]", "[[steps.fault]]\nwhat = \"nothing\"\n[server]"));
    assert!(format!("{:#}", closed.unwrap_err()).contains("give [load] a rate"));
}

#[test]
fn a_step_that_stands_there_twice_is_refused() {
    for (steps, words) in [
        ("[steps]\nrate = [100, 200, 100]", "steps.rate: entry 3 stands there before"),
        ("rate = 5\n[steps]\nconnections = [8, 8]", "steps.connections: entry 2 stands there before"),
    ] {
        let error = format!("{:#}", open(steps).unwrap_err());
        assert!(error.contains(words), "`{words}` is not in `{error}`");
    }
}
