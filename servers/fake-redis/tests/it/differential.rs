//! The same bytes to a real redis-server and to ours: the replies must be the same bytes.

use crate::server::{Server, encode, until};

/// Sends each line of a script to both servers, on one connection each, and compares reply by reply.
fn compare(script: &str) {
    compare_after(&[], script);
}

/// As [`compare`], after commands whose replies may differ.
fn compare_after(before: &[&str], script: &str) {
    let commands: Vec<_> = script.lines().map(|line| format!("{line}\r\n").into_bytes()).collect();
    compare_bytes(before, &commands);
}

fn compare_bytes(before: &[&str], commands: &[Vec<u8>]) {
    let (real, fake) = (Server::real(), Server::fake(&[]));
    let (mut theirs, mut ours) = (real.connect(), fake.connect());
    for command in before {
        theirs.ask(command);
        ours.ask(command);
    }
    let mut differences = String::new();
    for command in commands {
        theirs.send(command);
        ours.send(command);
        let (expected, found) = (theirs.text(), ours.text());
        if expected != found {
            let command = String::from_utf8_lossy(command);
            differences.push_str(&format!("\n{command:?}\n  redis-server: {expected:?}\n  fake-redis:   {found:?}"));
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn strings() {
    compare(include_str!("scripts/strings.redis"));
}

#[test]
fn keys() {
    compare(include_str!("scripts/keys.redis"));
}

#[test]
fn lists_and_hashes() {
    compare(include_str!("scripts/lists_and_hashes.redis"));
}

#[test]
fn lists_and_hashes_in_the_third_protocol() {
    compare_after(&["hello 3"], include_str!("scripts/lists_and_hashes.redis"));
}

#[test]
fn transactions() {
    compare(include_str!("scripts/transactions.redis"));
}

#[test]
fn the_third_protocol() {
    compare_after(&["hello 3"], include_str!("scripts/third_protocol.redis"));
}

#[test]
fn the_connection_itself() {
    compare(include_str!("scripts/connection.redis"));
}

#[test]
fn the_server_as_a_whole() {
    compare(include_str!("scripts/server.redis"));
}

#[test]
fn what_cannot_be_understood_is_refused_in_the_same_words() {
    for bytes in [
        "*2147483648\r\n",
        "*x\r\n",
        "*+1\r\n",
        "*01\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$+4\r\nPING\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n$x\r\n",
        "*1\r\n$536870913\r\n",
        "*1\r\n$04\r\nPING\r\n",
        "*1\r\nPING\r\n",
        "get \"a\r\n",
        "get 'a\r\n",
        "get \"a\"b\r\n",
        "*2\r\n$3\r\nget\r\n$99999999999999999999\r\n",
    ] {
        refuses(bytes.as_bytes());
    }
    let digits = "1".repeat(70_000);
    for long in [digits.clone(), format!("*{digits}"), format!("*1\r\n${digits}")] {
        refuses(long.as_bytes());
    }
}

/// Both answer with the same words and close.
fn refuses(bytes: &[u8]) {
    let (real, fake) = (Server::real(), Server::fake(&[]));
    let mut replies = [real, fake].map(|server| {
        let mut connection = server.connect();
        connection.send(bytes);
        (connection.text(), connection.is_closed())
    });
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
    assert_eq!(replies[0], replies[1], "{shown:?}");
    assert!(std::mem::take(&mut replies[0].0).starts_with("-ERR Protocol error"), "{shown:?}");
}

#[test]
fn odd_but_valid_bytes_are_answered_alike() {
    compare_bytes(
        &[],
        &[
            b"*0\r\n*1\r\n$4\r\nPING\r\n".to_vec(),
            b"*-7\r\n\r\n\r\nPING\r\n".to_vec(),
            b"\nPING\n".to_vec(),
            b"  PING  \r\n".to_vec(),
            b"\tget\tnone\r\n".to_vec(),
            encode(&[""]),
            encode(&["get", ""]),
            encode(&["set", "", "empty key"]),
            encode(&["get", ""]),
            encode(&["foo\r\nbar", "a\r\nb"]),
            encode(&["foo", &"x".repeat(300)]),
            encode(&[&"y".repeat(300)]),
            encode(&["client", &"z".repeat(300)]),
            encode(&["set", "big", &"v".repeat(1_000_000)]),
            encode(&["get", "big"]),
        ],
    );
}

#[test]
fn a_denied_or_wrong_command_is_counted_as_redis_counts_it() {
    let (real, fake) = (Server::real(), Server::fake(&[]));
    let counts = [real, fake].map(|server| {
        let mut connection = server.connect();
        for line in
            ["set a 1", "get", "get a", "rpush a 1", "incr a", "acl setuser default -get", "get a", "foo", "config foo"]
        {
            connection.ask(line);
        }
        let text = connection.ask("info commandstats");
        let mut lines: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("cmdstat_"))
            .map(|line| line.split(',').filter(|field| !field.starts_with("usec")).collect::<Vec<_>>().join(","))
            .collect();
        lines.sort();
        lines
    });
    assert_eq!(counts[0], counts[1]);
}

#[test]
fn pauses_hold_back_the_same_commands() {
    let (real, fake) = (Server::real(), Server::fake(&[]));
    let answered = [real, fake].map(|server| {
        let (mut connection, mut other) = (server.connect(), server.connect());
        connection.ask("client pause 300000 write");
        let before = [connection.ask("get a"), connection.ask("ping")];
        connection.send("set a 1\r\nmulti\r\nexec\r\n");
        until("the write waits", || other.ask("info clients").contains("blocked_clients:1\r\n"));
        let released = ["multi", "ping", "exec", "get a", "client unpause"].map(|line| other.ask(line));
        (before, released, [connection.text(), connection.text(), connection.text()])
    });
    assert_eq!(answered[0], answered[1]);
}

#[test]
fn reset_counters_forget_the_same_things() {
    let (real, fake) = (Server::real(), Server::fake(&[]));
    let counts = [real, fake].map(|server| {
        let mut connection = server.connect();
        connection.ask("set a 1 px 1");
        until("the key has expired", || connection.ask("get a") == "$-1\r\n");
        let count = |info: String| info.lines().find(|line| line.starts_with("expired_keys")).map(str::to_owned);
        let before = count(connection.ask("info stats"));
        connection.ask("config resetstat");
        (before, count(connection.ask("info stats")))
    });
    assert_eq!(counts[0], counts[1]);
}
