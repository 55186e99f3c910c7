//! Command lines as a reader would type them.

/// Characters that no shell does anything with.
const PLAIN: &str = "-_./:=,@%+";

/// A command line with its arguments quoted where a shell needs it, the program by its name alone.
pub fn line(command: &[String]) -> String {
    let Some((program, arguments)) = command.split_first() else { return String::new() };
    let name = program.rsplit('/').next().unwrap_or(program);
    let words = std::iter::once(name).chain(arguments.iter().map(String::as_str)).map(quoted);
    words.collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || PLAIN.contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        let words = ["/a b/stackload", "-c2000", "--body={\"status\": \"ok\"}", "it's", "", "http://127.0.0.1:1/x"];
        assert_eq!(
            line(&words.map(str::to_owned)),
            "stackload -c2000 '--body={\"status\": \"ok\"}' 'it'\\''s' '' http://127.0.0.1:1/x"
        );
        assert_eq!(line(&[]), "");
    }
}
