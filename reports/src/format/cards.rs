//! The stacks of a run: a table of all, and the card of each; one card for a terminal.

use super::{markdown::bullets, terminal::wrapped};
use crate::{
    card::{self, how},
    row::Mode,
    run::StackMeta,
};

/// Labels stand in a column of this width.
const LABEL_WIDTH: usize = 14;

/// Draws one card for a terminal of 120 columns.
pub fn terminal(stack: &StackMeta) -> String {
    let mut text = format!("{}\n", stack.name);
    for line in card::lines(stack) {
        text.push_str(&wrapped(&format!("  {:<LABEL_WIDTH$}", line.label), &line.text.replace('\n', " ")));
    }
    text
}

/// Draws the stacks of a run in Markdown.
pub fn draw(text: &mut String, stacks: &[StackMeta]) {
    text.push_str("## The stacks\n\n| stack | model | HTTP | store client | sync | async | version |\n");
    text.push_str("|:--|:--|:--|:--|:--|:--|:--|\n");
    for stack in stacks {
        let cells = [&stack.name, &stack.model, &stack.http, &stack.redis].map(|words| words.replace('|', "\\|"));
        let version = stack.version.replace('|', "\\|");
        let modes = [Mode::Sync, Mode::Async].map(|mode| how(stack, mode));
        text.push_str(&format!("| {} | {} | {version} |\n", cells.join(" | "), modes.join(" | ")));
    }
    text.push('\n');
    for stack in stacks {
        text.push_str(&format!("### Card: {}\n\n", stack.name));
        let lines: Vec<String> =
            card::lines(stack).into_iter().map(|line| format!("**{}**: {}", line.label, line.text)).collect();
        bullets(text, lines.iter().map(String::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_card_fits_a_terminal_of_120_columns() {
        let notes = "Words that go on and on. ".repeat(20);
        let text = terminal(&StackMeta { notes, ..sample::meta().stacks.remove(0) });
        assert!(text.starts_with("tokio\n  role          stack\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        assert!(text.lines().last().unwrap().starts_with("                "), "{text}");
    }
}
