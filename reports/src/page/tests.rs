use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde_json::Value;

use super::*;
use crate::{
    latency::Observed,
    row::{FaultEffect, Latency, Mode, Offered, Role, Row, Verdict},
    run::StepMeta,
    sample,
    seconds::{OneSecond, TrialSeconds},
};

mod browser;

use browser::{Opened, Scheme};

/// A run with what stands in its result files.
struct Whole {
    run: Run,
    seconds: Seconds,
}

impl Whole {
    fn of(mut rows: Vec<Row>) -> Self {
        let (mut latencies, mut seconds) = (BTreeMap::new(), Seconds::default());
        for (index, row) in rows.iter_mut().enumerate() {
            let raw = format!("raw/{index}.json");
            latencies.insert(raw.clone(), distribution(100 + index as u64 % 50));
            let one = |second: u64| OneSecond {
                answers: 9_000 + second,
                errors: 0,
                p50_us: Some(200),
                p99_us: Some(900 + 10 * second),
            };
            let trial = TrialSeconds { latency_from: "sent", seconds: (1..=4).map(one).collect() };
            seconds.insert(&raw, trial);
            row.raw = Some(raw);
        }
        Self { run: Run { meta: sample::meta(), rows, latencies, warnings: Vec::new() }, seconds }
    }

    fn page(&self) -> String {
        draw(&self.run, &self.seconds)
    }
}

fn distribution(least_us: u64) -> Observed {
    let mut answered = Histogram::new(3).unwrap();
    (0..2_000).for_each(|n| answered.record(least_us + n).unwrap());
    Observed::new(answered, Histogram::new(3).unwrap(), 0)
}

/// Three blocks of three stacks, one of which was limited by its peers, and the ceiling; two requests.
fn plain() -> Whole {
    let mut rows = Vec::new();
    for (trial, request) in (1..=3).flat_map(|trial| [(trial, "cache_hit"), (trial, "cache_set")]) {
        let row = |stack: &str, us: f64| {
            let mut row = Row { trial, request: request.to_owned(), ..sample::row(stack) };
            row.requests_per_sec = 300_000.0 / us + f64::from(trial);
            row.server.cpu_us_per_request = us + f64::from(trial);
            row
        };
        let limited = Row {
            verdict: Verdict::PeerLimitedBoth,
            reason: "the CPUs of client and store were 97 % busy".to_owned(),
            ..row("may", 12.0)
        };
        rows.extend([row("tokio", 30.0), row("thread-pool", 60.0), limited]);
        rows.push(Row { role: Role::Ceiling, ..row("null", 9.0) });
    }
    Whole::of(rows)
}

/// Two stacks at three offered rates, the last of which one of them did not carry.
fn offered() -> Whole {
    let mut rows = Vec::new();
    for (step, per_sec) in (0..).zip([5_000.0, 10_000.0, 20_000.0]) {
        for (stack, most) in [("tokio", 50_000.0), ("thread-pool", 15_000.0)] {
            let offered = Offered {
                per_sec,
                due: (per_sec * 4.0) as u64,
                unsent: 0,
                is_carried: Some(per_sec <= most),
                latency_us: Latency::default(),
                lag_us_p50: 10,
                lag_us_p99: 80,
            };
            let requests_per_sec = per_sec.min(most);
            rows.push(Row { step: Some(step), offered: Some(offered), requests_per_sec, ..sample::row(stack) });
        }
    }
    let mut whole = Whole::of(rows);
    whole.run.meta.scenarios[0].steps = ["5000/s", "10000/s", "20000/s"].map(sample::step).to_vec();
    whole
}

/// Two stacks at three steps, which differ in what `change` makes of them.
fn stepped(change: impl Fn(u32, &mut Row, &mut StepMeta)) -> Whole {
    let (mut rows, mut steps) = (Vec::new(), Vec::new());
    for number in 0..3 {
        let mut step = sample::step(&format!("step {number}"));
        for stack in ["tokio", "thread-pool"] {
            let mut row = Row { step: Some(number), ..sample::row(stack) };
            change(number, &mut row, &mut step);
            rows.push(row);
        }
        steps.push(step);
    }
    let mut whole = Whole::of(rows);
    whole.run.meta.scenarios[0].steps = steps;
    whole
}

