//! The seconds of a run that is kept in the tree.

use std::{fs, path::Path};

use stackbench_reports::{RunDir, seconds::Seconds};
use stackload::result::LoadResult;

fn run() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runs/result-1"))
}

#[test]
fn every_second_of_every_trial_is_a_line_and_their_answers_are_those_of_the_windows() {
    let seconds = Seconds::load(run()).unwrap();
    assert!(seconds.warnings.is_empty(), "{:?}", seconds.warnings);
    let rows = RunDir::load_rows(run()).unwrap().rows;
    let lengths = rows.iter().filter_map(|row| {
        let text = fs::read(run().join(row.raw.as_ref()?)).unwrap();
        Some(LoadResult::parse(&text).unwrap().per_second.len())
    });
    let mut lines = seconds.csv.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    let (answers, p50, p99) = (column("answers"), column("p50_us"), column("p99_us"));
    let (mut count, mut sum) = (0, 0);
    for line in lines {
        let values: Vec<&str> = line.split(',').collect();
        let number = |at: usize| values[at].parse::<u64>().unwrap();
        assert!(number(p50) <= number(p99), "{line}");
        (count, sum) = (count + 1, sum + number(answers));
    }
    assert_eq!(count, lengths.sum::<usize>());
    assert_eq!(sum, rows.iter().map(|row| row.requests).sum::<u64>());
}

#[test]
fn a_result_file_that_is_gone_is_named_and_the_others_are_there() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("raw")).unwrap();
    for name in ["run.json", "rows.jsonl", "raw/tokio-1.json"] {
        fs::copy(run().join(name), dir.path().join(name)).unwrap();
    }
    let seconds = Seconds::load(dir.path()).unwrap();
    assert!(seconds.csv.lines().count() > 1);
    assert!(seconds.warnings[0].contains("raw/") && seconds.warnings[0].contains("its seconds are missing"));
}
