//! Delays, judged by the server's own account of them: a busy machine makes replies late, never early.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::server::{Raw, Server, encode};

/// The fields of a command's line in `INFO delays`.
fn punctuality(connection: &mut Raw, command: &str) -> HashMap<String, String> {
    let info = connection.ask("info delays");
    let prefix = format!("delay_{command}:");
    let line = info.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_else(|| panic!("{info}"));
    line.split(',').map(|field| field.split_once('=').unwrap()).map(|(k, v)| (k.into(), v.into())).collect()
}

fn number(fields: &HashMap<String, String>, name: &str) -> f64 {
    fields[name].parse().unwrap()
}

#[test]
fn commands_on_one_connection_overlap_and_keep_their_order() {
    let server = Server::fake(&["--delay", "echo=200ms"]);
    let mut connection = server.connect();
    let count = 500;
    let bytes: Vec<u8> = (0..count).flat_map(|number| encode(&["echo", &format!("{number:03}")])).collect();
    connection.send(bytes);
    for number in 0..count {
        assert_eq!(connection.text(), format!("$3\r\n{number:03}\r\n"));
    }
    let fields = punctuality(&mut connection, "echo");
    assert_eq!((number(&fields, "count"), &*fields["nominal"]), (500.0, "200ms"));
    // One after the other they would have been due after 50 s on average.
    assert_eq!(number(&fields, "due_mean_us"), 200_000.0);
    assert!(number(&fields, "mean_us") >= 200_000.0 && number(&fields, "mean_us") < 20_000_000.0, "{fields:?}");
    assert!(number(&fields, "late_us_p50") <= number(&fields, "late_us_p99"));
    assert!(number(&fields, "late_us_p99") <= number(&fields, "late_us_max"));
}

#[test]
fn a_command_takes_effect_when_it_arrives() {
    let server = Server::fake(&["--delay", "set=600s"]);
    let (mut writer, mut reader) = (server.connect(), server.connect());
    writer.send("set a 1\r\n");
    crate::server::until("the value is there", || reader.ask("get a") == "$1\r\n1\r\n");
    assert_eq!(writer.within(Duration::from_millis(20)), b"");
}

#[test]
fn a_command_that_comes_while_the_loop_is_held_up_waits_its_whole_delay() {
    let server = Server::fake(&["--delay", "get=600ms"]);
    let (mut first, mut second, mut client) = (server.connect(), server.connect(), server.connect());
    first.send("debug sleep 0.1\r\n");
    // One report of the poller names both, and holds up the loop between them.
    second.send("debug sleep 0.3\r\n");
    client.send("get a\r\n");
    assert_eq!(first.text(), "+OK\r\n");
    assert_eq!(client.within(Duration::from_millis(100)), b"");
    let sent = Instant::now();
    client.send("get a\r\n");
    assert_eq!([client.text(), client.text()], ["$-1\r\n"; 2]);
    assert!(sent.elapsed() >= Duration::from_millis(600), "{:?}", sent.elapsed());
}

#[test]
fn a_command_without_delay_waits_for_its_turn() {
    let server = Server::fake(&["--delay", "get=100ms"]);
    let mut connection = server.connect();
    connection.send("get a\r\nping\r\nfoo\r\nget a\r\n");
    let replies: Vec<String> = (0..4).map(|_| connection.text()).collect();
    assert_eq!(replies[0], "$-1\r\n");
    assert_eq!(replies[1], "+PONG\r\n");
    assert!(replies[2].starts_with("-ERR unknown command"));
    assert_eq!(replies[3], "$-1\r\n");
    assert_eq!(number(&punctuality(&mut connection, "get"), "count"), 2.0);
}

#[test]
fn different_delays_on_one_connection_are_refused() {
    let server = Server::fake(&["--delay", "get=100ms", "--delay", "set=50ms", "--delay", "mget=100ms"]);
    let mut connection = server.connect();
    connection.send("get a\r\nset a 1\r\nmget a\r\n");
    assert_eq!(connection.text(), "$-1\r\n");
    let refusal = connection.text();
    assert!(refusal.starts_with("-ERR mixed delays on one connection: get waits 100ms, set waits 50ms"), "{refusal}");
    assert_eq!(
        connection.text(),
        "*1\r\n$-1\r\n",
        "the refused command was not carried out; an equal delay is welcome"
    );
    assert_eq!(connection.ask("set a 1"), "+OK\r\n", "one after the other is fine");
    assert!(connection.ask("info commandstats").contains("cmdstat_set:calls=1,"));
}

#[test]
fn many_connections_wait_side_by_side() {
    let server = Server::fake(&["--delay", "get=300ms"]);
    let mut connections: Vec<Raw> = (0..200).map(|_| server.connect()).collect();
    connections.iter_mut().for_each(|connection| connection.send("get a\r\n"));
    connections.iter_mut().for_each(|connection| assert_eq!(connection.text(), "$-1\r\n"));
    let fields = punctuality(&mut connections[0], "get");
    assert_eq!(number(&fields, "count"), 200.0);
    assert_eq!(number(&fields, "due_mean_us"), 300_000.0);
}

