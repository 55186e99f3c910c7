//! Words of a stack's card that a need may ask for, and whether a card has them.

use super::need::{Fact, Words};
use crate::{
    card::{self, UpstreamState},
    row::Mode,
    run::StackMeta,
};

/// The panels that `stack.toml` knows, but for the word for both of them.
const PANELS: [&str; 2] = ["deployed", "controlled"];
const BOTH: &str = "both";

impl Fact {
    /// As conditions name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Mode => "mode",
            Self::Panel => "panel",
            Self::Model => "model",
            Self::Http => "http",
            Self::Redis => "redis",
        }
    }

    /// The words there are for it; none where cards have words of their own.
    fn known(self) -> &'static [&'static str] {
        match self {
            Self::Upstream => &UpstreamState::WORDS,
            Self::Mode => &["native", "bridged"],
            Self::Panel => &PANELS,
            Self::Model | Self::Http | Self::Redis => &[],
        }
    }

    /// What a card says of it, for a reader; none where it says nothing.
    fn told(self, stack: &StackMeta, mode: Mode) -> Option<String> {
        let told = match self {
            Self::Upstream => card::upstream(stack),
            Self::Mode => Some(card::how(stack, mode).to_owned()),
            Self::Panel => Some(stack.panel.clone()),
            Self::Model => Some(stack.model.clone()),
            Self::Http => Some(stack.http.clone()),
            Self::Redis => Some(stack.redis.clone()),
        };
        told.filter(|told| !told.is_empty())
    }

    /// What `stackbench list --cards` calls it.
    fn label(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Redis => "store client",
            _ => self.name(),
        }
    }
}

/// What a card says to a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// In the card's words.
    pub words: String,
    /// Whether that is what was asked for.
    pub is_wanted: bool,
}

impl Words {
    /// Reads the words after the sign.
    ///
    /// # Errors
    /// When there is none, or one that no card can say.
    pub(super) fn parse(fact: Fact, text: &str) -> Result<Self, String> {
        let any_of: Vec<String> = text.split('|').map(|word| word.trim().to_lowercase()).collect();
        let known = fact.known();
        let is_known = |word: &String| !word.is_empty() && (known.is_empty() || known.contains(&word.as_str()));
        let Some(unknown) = any_of.iter().find(|word| !is_known(word)) else { return Ok(Self { fact, any_of }) };
        let mut why = match known {
            [] => {
                format!("expected a word of its card, as `stackbench list --cards` shows them after {}", fact.label())
            }
            _ => format!("expected one of {}, or several with | between them", known.join(", ")),
        };
        if fact == Fact::Mode && matches!(unknown.as_str(), "sync" | "async") {
            why.push_str(&format!("; to ask of {unknown} requests alone, add --mode {unknown}"));
        }
        Err(why)
    }

    /// What a stack's card says to it when a mode is asked for; none where the card does not tell.
    pub(super) fn told(&self, stack: &StackMeta, mode: Mode) -> Option<Told> {
        let words = self.fact.told(stack, mode)?;
        let said = words.to_lowercase();
        let is = |word: &String| match self.fact {
            Fact::Upstream => UpstreamState::of(stack).is_some_and(|state| state.word() == word),
            Fact::Mode => said == *word,
            Fact::Panel => said == *word || said == BOTH,
            Fact::Model => said.contains(word.as_str()),
            // `redis, resp`: one for each mode.
            Fact::Http | Fact::Redis => said.split(',').any(|library| library.trim() == word),
        };
        Some(Told { is_wanted: self.any_of.iter().any(is), words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn words(text: &str) -> Result<Words, String> {
        let (name, words) = text.split_once('=').unwrap();
        let facts = [Fact::Upstream, Fact::Mode, Fact::Panel, Fact::Model, Fact::Http, Fact::Redis];
        Words::parse(facts.into_iter().find(|fact| fact.name() == name).unwrap(), words)
    }

    fn is_wanted(text: &str, stack: &StackMeta) -> Option<bool> {
        words(text).unwrap().told(stack, Mode::Sync).map(|told| told.is_wanted)
    }

    #[test]
    fn a_card_is_asked_in_its_own_words() {
        let meta = sample::meta().stacks.remove(0);
        let stack = StackMeta { panel: "both".to_owned(), redis: "redis, resp".to_owned(), ..meta };
        for text in
            ["mode=bridged", "panel=controlled", "panel=deployed", "model=Model", "http=axum|hyper", "redis=resp"]
        {
            assert_eq!(is_wanted(text, &stack), Some(true), "{text}");
        }
        for text in ["mode=native", "model=coroutines", "http=hype", "redis=fred"] {
            assert_eq!(is_wanted(text, &stack), Some(false), "{text}");
        }
    }

    #[test]
    fn a_card_that_says_nothing_of_it_is_neither_wanted_nor_unwanted() {
        let stack = StackMeta { card: None, ..sample::meta().stacks.remove(0) };
        assert_eq!(is_wanted("upstream=active", &stack), None);
    }

    #[test]
    fn a_word_that_no_card_can_say_is_answered_with_those_that_some_do() {
        assert!(words("upstream=alive").unwrap_err().contains("active, partly, dormant, discontinued, none"));
        assert!(words("mode=async").unwrap_err().ends_with("add --mode async"));
        assert!(words("model=").unwrap_err().contains("list --cards"));
        assert!(words("panel=deployed|").is_err());
    }
}
