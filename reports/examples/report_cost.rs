//! What it costs to make the reports of a long run: the rows of a run directory, again and again until there are enough,
//! each with a result file of its own.
//!
//! `cargo run --release --package stackbench-reports --example report_cost -- [DIR [ROWS]]`

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// As many rows as a run of all scenarios may have.
const ROWS: usize = 2_000;

fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    let kept = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/runs/result-1");
    let from = arguments.next().map_or(kept, PathBuf::from);
    let rows: usize = match arguments.next() {
        None => ROWS,
        Some(rows) => rows.to_str().and_then(|rows| rows.parse().ok()).context("ROWS: write a whole number")?,
    };
    let dir = tempfile::tempdir()?;
    multiply(&from, dir.path(), rows)?;
    let before = cpu_s();
    stackbench_reports::render(dir.path())?;
    println!("{rows} rows: {:.2} s of CPU for all files", cpu_s() - before);
    for file in ["report.html", "report.md"] {
        println!("{file}: {} KiB", fs::metadata(dir.path().join(file))?.len() / 1024);
    }
    Ok(())
}

fn multiply(from: &std::path::Path, to: &std::path::Path, rows: usize) -> Result<()> {
    fs::copy(from.join("run.json"), to.join("run.json")).context("DIR: it is no run directory")?;
    fs::create_dir(to.join("raw"))?;
    let text = fs::read_to_string(from.join("rows.jsonl"))?;
    let known: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(!known.is_empty(), "DIR: {} has no rows", from.display());
    let mut lines = String::new();
    for (index, mut row) in (0..rows).map(|index| (index, known[index % known.len()].clone())) {
        // Half of them in blocks, half as further stacks: both make a report longer.
        let round = index / known.len();
        row["trial"] = json!(1 + round % 8);
        row["stack"] = json!(format!("{}-{}", row["stack"].as_str().unwrap_or_default(), round / 8));
        let raw = row["raw"].as_str().map(str::to_owned);
        if let Some(raw) = raw.filter(|raw| from.join(raw).exists()) {
            let own = format!("raw/{index}.json");
            fs::copy(from.join(raw), to.join(&own))?;
            row["raw"] = json!(own);
        }
        lines += &format!("{row}\n");
    }
    Ok(fs::write(to.join("rows.jsonl"), lines)?)
}

/// CPU time of this process so far, in seconds.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
