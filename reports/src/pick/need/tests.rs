use proptest::prelude::*;

use super::*;

fn parsed(list: &str) -> Need {
    Need::parse("--need", list).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(list: &str) -> String {
    Need::parse("--need", list).expect_err(list)
}

#[test]
fn every_field_is_read_in_its_own_unit() {
    let need = parsed(
        "rate>=20k,p50<=500us,p99<20ms,p999<0.1s,cpu<15µs,rss<200MB,idle<=4KiB,errors<0.1%,threads<=8,coldstart<1s",
    );
    let limits: Vec<(String, f64)> = need.limits().map(|limit| (limit.quantity.name(), limit.limit)).collect();
    let expected = [
        ("rate", 20e3),
        ("p50", 500.0),
        ("p99", 20e3),
        ("p99.9", 100e3),
        ("cpu", 15.0),
        ("rss", 200e6),
        ("idle", 4096.0),
        ("errors", 0.1),
        ("threads", 8.0),
        ("coldstart", 1e6),
    ];
    assert_eq!(limits, expected.map(|(name, limit)| (name.to_owned(), limit)));
}

#[test]
fn words_of_the_card_are_read_as_they_are() {
    let need = parsed("upstream = Active|partly, mode=native,model=stackful coroutines");
    assert_eq!(need.to_string(), "upstream=active|partly,mode=native,model=stackful coroutines");
}

#[test]
fn a_limit_is_shown_with_its_unit_apart() {
    let shown: Vec<String> =
        parsed("rate>=20k,p99<20ms,cpu<=15us,rss<200MB,errors<0.1%,threads<8").limits().map(Limit::words).collect();
    assert_eq!(shown, [">= 20,000/s", "< 20 ms", "<= 15 µs", "< 200 MB", "< 0.1%", "< 8"]);
}

#[test]
fn an_unknown_field_is_answered_with_those_there_are() {
    let told = refused("rate>=5k,latency<20ms");
    assert!(told.starts_with("--need 'latency<20ms': there is no field `latency`; there are rate, p50,"), "{told}");
    assert!(told.ends_with("and of the card upstream, mode, panel, model, http, redis"), "{told}");
}

#[test]
fn a_malformed_condition_is_named_with_the_form_that_is_expected() {
    for (list, told) in [
        ("", "--need '': expected a field"),
        ("rate>=5k,", "--need '': expected a field"),
        ("rate", "--need 'rate': expected a field"),
        ("rate>=fast", "--need 'rate>=fast': expected a number of requests per second"),
        ("rate>=5k,p99<20", "--need 'p99<20': expected a time with its unit"),
        ("cpu<", "--need 'cpu<': expected a time with its unit, as 15us"),
        ("rss<200", "--need 'rss<200': expected a size with its unit"),
        ("rss<200M", "--need 'rss<200M': expected a size with its unit"),
        ("errors<1", "--need 'errors<1': expected a share in per cent"),
        ("rate=5k", "--need 'rate=5k': a figure is hardly ever just that"),
        ("upstream>=active", "--need 'upstream>=active': upstream is a word and no figure"),
        ("upstream=alive", "--need 'upstream=alive': expected one of active, partly,"),
    ] {
        assert!(refused(list).contains(told), "{list}: {}", refused(list));
    }
}

#[test]
fn what_nothing_or_everything_meets_is_refused() {
    for list in ["rate>=0", "errors<=100%", "rate>=1k,p99>=0ms"] {
        assert!(refused(list).contains("everything meets this"), "{list}: {}", refused(list));
    }
    for list in ["cpu<0us", "rss<0B", "threads<1", "errors<0%", "rate>=1k,p99<0ms"] {
        assert!(refused(list).contains("nothing can meet this"), "{list}: {}", refused(list));
    }
}

#[test]
fn conditions_that_contradict_each_other_are_both_named() {
    let told = refused("rate>=5k,p99<1ms,p99>2ms");
    assert!(told.contains("'p99<1ms' and 'p99>2ms' contradict each other"), "{told}");
    assert!(refused("rate>=5k,p99<1ms,p50>=1ms").contains("contradict each other"));
    assert!(refused("rate>=5k,rate<=4k").contains("contradict each other"));
}

#[test]
fn two_conditions_about_the_same_are_refused() {
    assert!(refused("cpu<5us,cpu<=9us").contains("'cpu<5us' and 'cpu<=9us' are about the same; keep the stricter one"));
    assert!(refused("panel=deployed,panel=controlled").contains("as upstream=active|partly"));
}

#[test]
fn a_limit_from_the_wrong_side_is_refused() {
    assert!(refused("rate<5k").contains("'rate<5k': a rate is what has to be carried at least; write >="));
    assert!(refused("cpu>5us").contains("'cpu>5us': of this nobody needs more than some; write < or <="));
}

#[test]
fn a_latency_without_a_rate_is_refused() {
    assert!(refused("p99<20ms,cpu<9us").contains("'p99<20ms' says nothing without a rate"));
    assert_eq!(parsed("cpu<9us").rate(), None);
}

#[test]
fn latency_and_errors_make_an_objective() {
    assert_eq!(parsed("rate>=5k,p999<20ms,cpu<9us,errors<1%").objective().unwrap(), "p99.9<20ms,errors<1%");
    assert_eq!(parsed("rate>=5k,cpu<9us").objective(), None);
}

/// A condition of every kind, in its own unit.
fn condition() -> impl Strategy<Value = String> {
    let number = (1u32..100_000, 0u32..1000).prop_map(|(whole, part)| format!("{whole}.{part:03}"));
    let upper = prop_oneof![Just("<"), Just("<=")];
    let time = prop_oneof![Just("us"), Just("ms"), Just(" s"), Just("µs")];
    let size = prop_oneof![Just("B"), Just("kB"), Just("MiB"), Just(" GB")];
    let timed = prop_oneof![Just("p50"), Just("p99.95"), Just("p999"), Just("cpu"), Just("coldstart")];
    let sized = prop_oneof![Just("rss"), Just("idle")];
    let word = prop_oneof![Just("upstream=active|none"), Just("mode=native"), Just("model=a < b, or so")];
    prop_oneof![
        (timed, upper.clone(), number.clone(), time).prop_map(|(name, sign, n, unit)| format!("{name}{sign}{n}{unit}")),
        (sized, upper.clone(), number, size).prop_map(|(name, sign, n, unit)| format!("{name} {sign} {n}{unit}")),
        (upper, 2u32..1000).prop_map(|(sign, n)| format!("threads{sign}{n}")),
        (1u32..1000).prop_map(|n| format!("errors<0.{n:03}1%")),
        word.prop_map(|word| word.split(',').next().unwrap().to_owned()),
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(list in "\\PC*") {
        let _ = Need::parse("--need", &list);
    }

    #[test]
    fn nor_does_what_looks_like_a_need(
        list in "((rate|p99|p999|cpu|rss|errors|upstream|mode|x)?[<>=|]{0,2}[0-9.]{0,20} ?(us|ms|s|MB|MiB|%|k|µs|active)?,?){0,4}"
    ) {
        let _ = Need::parse("--need", &list);
    }

    #[test]
    fn what_is_read_is_written_so_that_it_is_read_the_same(conditions in prop::collection::vec(condition(), 0..4)) {
        let list = ["rate>=1.5k".to_owned()].into_iter().chain(conditions).collect::<Vec<String>>().join(",");
        if let Ok(need) = Need::parse("--need", &list) {
            prop_assert_eq!(Need::parse("--need", &need.to_string()), Ok(need));
        }
    }

    #[test]
    fn every_condition_by_itself_is_understood(condition in condition()) {
        let list = format!("rate>=1k,{condition}");
        prop_assert!(Need::parse("--need", &list).is_ok(), "{}", list);
    }
}
