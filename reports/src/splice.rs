//! The newest table, put into a document: what stands there between two comments is replaced, and nothing else.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use crate::{RunDir, capacity, format, write_whole};

/// The line after which the table stands.
pub const BEGIN: &str = "<!-- table -->";
/// The line before which it ends.
pub const END: &str = "<!-- /table -->";

/// Replaces what stands between [`BEGIN`] and [`END`] in a file by the headline table of a run, and returns what of the run
/// could not be read. The file is replaced as a whole, or not touched at all.
///
/// # Errors
/// When the directory is no run or has no such table, or the file does not have each of the two lines once and in this
/// order, or cannot be written.
pub fn splice(dir: &Path, file: &Path) -> Result<Vec<String>> {
    let run = RunDir::load(dir)?;
    let has_search = capacity::load(dir)?.is_some();
    ensure!(
        !has_search,
        "--splice: {} is a search for capacity, which has no table of this kind; its own is in its report.md",
        dir.display()
    );
    let table = format::headline(&run).with_context(|| format!("--splice: {} has no such table", dir.display()))?;
    let cannot_read = || format!("--splice: cannot read {}", file.display());
    // A link stays one: what it leads to is replaced.
    let target = fs::canonicalize(file).with_context(cannot_read)?;
    let old = fs::read(&target).with_context(cannot_read)?;
    let new = spliced(&old, &table).with_context(|| format!("--splice: {} is as it was", file.display()))?;
    if new != old {
        write_whole(&target, &new)?;
    }
    Ok(run.warnings)
}

/// A line of a document.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// From 1.
    number: usize,
    /// Where it starts, …
    start: usize,
    /// … and where the next one does.
    end: usize,
}

/// The document with another table. Bytes, not text: nothing but the table is looked into, and its lines end as that of
/// [`BEGIN`] does.
fn spliced(document: &[u8], table: &str) -> Result<Vec<u8>> {
    let (begin, end) = between(&lines_that_are(document, BEGIN), &lines_that_are(document, END))?;
    let table = match document[begin.start..begin.end].ends_with(b"\r\n") {
        true => table.replace('\n', "\r\n"),
        false => table.to_owned(),
    };
    Ok([&document[..begin.end], table.as_bytes(), &document[end.start..]].concat())
}

fn lines_that_are(document: &[u8], comment: &str) -> Vec<Line> {
    let mut start = 0;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(document.split_inclusive(|byte| *byte == b'\n')) {
        let end = start + line.len();
        if line.trim_ascii() == comment.as_bytes() {
            found.push(Line { number, start, end });
        }
        start = end;
    }
    found
}