/// Two stacks under a fault that one of them did not recover from.
fn faulty() -> Whole {
    let row = |stack: &str, recovered_s| {
        let fault = FaultEffect {
            from_s: 1.0,
            to_s: 2.0,
            lost: 0,
            unavailable: 7,
            unexpected: 0,
            p99_us_before: Some(900),
            p99_us_during: Some(90_000),
            recovered_s,
            watched_s: 2.0,
            beside: None,
        };
        Row { step: Some(0), fault: Some(fault), ..sample::row(stack) }
    };
    let mut whole = Whole::of(vec![row("tokio", Some(0.3)), row("thread-pool", None)]);
    let second = |answers, p99_us| OneSecond { answers, errors: 0, p50_us: p99_us, p99_us };
    let seconds =
        vec![second(9_000, Some(900)), second(0, None), second(18_000, Some(90_000)), second(9_000, Some(900))];
    whole.seconds.insert("raw/0.json", TrialSeconds { latency_from: "due", seconds });
    whole.run.meta.scenarios[0].steps = vec![sample::step("the store is killed")];
    whole
}

/// How many marks of a kind a figure of a group has.
fn marks(page: &Opened, kind: &str, selector: &str) -> usize {
    page.value(&format!(
        "document.querySelector('[data-group]').querySelectorAll('figure[data-kind={kind}] > div {selector}').length"
    ))
}

/// The stacks of the lines that are shown, from above.
fn shown(page: &Opened) -> Vec<String> {
    page.value("[...document.querySelectorAll('#summary tbody tr:not([hidden])')].map((row) => row.dataset.stack)")
}

#[test]
fn each_figure_of_a_scenario_without_steps_has_a_mark_for_each_stack() {
    let page = Opened::new(&plain().page(), 1600, Scheme::Light);
    page.draw_all();
    assert_eq!(page.value::<usize>("document.querySelectorAll('[data-group]').length"), 2, "one for each request");
    for kind in ["rate", "cost"] {
        assert_eq!(marks(&page, kind, "g[aria-label=bar] rect"), 4, "{kind}");
        assert_eq!(marks(&page, kind, "g[aria-label=rule] line"), 4, "{kind}");
    }
    assert_eq!(marks(&page, "cost-throughput", "g[aria-label=dot] :is(circle, path)"), 4);
    assert_eq!(marks(&page, "percentiles", "g[aria-label=line] path"), 4);
    assert_eq!(marks(&page, "seconds-rate", "g[aria-label=line] path"), 4);
    assert_eq!(marks(&page, "seconds-p99", "g[aria-label=dot] :is(circle, path)"), 16);
    assert_eq!(marks(&page, "memory", "g[aria-label=bar] rect"), 3, "a ceiling's memory compares with nothing");
    assert_eq!(page.heard(), [""; 0]);
    page.picture("plain-1600-light");
}

#[test]
fn a_mark_that_must_not_be_trusted_says_so_and_leads_to_its_line() {
    let page = Opened::new(&plain().page(), 1600, Scheme::Light);
    page.draw_all();
    let words: Vec<String> = page.value(
        "[...document.querySelector('figure[data-kind=rate]').querySelectorAll('g[aria-label=text] text')].map((t) => t.textContent)",
    );
    assert_eq!(words.iter().filter(|words| words.contains("(peer-limited(both))")).count(), 1, "{words:?}");
    let target: String = page.value(
        "[...document.querySelectorAll('figure[data-kind=cost] g[aria-label=bar] a')].map((a) => a.getAttribute('href') ?? a.href.baseVal)[0]",
    );
    page.run(&format!("location.hash = '{target}'; openTarget()"));
    let is_open: bool = page.value(&format!("document.querySelector('{target} details').open"));
    assert!(is_open, "{target}");
    let link: String = page.value(&format!("document.querySelector('{target} li a').getAttribute('href')"));
    assert!(link.starts_with("./raw/"), "{link}");
    let doubted: String =
        page.value("document.querySelector('tr[data-stack=may] td:nth-of-type(8)').textContent.trim()");
    assert!(doubted.starts_with('(') && doubted.contains(')'), "{doubted}");
}

