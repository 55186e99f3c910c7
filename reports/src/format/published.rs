//! Published figures in GitHub's Markdown.

use super::markdown::bullets;
use crate::table::PublishedTable;

/// Draws the figures of one study.
pub fn draw(text: &mut String, table: &PublishedTable) {
    let PublishedTable { title, repository, path, commit, machine, command, .. } = table;
    text.push_str(&format!("#### Published, and not measured here: {title}\n\n"));
    text.push_str(&format!("From [{path}]({repository}/blob/{commit}/{path}); {machine}; `{command}`.\n\n"));
    bullets(text, table.cautions.iter().map(String::as_str));
    text.push_str("| request | model | requests/s | c/X | mean as printed (cannot be checked) | errors |\n");
    text.push_str("|:--|:--|--:|--:|--:|:--|\n");
    for line in &table.lines {
        let cells = [&line.question, line.model, &line.rate, &line.by_rate, &line.printed_mean, &line.errors];
        text.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
    }
    text.push('\n');
}
