//! What a connection begins with, where the URL demands it: AUTH, SELECT.

use stack_redis_store::Target;

use crate::command::append_bulk;

/// The commands that come before all others.
#[derive(Debug, Default, Clone)]
pub(crate) struct Greeting {
    /// All of them, encoded.
    pub(crate) bytes: Vec<u8>,
    /// How many they are.
    pub(crate) commands: u32,
}

impl Greeting {
    /// Empty if the URL names neither password nor database.
    pub(crate) fn of(target: &Target) -> Self {
        let (settings, mut greeting) = (target.settings(), Self::default());
        if let Some(password) = settings.password() {
            let user = settings.username().map(str::as_bytes);
            greeting.push([Some(&b"AUTH"[..]), user, Some(password.as_bytes())].into_iter().flatten());
        }
        if settings.db() != 0 {
            let mut number = itoa::Buffer::new();
            greeting.push([b"SELECT", number.format(settings.db()).as_bytes()].into_iter());
        }
        greeting
    }

    fn push<'a>(&mut self, words: impl Iterator<Item = &'a [u8]> + Clone) {
        self.bytes.push(b'*');
        self.bytes.extend_from_slice(itoa::Buffer::new().format(words.clone().count()).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
        words.for_each(|word| append_bulk(&mut self.bytes, word));
        self.commands += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(url: &str) -> (String, u32) {
        let Greeting { bytes, commands } = Greeting::of(&Target::parse(url).unwrap());
        (String::from_utf8(bytes).unwrap().replace("\r\n", " "), commands)
    }

    #[test]
    fn nothing_is_sent_that_the_url_does_not_demand() {
        assert_eq!(greeting("redis://127.0.0.1:6379"), (String::new(), 0));
        assert_eq!(greeting("redis://127.0.0.1:6379/0"), (String::new(), 0));
    }

    #[test]
    fn a_password_is_sent_with_the_user_if_there_is_one_and_a_database_is_chosen() {
        assert_eq!(greeting("redis://:pw@127.0.0.1"), ("*2 $4 AUTH $2 pw ".into(), 1));
        assert_eq!(greeting("redis://me:pw@127.0.0.1"), ("*3 $4 AUTH $2 me $2 pw ".into(), 1));
        assert_eq!(greeting("redis://127.0.0.1/12"), ("*2 $6 SELECT $2 12 ".into(), 1));
        assert_eq!(greeting("redis://:p%20w@127.0.0.1/3"), ("*2 $4 AUTH $3 p w *2 $6 SELECT $1 3 ".into(), 2));
    }
}