#[test]
fn curves_have_a_point_for_each_step_and_mark_what_was_not_carried() {
    let page = Opened::new(&offered().page(), 1600, Scheme::Light);
    page.draw_all();
    for kind in ["load-p99", "load-cost", "load-carried"] {
        assert_eq!(marks(&page, kind, "g[aria-label=line] path"), 2, "{kind}");
        assert_eq!(marks(&page, kind, "g[aria-label=dot] :is(circle, path)"), 6, "{kind}");
    }
    assert_eq!(marks(&page, "load-p99", "g[aria-label=dot] :is(circle, path)[fill-opacity=\"0\"]"), 1);
    page.run("const step = document.querySelector('[data-group] select'); step.value = '2'; step.dispatchEvent(new Event('change'))");
    page.draw_all();
    let rates: Vec<String> = page.value(
        "[...document.querySelectorAll('figure[data-kind=rate] g[aria-label=text] text')].map((t) => t.textContent.split(' ')[0])",
    );
    assert_eq!(rates, ["15,000", "20,000"]);
    assert_eq!(page.heard(), [""; 0]);
    page.picture("offered-1600-light");
}

#[test]
fn scenarios_whose_steps_differ_in_other_things_have_curves_over_these() {
    let connections = stepped(|number, row, step| {
        row.connections = 10_u32.pow(number);
        step.connections = row.connections;
    });
    let workers = stepped(|number, row, step| {
        row.workers = 1 + number;
        step.workers = Some(row.workers);
    });
    let delays = stepped(|number, _, step| _ = step.delays.insert("get".to_owned(), format!("{number}ms")));
    let counts = ["count-rate", "count-cost", "count-memory"];
    let drawn: [(Whole, &[&str]); 3] =
        [(connections, &counts), (workers, &counts), (delays, &["step-rate", "step-cost"])];
    for (whole, kinds) in drawn {
        let page = Opened::new(&whole.page(), 1600, Scheme::Light);
        page.draw_all();
        for kind in kinds {
            assert_eq!(marks(&page, kind, "g[aria-label=line] path"), 2, "{kind}");
            assert_eq!(marks(&page, kind, "g[aria-label=dot] :is(circle, path)"), 6, "{kind}");
        }
        assert_eq!(page.heard(), [""; 0]);
    }
}

#[test]
fn faults_have_their_recoveries_and_are_shaded_in_time() {
    let page = Opened::new(&faulty().page(), 1600, Scheme::Dark);
    page.draw_all();
    assert_eq!(marks(&page, "recovery", "g[aria-label=bar] rect"), 2);
    let words: Vec<String> = page.value(
        "[...document.querySelectorAll('figure[data-kind=recovery] g[aria-label=text] text')].map((t) => t.textContent)",
    );
    assert_eq!(words, ["0.3 s", "> 2 s"]);
    assert_eq!(marks(&page, "seconds-p99", "g[aria-label=rect] rect"), 1);
    let dots = "g[aria-label=dot] :is(circle, path)";
    assert_eq!(marks(&page, "seconds-rate", dots), 8, "a second without answers is one of none");
    assert_eq!(marks(&page, "seconds-p99", dots), 7, "and has no latency");
    let lines: Vec<String> = page.value(
        "[...document.querySelectorAll('figure[data-kind=seconds-p99] > div g[aria-label=line] path')].map((p) => p.getAttribute('d'))",
    );
    assert_eq!(lines.iter().filter(|line| line.matches('M').count() == 2).count(), 1, "its line is broken: {lines:?}");
    assert_eq!(page.heard(), [""; 0]);
    page.picture("faulty-1600-dark");
}

