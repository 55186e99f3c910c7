//! The URL argument: what wrk accepts and what it makes of it.

use std::fmt;

/// Ports by scheme. Fixed, so that a machine without `/etc/services` works too; unknown schemes are plain HTTP.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// A parsed URL argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// The scheme as written.
    pub scheme: String,
    /// Host name or address, without brackets.
    pub host: String,
    /// The port, if the URL names one.
    pub explicit_port: Option<u16>,
    /// Path, query and fragment, verbatim; `/` if there is no path (a bare query is then dropped, as wrk does).
    pub target: String,
}

/// The argument is not a URL that can be requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUrl;

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a URL with scheme and host")
    }
}

impl Url {
    /// Parses the argument.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        // Blanks and control characters would break the request line.
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(InvalidUrl);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl)?;
        if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(InvalidUrl);
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // Credentials are accepted and ignored.
        let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
        let (host, explicit_port) = split_host(address)?;
        let target = if tail.starts_with('/') { tail } else { "/" };
        Ok(Self { scheme: scheme.to_owned(), host: host.to_owned(), explicit_port, target: target.to_owned() })
    }

    /// Whether the scheme asks for TLS: wrk looks at the first five letters, in lower case.
    pub fn is_tls(&self) -> bool {
        self.scheme.starts_with("https")
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.explicit_port.unwrap_or(if self.is_tls() { HTTPS_PORT } else { HTTP_PORT })
    }

    /// The port's name in messages: its digits if the URL has them, else the scheme.
    pub fn service(&self) -> String {
        self.explicit_port.map_or_else(|| self.scheme.clone(), |port| port.to_string())
    }

    /// Value of the automatic `Host` header: brackets around an IPv6 address, the port only if the URL has one.
    pub fn host_header(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.explicit_port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_host(address: &str) -> Result<(&str, Option<u16>), InvalidUrl> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(InvalidUrl)?;
            let is_address = host.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.%".contains(&byte));
            match after.strip_prefix(':') {
                _ if !is_address => return Err(InvalidUrl),
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(InvalidUrl),
            }
        }
        None => {
            let (host, port) = address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port)));
            if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) {
                return Err(InvalidUrl);
            }
            (host, port)
        }
    };
    if host.is_empty() {
        return Err(InvalidUrl);
    }
    match port {
        None => Ok((host, None)),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok((host, Some(digits.parse().map_err(|_| InvalidUrl)?)))
        }
        Some(_) => Err(InvalidUrl),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_verbatim_from_the_path_on() {
        for (text, target) in [
            ("http://h", "/"),
            ("http://h/", "/"),
            ("http://h?q=1", "/"),
            ("http://h/a?q=1#f", "/a?q=1#f"),
            ("http://h:8080/a@b:c", "/a@b:c"),
        ] {
            assert_eq!(Url::parse(text).unwrap().target, target, "{text}");
        }
    }

    #[test]
    fn host_header_and_port_follow_the_url() {
        for (text, header, port, service) in [
            ("http://h/", "h", 80, "http"),
            ("http://h:80/", "h:80", 80, "80"),
            ("http://[::1]:8080/x", "[::1]:8080", 8080, "8080"),
            ("http://[::1]/x", "[::1]", 80, "http"),
            ("https://h/", "h", 443, "https"),
            ("httpx://u:p@h:1/", "h:1", 1, "1"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.host_header().as_str(), url.port(), url.service().as_str()),
                (header, port, service),
                "{text}"
            );
        }
    }

    #[test]
    fn only_a_lower_case_https_is_tls() {
        assert!(Url::parse("https://h").unwrap().is_tls());
        assert!(!Url::parse("HTTPS://h").unwrap().is_tls());
        assert!(!Url::parse("HTTP://h").unwrap().is_tls());
    }

    #[test]
    fn what_cannot_be_requested_is_refused() {
        for text in [
            "",
            "foo",
            "h:80/",
            "http:/h",
            "http://",
            "http:///x",
            "http://:80/",
            "http://h:99999/",
            "http://h:x/",
            "http://h /",
            "http://h/a b",
            "h2://h/",
            "http://[::1/",
            "http://[::1]x/",
            "http://a:b:c/",
            "http://h:/",
        ] {
            assert_eq!(Url::parse(text), Err(InvalidUrl), "{text}");
        }
    }
}
