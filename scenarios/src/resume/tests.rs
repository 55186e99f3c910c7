//! What may be said beside `--resume`, and what may have changed.

use super::*;

fn args(line: &str) -> RunArgs {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }
    Line::try_parse_from(["run"].into_iter().chain(line.split_whitespace())).unwrap().run
}

fn agreed(given: &str, recorded: &str) -> Result<()> {
    agree(&args(given), &args(recorded), Path::new("/"))
}

#[test]
fn nothing_need_be_said_and_what_was_said_may_be_said_again() {
    let recorded =
        "cache --stacks tokio,may --trials 5 --redis redis://me:secret@h:1 --placement free --seed 7 --no-aa";
    for given in ["--resume d", &format!("{recorded} --resume d"), "cache --trials 5 --resume d --out /"] {
        agreed(given, &recorded.replace("me:secret@", "")).unwrap();
    }
}

#[test]
fn what_was_not_said_is_refused_by_its_flag() {
    for (given, flag) in [
        ("cache-nodelay", "SCENARIO"),
        ("--stacks tokio", "--stacks"),
        ("--trials 6", "--trials"),
        ("--duration 1s", "--duration"),
        ("--redis spawn", "--redis"),
        ("--placement free", "--placement"),
        ("--seed 8", "--seed"),
        ("--quick", "--quick"),
        ("--no-aa", "--no-aa"),
        ("--out /tmp", "--out"),
    ] {
        let error = agreed(&format!("{given} --resume d"), "cache --trials 5 --seed 7").unwrap_err().to_string();
        assert!(error.starts_with(&format!("{flag} says")), "{given}: {error}");
    }
}

#[test]
fn recorded_paths_start_where_the_run_was_begun() {
    let args = with_paths_from(Path::new("/begun"), args("mine.toml cache --stacks-dir stacks"));
    assert_eq!(args.scenarios, ["/begun/mine.toml", "cache"]);
    assert_eq!(args.shared.stacks_dir, Some(PathBuf::from("/begun/stacks")));
}

#[test]
fn a_file_that_came_went_or_changed_is_named() {
    let files = |hashes: &[(&str, &str)]| hashes.iter().map(|(p, h)| ((*p).to_owned(), (*h).to_owned())).collect();
    let then: BTreeMap<String, String> = files(&[("a", "1"), ("b", "2")]);
    assert_eq!(differing(&then, &then.clone()), None);
    for (now, path) in [
        (files(&[("a", "1"), ("b", "3")]), "b"),
        (files(&[("b", "2")]), "a"),
        (files(&[("a", "1"), ("b", "2"), ("c", "3")]), "c"),
    ] {
        assert_eq!(differing(&then, &now).map(String::as_str), Some(path));
    }
}