#[test]
fn headings_sort_by_number_up_and_down_with_the_keyboard_too() {
    let page = Opened::new(&plain().page(), 1600, Scheme::Light);
    let cost = "document.querySelectorAll('#summary thead th')[12]";
    page.run(&format!("{cost}.querySelector('button').click()"));
    assert_eq!(page.value::<String>(&format!("{cost}.getAttribute('aria-sort')")), "ascending");
    assert_eq!(shown(&page)[..4], ["null", "null", "may", "may"]);
    page.run(&format!("{cost}.querySelector('button').focus()"));
    page.press("Enter");
    assert_eq!(page.value::<String>(&format!("{cost}.getAttribute('aria-sort')")), "descending");
    assert_eq!(shown(&page)[..2], ["thread-pool", "thread-pool"]);
}

#[test]
fn the_filter_leaves_lines_and_figures_of_what_was_chosen() {
    let page = Opened::new(&plain().page(), 1600, Scheme::Light);
    assert_eq!(shown(&page).len(), 8);
    let choose = |name: &str, value: &str| {
        page.run(&format!(
            "const field = filters.elements['{name}']; field.value = '{value}'; field.dispatchEvent(new Event('input', {{ bubbles: true }}))"
        ));
    };
    choose("request", "cache_hit");
    assert_eq!(shown(&page).len(), 4);
    assert_eq!(page.value::<usize>("document.querySelectorAll('[data-group]').length"), 1);
    choose("stack", "THREAD");
    assert_eq!(shown(&page), ["thread-pool"]);
    assert_eq!(page.value::<String>("filters.elements.shown.value"), "1 of 8 lines");
    page.run("filters.querySelector('button[type=reset]').click()");
    assert_eq!(shown(&page).len(), 8);
}

#[test]
fn a_page_fits_a_telephone_and_a_wide_screen_in_light_and_dark() {
    let html = plain().page();
    let page = Opened::new(&html, 360, Scheme::Light);
    let mut papers: Vec<String> = Vec::new();
    for (width, scheme) in [(360, Scheme::Light), (360, Scheme::Dark), (1600, Scheme::Light), (1600, Scheme::Dark)] {
        page.resize(width);
        page.choose(scheme);
        page.draw_all();
        let wide: u32 = page.value("document.documentElement.scrollWidth");
        assert!(wide <= width, "{wide} pixels in a window of {width}");
        papers.push(page.value("getComputedStyle(document.body).backgroundColor"));
        page.picture(&format!("plain-{width}-{scheme:?}"));
    }
    assert!(papers[0] == papers[2] && papers[1] == papers[3] && papers[0] != papers[1], "{papers:?}");
    assert_eq!(page.heard(), [""; 0]);
}

#[test]
fn a_reader_who_sees_nothing_is_told_what_everything_is() {
    let page = Opened::new(&plain().page(), 1600, Scheme::Light);
    page.draw_all();
    let without = |selector: &str, is_named: &str| -> Vec<String> {
        page.value(&format!(
            "[...document.querySelectorAll('{selector}')].filter((e) => !({is_named})).map((e) => e.outerHTML.slice(0, 120))"
        ))
    };
    let none = [""; 0];
    assert_eq!(without("figure > div > svg", "e.getAttribute('aria-label') && e.getAttribute('role') === 'img'"), none);
    assert_eq!(without("select, input", "e.labels.length > 0"), none);
    assert_eq!(without("thead th", "e.scope === 'col'"), none);
    assert_eq!(without("button, a, summary", "e.textContent.trim() || e.closest('svg')"), none);
    assert_eq!(page.value::<String>("document.documentElement.lang"), "en");
    let order: Vec<String> = page.value("[...document.querySelectorAll('h1,h2,h3,h4')].map((h) => h.tagName)");
    let steps = order.windows(2).filter(|two| two[1].as_bytes()[1] > two[0].as_bytes()[1] + 1).count();
    assert_eq!(steps, 0, "no level of headings is left out: {order:?}");
}

