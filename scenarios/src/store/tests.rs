//! Words of `--redis`, counts that are work, and what INFO and logs hold.

use super::*;

#[test]
fn the_words_of_the_redis_flag_are_understood() {
    assert_eq!("embedded".parse(), Ok(StoreKind::Embedded));
    assert_eq!("redis://h:1".parse(), Ok(StoreKind::Url("redis://h:1".to_owned())));
    assert!("http://h".parse::<StoreKind>().unwrap_err().contains("redis://"));
}

#[test]
fn handshakes_and_the_harness_s_own_commands_are_left_out_of_counts() {
    let counts = [("get", 5), ("client|setinfo", 2), ("hello", 1), ("info", 1), ("config|resetstat", 1), ("del", 1)];
    let counts = counts.map(|(name, n)| (name.to_owned(), n)).into();
    let work: Vec<String> = work_counts(&counts).into_keys().collect();
    assert_eq!(work, ["del", "get"]);
}

#[test]
fn the_log_of_a_store_that_died_is_kept_beside_its_successor_s() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("store.log");
    set_aside(&log).unwrap();
    for life in ["first", "second"] {
        std::fs::write(&log, life).unwrap();
        set_aside(&log).unwrap();
    }
    let kept = |n: u32| std::fs::read_to_string(dir.path().join(format!("store.log.{n}"))).unwrap();
    assert_eq!((kept(1), kept(2)), ("first".to_owned(), "second".to_owned()));
    assert!(!log.exists());
}

#[test]
fn a_delay_line_of_info_is_read() {
    let report = delay_report("nominal=20ms,count=3,mean_us=20031.5,late_us_p50=12,late_us_p99=90").unwrap();
    assert_eq!(report, DelayReport { mean_us: 20031.5, late_us_p99: 90.0 });
}