fn between(begins: &[Line], ends: &[Line]) -> Result<(Line, Line)> {
    for (comment, lines) in [(BEGIN, begins), (END, ends)] {
        if let [first, second, ..] = lines {
            bail!("line {}: a second `{comment}`, after that of line {}; leave one", second.number, first.number);
        }
    }
    match (begins, ends) {
        ([begin], [end]) if begin.number < end.number => Ok((*begin, *end)),
        ([begin], [end]) => {
            bail!("line {}: `{BEGIN}` comes after the `{END}` of line {}; swap them", begin.number, end.number)
        }
        ([begin], _) => {
            bail!("line {}: no line `{END}` follows this `{BEGIN}`; add it where the table ends", begin.number)
        }
        (_, [end]) => {
            bail!("line {}: no line `{BEGIN}` precedes this `{END}`; add it where the table begins", end.number)
        }
        _ => bail!(
            "no line of it is `{BEGIN}` and none `{END}`; write each on a line of its own where the table is to stand"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::{dir, row::Row, sample};

    const TABLE: &str = "| new |\n|:--|\n";

    fn error(document: &str) -> String {
        spliced(document.as_bytes(), TABLE).unwrap_err().to_string()
    }

    #[test]
    fn what_stands_between_the_comments_is_replaced() {
        let new = spliced(b"# a\n\n<!-- table -->\nold\nolder\n<!-- /table -->\nrest", TABLE).unwrap();
        assert_eq!(String::from_utf8(new).unwrap(), "# a\n\n<!-- table -->\n| new |\n|:--|\n<!-- /table -->\nrest");
    }

    #[test]
    fn a_document_with_the_ends_of_lines_of_windows_keeps_them() {
        let new = spliced(b"a\r\n<!-- table -->\r\n<!-- /table -->\r\nb\r\n", TABLE).unwrap();
        assert_eq!(
            String::from_utf8(new).unwrap(),
            "a\r\n<!-- table -->\r\n| new |\r\n|:--|\r\n<!-- /table -->\r\nb\r\n"
        );
    }

    #[test]
    fn comments_that_are_not_there_are_asked_for() {
        assert_eq!(
            error("text `<!-- table -->` and `<!-- /table -->` in a sentence\n"),
            "no line of it is `<!-- table -->` and none `<!-- /table -->`; write each on a line of its own where the table \
             is to stand"
        );
        assert!(error("").contains("write each on a line of its own"));
        assert_eq!(
            error("a\n<!-- table -->\nb\n"),
            "line 2: no line `<!-- /table -->` follows this `<!-- table -->`; add it where the table ends"
        );
        assert_eq!(
            error("<!-- /table -->\n"),
            "line 1: no line `<!-- table -->` precedes this `<!-- /table -->`; add it where the table begins"
        );
    }

    #[test]
    fn comments_that_stand_there_twice_or_the_wrong_way_round_are_named_with_their_lines() {
        assert_eq!(
            error("<!-- table -->\n<!-- /table -->\n\n<!-- table -->\n<!-- /table -->\n"),
            "line 4: a second `<!-- table -->`, after that of line 1; leave one"
        );
        assert_eq!(
            error("<!-- table -->\n<!-- /table -->\n<!-- /table -->\n"),
            "line 3: a second `<!-- /table -->`, after that of line 2; leave one"
        );
        assert_eq!(
            error("<!-- /table -->\n\n<!-- table -->\n"),
            "line 3: `<!-- table -->` comes after the `<!-- /table -->` of line 1; swap them"
        );
    }

    proptest! {
        #[test]
        fn all_the_rest_is_as_it_was_and_a_second_time_changes_nothing(
            before in prop::collection::vec(any::<u8>(), 0..200),
            old in "[a-z |\n]{0,100}",
            after in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let document =
                [&before[..], b"\n<!-- table -->\n", old.as_bytes(), b"\n<!-- /table -->\n", &after[..]].concat();
            let once = spliced(&document, TABLE).unwrap();
            let expected =
                [&before[..], b"\n<!-- table -->\n", TABLE.as_bytes(), b"<!-- /table -->\n", &after[..]].concat();
            prop_assert_eq!(&once, &expected);
            prop_assert_eq!(spliced(&once, TABLE).unwrap(), once);
        }
    }

    /// A folder with a run of these rows in it, and a document.
    fn folder(rows: &[Row], document: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let lines: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap() + "\n").collect();
        fs::write(folder.path().join(dir::RUN_FILE), serde_json::to_string(&sample::meta()).unwrap()).unwrap();
        fs::write(folder.path().join(dir::ROWS_FILE), lines.concat()).unwrap();
        fs::write(folder.path().join("README.md"), document).unwrap();
        folder
    }

    fn splice_in(folder: &TempDir) -> Result<Vec<String>> {
        splice(folder.path(), &folder.path().join("README.md"))
    }

    const DOCUMENT: &str = "# a\n<!-- table -->\n<!-- /table -->\nrest\n";

    #[test]
    fn a_file_gets_the_table_of_the_run_and_keeps_its_permissions() {
        let folder = folder(&[sample::row("tokio")], DOCUMENT);
        let file = folder.path().join("README.md");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(splice_in(&folder).unwrap().is_empty());
        let spliced = fs::read_to_string(&file).unwrap();
        assert!(spliced.contains("| tokio |") && spliced.ends_with("<!-- /table -->\nrest\n"), "{spliced}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left behind");
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = folder(&[sample::row("tokio")], DOCUMENT);
        let link = folder.path().join("link.md");
        symlink("README.md", &link).unwrap();
        splice(folder.path(), &link).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(folder.path().join("README.md")).unwrap().contains("| tokio |"));
    }

    #[test]
    fn a_file_that_does_not_have_the_comments_is_left_as_it_was_and_named() {
        let folder = folder(&[sample::row("tokio")], "# a\n<!-- table -->\n");
        let error = format!("{:#}", splice_in(&folder).unwrap_err());
        assert!(error.contains("README.md is as it was: line 2: no line"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("README.md")).unwrap(), "# a\n<!-- table -->\n");
        let error = format!("{:#}", splice(folder.path(), Path::new("/no/such.md")).unwrap_err());
        assert!(error.contains("cannot read /no/such.md: No such file"), "{error}");
    }

    #[test]
    fn a_run_without_rows_has_no_table() {
        let folder = folder(&[], DOCUMENT);
        let error = format!("{:#}", splice_in(&folder).unwrap_err());
        assert!(error.contains("has no such table: no trial of the run has ended"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("README.md")).unwrap(), DOCUMENT);
    }
}