#[test]
fn delays_change_while_running() {
    let server = Server::fake(&[]);
    let mut connection = server.connect();
    assert_eq!(connection.ask("config get delay"), "*2\r\n$5\r\ndelay\r\n$0\r\n\r\n");
    assert_eq!(connection.ask("config set delay 'set=2ms get=1ms'"), "+OK\r\n");
    assert_eq!(connection.ask("config get delay"), "*2\r\n$5\r\ndelay\r\n$15\r\nget=1ms set=2ms\r\n");
    connection.ask("get a");
    assert_eq!(number(&punctuality(&mut connection, "get"), "count"), 1.0);
    let wrong = connection.ask("config set delay 'get=1ms foo=2ms'");
    assert!(wrong.starts_with("-ERR CONFIG SET failed (possibly related to argument 'delay') - `foo`"), "{wrong}");
    assert!(connection.ask("config get delay").contains("get=1ms set=2ms"), "a refused setting changes nothing");
    for other in ["foo bar", "maxmemory 5", "delay get=4ms"] {
        assert!(connection.ask(&format!("config set delay get=3ms {other}")).starts_with("-ERR"), "{other}");
        assert!(connection.ask("config get delay").contains("get=1ms set=2ms"), "nor does one next to it: {other}");
    }
    assert_eq!(connection.ask("config set delay ''"), "+OK\r\n");
    connection.ask("get a");
    assert_eq!(number(&punctuality(&mut connection, "get"), "count"), 1.0, "no longer delayed, no longer counted");
    connection.ask("config resetstat");
    assert!(!connection.ask("info delays").contains("delay_get"));
}

#[test]
fn assigning_a_delay_again_begins_its_figures_anew() {
    let server = Server::fake(&["--delay", "get=1ms"]);
    let mut connection = server.connect();
    connection.ask("get a");
    assert_eq!(connection.ask("config set delay 'get=1ms'"), "+OK\r\n");
    assert_eq!(number(&punctuality(&mut connection, "get"), "count"), 0.0);
    connection.ask("get a");
    assert_eq!(number(&punctuality(&mut connection, "get"), "count"), 1.0);
}

#[test]
fn a_transaction_waits_as_long_as_its_slowest_command() {
    let server = Server::fake(&["--delay", "get=20ms", "--delay", "set=60ms"]);
    let mut connection = server.connect();
    for (line, reply) in [("multi", "+OK\r\n"), ("get a", "+QUEUED\r\n"), ("set a 1", "+QUEUED\r\n")] {
        assert_eq!(connection.ask(line), reply);
    }
    assert_eq!(connection.ask("exec"), "*2\r\n$-1\r\n+OK\r\n");
    let fields = punctuality(&mut connection, "set");
    assert_eq!((number(&fields, "count"), number(&fields, "due_mean_us")), (1.0, 60_000.0));
    assert_eq!(number(&punctuality(&mut connection, "get"), "count"), 0.0);
}

#[test]
fn a_transaction_that_runs_nothing_is_answered_at_once() {
    let server = Server::fake(&["--delay", "get=600s"]);
    let (mut connection, mut other) = (server.connect(), server.connect());
    for line in ["multi", "get a", "foo"] {
        connection.ask(line);
    }
    assert!(connection.ask("exec").starts_with("-EXECABORT"));
    connection.ask("watch a");
    other.ask("set a 1");
    for line in ["multi", "get a"] {
        connection.ask(line);
    }
    assert_eq!(connection.ask("exec"), "*-1\r\n");
}

#[test]
fn a_transaction_refused_for_its_delay_is_over() {
    let server = Server::fake(&["--delay", "get=200ms", "--delay", "set=50ms"]);
    let mut connection = server.connect();
    connection.send("get a\r\nmulti\r\nset a 1\r\nexec\r\nping\r\n");
    let replies: Vec<String> = (0..5).map(|_| connection.text()).collect();
    assert_eq!(replies[..3], ["$-1\r\n", "+OK\r\n", "+QUEUED\r\n"]);
    assert!(replies[3].starts_with("-EXECABORT") && replies[3].contains("mixed delays"), "{replies:?}");
    assert_eq!(replies[4], "+PONG\r\n", "not queued");
}

#[test]
fn a_reply_without_delay_does_not_wait_for_a_later_one() {
    let server = Server::fake(&["--delay", "get=600s"]);
    let mut connection = server.connect();
    connection.send("ping\r\nget a\r\n");
    assert_eq!(connection.text(), "+PONG\r\n");
}

#[test]
fn a_distribution_is_drawn_by_its_seed() {
    let mean = |seed: &str| {
        let server = Server::fake(&["--delay", "get=lognormal(2ms,8ms)", "--seed", seed]);
        let mut connection = server.connect();
        (0..30).for_each(|_| _ = connection.ask("get a"));
        let fields = punctuality(&mut connection, "get");
        assert_eq!(fields["nominal"], "lognormal(2ms;8ms)");
        assert!(number(&fields, "mean_us") >= number(&fields, "due_mean_us"));
        fields["due_mean_us"].clone()
    };
    assert_eq!(mean("7"), mean("7"));
    assert_ne!(mean("7"), mean("8"));
}

#[test]
fn commands_held_by_a_pause_are_delayed_from_its_end() {
    let server = Server::fake(&["--delay", "set=50ms"]);
    let (mut control, mut client) = (server.connect(), server.connect());
    control.ask("client pause 600000 write");
    client.send("set a 1\r\n");
    crate::server::until("it waits", || control.ask("info clients").contains("blocked_clients:1"));
    control.ask("client unpause");
    assert_eq!(client.text(), "+OK\r\n");
    assert_eq!(number(&punctuality(&mut control, "set"), "due_mean_us"), 50_000.0);
}

#[test]
fn quit_waits_for_the_replies_ahead_of_it() {
    let server = Server::fake(&["--delay", "get=50ms"]);
    let mut connection = server.connect();
    connection.send("get a\r\nquit\r\n");
    assert_eq!((connection.text(), connection.text()), ("$-1\r\n".into(), "+OK\r\n".into()));
    assert!(connection.is_closed());
}