/// What would run, or become an element, if it were taken for markup anywhere.
const HOSTILE: &str =
    "x\"'><img src=x onerror=\"window.pwned=1\"></script></style><script>window.pwned=1</script>`${pwned}`{{7*7}}";

/// Puts hostile text into every text of a document that takes it, one by one, and keeps all that can be read back.
fn poisoned<T: serde::Serialize + serde::de::DeserializeOwned>(document: &T) -> T {
    let mut value = serde_json::to_value(document).unwrap();
    let mut pointers = Vec::new();
    collect(&value, String::new(), &mut pointers);
    let mut taken = 0;
    for pointer in pointers {
        let mut tried = value.clone();
        *tried.pointer_mut(&pointer).unwrap() = Value::from(HOSTILE);
        if serde_json::from_value::<T>(tried.clone()).is_ok() {
            (value, taken) = (tried, taken + 1);
        }
    }
    assert!(taken > 5, "{taken} texts took it");
    serde_json::from_value(value).unwrap()
}

fn collect(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(pointer),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| collect(item, format!("{pointer}/{index}"), found))
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, item)| collect(item, format!("{pointer}/{name}"), found));
        }
        _ => {}
    }
}

#[test]
fn no_text_of_a_run_becomes_markup() {
    for whole in [plain(), offered(), faulty()] {
        let mut whole = whole;
        whole.run.rows = whole.run.rows.iter().map(poisoned).collect();
        whole.run.meta = poisoned(&whole.run.meta);
        whole.run.warnings = vec![HOSTILE.to_owned()];
        let page = Opened::new(&whole.page(), 1600, Scheme::Light);
        page.draw_all();
        page.run("document.querySelectorAll('details').forEach((details) => { details.open = true; })");
        page.run(
            "document.querySelectorAll('a').forEach((a) => { if (/^javascript:/.test(a.protocol)) window.pwned = 2; })",
        );
        assert!(page.value::<bool>("window.pwned === undefined"));
        assert_eq!(
            page.value::<[usize; 3]>(
                "['img', 'script', 'style'].map((name) => document.querySelectorAll(name).length)"
            ),
            [0, 4, 1]
        );
        assert!(page.value::<String>("document.body.textContent").contains("onerror="), "it is shown as text");
        assert_eq!(page.heard(), [""; 0]);
    }
}

#[test]
fn two_thousand_rows_can_still_be_filtered_and_sorted() {
    let rows = (0..2_000).map(|index: u32| {
        let stack = format!("stack-{}", index % 40);
        let mode = if index % 80 < 40 { Mode::Async } else { Mode::Sync };
        Row { mode, step: Some(index / 80), ..sample::row(&stack) }
    });
    let mut whole = Whole::of(rows.collect());
    whole.run.meta.scenarios[0].steps = (0..25).map(|step| sample::step(&format!("step {step}"))).collect();
    let page = Opened::new(&whole.page(), 1600, Scheme::Light);
    assert_eq!(shown(&page).len(), 2_000);
    page.run("filters.elements.mode.value = 'sync'; applyFilter()");
    assert_eq!(shown(&page).len(), 1_000);
    page.run("document.querySelector('#summary thead button').click()");
    assert_eq!(shown(&page)[0], "stack-0");
    assert_eq!(page.heard(), [""; 0]);
}

#[test]
fn a_run_without_rows_has_a_page_that_says_so() {
    let page = Opened::new(&Whole::of(Vec::new()).page(), 360, Scheme::Light);
    assert!(page.value::<String>("document.body.textContent").contains("There are no rows"));
    assert_eq!(page.heard(), [""; 0]);
}

#[test]
fn what_could_not_be_read_is_named_above_the_figures() {
    let mut whole = plain();
    whole.run.warnings = vec!["rows.jsonl:7: column 3: expected value".to_owned()];
    let html = whole.page();
    assert!(html.find("rows.jsonl:7").unwrap() < html.find("id=\"main\"").unwrap());
}
