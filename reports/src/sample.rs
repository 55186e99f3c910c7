//! Hand-written runs for the tests of this crate. The figures are invented.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::{
    card::Card,
    latency::Observed,
    row::{Cost, Latency, Mode, Placement, Role, Row, SCHEMA, Verdict},
    run::{
        GitMeta, MachineInfo, PlanMeta, ProfileMeta, RequestMeta, RunMeta, ScenarioMeta, StackMeta, StepMeta,
        StoreCeiling, StoreKind, StoreMeta,
    },
};

/// A run on two CPUs, over the embedded store, of one scenario.
pub fn meta() -> RunMeta {
    RunMeta {
        schema: SCHEMA.to_owned(),
        command: vec!["stackbench".to_owned(), "run".to_owned(), "cache".to_owned()],
        seed: 42,
        started: "2026-11-21T10:00:00Z".to_owned(),
        ended: Some("2026-11-21T10:20:00Z".to_owned()),
        resumed: Vec::new(),
        directory: None,
        inputs: BTreeMap::new(),
        placement: Placement::Pinned,
        store: StoreMeta {
            name: "embedded".to_owned(),
            kind: StoreKind::Embedded,
            url: None,
            command: vec!["fake-redis".to_owned()],
            config: BTreeMap::new(),
        },
        machine: MachineInfo {
            host: "box".to_owned(),
            cpu_model: "Example CPU".to_owned(),
            cpus: 2,
            physical_cores: 2,
            kernel: "Linux 6.1".to_owned(),
            memory_bytes: 24 << 30,
            governor: None,
            nofile: 1 << 20,
            somaxconn: 4096,
            loadavg: [0.1, 0.2, 0.3],
            ..MachineInfo::default()
        },
        versions: BTreeMap::from([("tokio".to_owned(), "stack-tokio 0.1.0".to_owned())]),
        binaries: BTreeMap::new(),
        environment: BTreeMap::new(),
        git: GitMeta { revision: Some("0123456789abcdef".to_owned()), dirty: Some(false) },
        lock_sha256: None,
        profile: ProfileMeta { name: "release".to_owned(), settings: "opt-level 3, lto thin".to_owned() },
        allocator: "mimalloc".to_owned(),
        scenarios: vec![scenario()],
        stacks: vec![stack("tokio"), stack("thread-pool")],
        plan: PlanMeta { cells: 4, trials: 12 },
    }
}

fn scenario() -> ScenarioMeta {
    let request = |name: &str, mode| RequestMeta {
        name: name.to_owned(),
        mode,
        method: "GET".to_owned(),
        path: format!("/myapp/async/{name}"),
    };
    ScenarioMeta {
        name: "cache".to_owned(),
        title: "A cache that takes its time".to_owned(),
        source: "a test".to_owned(),
        analysis: "Shows how waiting is done.".to_owned(),
        requests: vec![request("cache_hit", Mode::Async), request("cache_set", Mode::Async)],
        delays: BTreeMap::from([("get".to_owned(), "20ms".to_owned()), ("set".to_owned(), "200ms".to_owned())]),
        steps: Vec::new(),
        workers_left_out: Vec::new(),
        connections: 2000,
        duration_s: 4.0,
        warmup_s: 1.0,
        trials: 3,
        pool: 2000,
        workers: 1,
        store_ceiling: BTreeMap::from([(
            "set".to_owned(),
            StoreCeiling { multiplexed_per_sec: 321_000.0, plain_per_sec: 45_600.0 },
        )]),
    }
}

/// A step that sets nothing.
pub fn step(title: &str) -> StepMeta {
    StepMeta {
        title: title.to_owned(),
        delays: BTreeMap::new(),
        rate: None,
        connections: 2000,
        pool: 2000,
        workers: None,
        warmup_s: 1.0,
    }
}

fn stack(name: &str) -> StackMeta {
    StackMeta {
        name: name.to_owned(),
        role: Role::Stack,
        panel: "deployed".to_owned(),
        model: "a model".to_owned(),
        http: "hyper".to_owned(),
        redis: "redis".to_owned(),
        modes: vec![Mode::Sync, Mode::Async],
        bridged: vec![Mode::Sync],
        version: format!("stack-{name} 0.1.0"),
        settings: BTreeMap::new(),
        notes: String::new(),
        card: Some(Card { threads: "as many as --workers".to_owned(), ..Card::default() }),
    }
}

/// Latencies of answers and ages of requests without one, in microseconds, each so many times.
pub fn latencies(answered: &[(u64, u64)], unanswered: &[(u64, u64)]) -> Observed {
    let histogram = |values: &[(u64, u64)]| {
        let mut histogram = Histogram::new(3).unwrap();
        for (value, count) in values {
            histogram.record_n(*value, *count).unwrap();
        }
        histogram
    };
    Observed::new(histogram(answered), histogram(unanswered), 0)
}

/// A good row of `cache_set`, async, first trial.
pub fn row(stack: &str) -> Row {
    let cost = |us: f64| Cost {
        cpu_us_per_request: us,
        cpu_s: us * 40_000.0 / 1e6,
        cpu_user_s: 0.5,
        cpu_sys_s: 0.7,
        rss_peak_bytes: 12 << 20,
        pss_bytes: Some(11 << 20),
        threads: 3,
        context_switches_per_request: 0.2,
    };
    Row {
        scenario: "cache".to_owned(),
        stack: stack.to_owned(),
        twin: None,
        role: Role::Stack,
        request: "cache_set".to_owned(),
        mode: Mode::Async,
        step: None,
        trial: 1,
        repeated: false,
        placement: Placement::Pinned,
        store_name: "embedded".to_owned(),
        verdict: Verdict::Ok,
        reason: String::new(),
        error: None,
        requests: 40_000,
        requests_total: 50_000,
        in_flight_at_end: 2000,
        requests_per_sec: 10_000.0,
        ceiling_per_sec: Some(10_010.0),
        ceiling_source: Some("2000 connections / 199.8 ms".to_owned()),
        fault: None,
        offered: None,
        occupancy: 1.0,
        latency_us: Latency {
            min: 200_000,
            mean: 200_100.0,
            p50: 200_100,
            p90: 200_300,
            p99: 201_000,
            p999: 202_000,
            max: 203_000,
        },
        errors: BTreeMap::new(),
        server: cost(30.0),
        store: cost(5.0),
        client: cost(7.0),
        box_us_per_request: 43.0,
        cold_start_ms: Some(8.5),
        idle_connection_bytes: Some(2560.0),
        store_commands: BTreeMap::from([("set".to_owned(), 51_000)]),
        never_answered: 0,
        workers: 1,
        pool: 2000,
        connections: 2000,
        yardstick_ms: None,
        warmup_s: Some(1.0),
        window_s: 4.0,
        started: "2026-11-21T10:00:01Z".to_owned(),
        cpus: BTreeMap::from([
            ("server".to_owned(), vec![1]),
            ("store".to_owned(), vec![0]),
            ("client".to_owned(), vec![0]),
        ]),
        commands: BTreeMap::new(),
        server_sha256: None,
        raw: None,
        wrk: None,
    }
}
