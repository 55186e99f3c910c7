//! Errors that are asked for.

use crate::server::{Raw, Server};

const INJECTED: &str = "-ERR injected error\r\n";

/// Which of so many calls are answered an error.
fn struck(connection: &mut Raw, command: &str, calls: usize) -> Vec<bool> {
    connection.send(format!("{command}\r\n").repeat(calls));
    (0..calls).map(|_| connection.text() == INJECTED).collect()
}

fn count(struck: &[bool]) -> usize {
    struck.iter().filter(|struck| **struck).count()
}

#[test]
fn the_share_asked_for_fails_and_is_told() {
    let server = Server::fake(&["--errors", "get=10%"]);
    let mut connection = server.connect();
    let injected = count(&struck(&mut connection, "get a", 2000));
    assert!((120..280).contains(&injected), "{injected} of 2000");
    assert_eq!(count(&struck(&mut connection, "ping", 100)), 0, "only what was named");
    let info = connection.ask("info errors");
    assert!(info.contains(&format!("errors_get:share=10%,injected={injected}\r\n")), "{info}");
    let stats = connection.ask("info commandstats");
    assert!(
        stats.contains("cmdstat_get:calls=2000,") && stats.contains(&format!("failed_calls={injected}")),
        "{stats}"
    );
    connection.ask("config resetstat");
    assert!(connection.ask("info errors").contains("errors_get:share=10%,injected=0\r\n"));
}

#[test]
fn a_call_that_fails_has_no_effect() {
    let server = Server::fake(&["--errors", "set=100%"]);
    let mut connection = server.connect();
    assert_eq!(connection.ask("set a 1"), INJECTED);
    assert_eq!(connection.ask("get a"), "$-1\r\n");
}

#[test]
fn errors_change_while_running() {
    let server = Server::fake(&[]);
    let mut connection = server.connect();
    assert_eq!(connection.ask("config get errors"), "*2\r\n$6\r\nerrors\r\n$0\r\n\r\n");
    assert_eq!(connection.ask("config set errors 'set=100% get=0.5%' delay set=1ms"), "+OK\r\n");
    assert_eq!(connection.ask("config get errors"), "*2\r\n$6\r\nerrors\r\n$17\r\nget=0.5% set=100%\r\n");
    assert_eq!(connection.ask("set a 1"), INJECTED);
    let wrong = connection.ask("config set errors 'get=1% set=2' delay set=2ms");
    let expected =
        "-ERR CONFIG SET failed (possibly related to argument 'errors') - `2` is not a share from 0% to 100%";
    assert!(wrong.starts_with(expected), "{wrong}");
    assert!(connection.ask("config get errors").contains("get=0.5% set=100%"), "a refused setting changes nothing");
    assert!(connection.ask("config get delay").contains("set=1ms"), "nor does it for the one beside it");
    assert_eq!(connection.ask("config set errors ''"), "+OK\r\n");
    assert_eq!(connection.ask("set a 1"), "+OK\r\n");
    assert!(connection.ask("info errors").contains("errors_set:share=0%,injected=1\r\n"), "what was is still told");
    connection.ask("config resetstat");
    assert!(!connection.ask("info errors").contains("errors_"));
}

#[test]
fn which_calls_fail_hangs_on_the_seed_alone() {
    let pattern = |seed: &str| {
        let server = Server::fake(&["--errors", "get=50%", "--errors", "set=50%", "--seed", seed]);
        let mut connection = server.connect();
        let first = struck(&mut connection, "get a", 100);
        assert_ne!(first, struck(&mut connection, "get a", 100), "the draws go on");
        struck(&mut connection, "set a 1", 7);
        connection.ask("config set errors get=50%");
        assert_eq!(first, struck(&mut connection, "get a", 100), "an assignment begins them anew");
        first
    };
    assert_eq!(pattern("7"), pattern("7"));
    assert_ne!(pattern("7"), pattern("8"));
}

#[test]
fn an_error_is_as_late_as_its_command_and_keeps_its_place() {
    let server = Server::fake(&["--delay", "get=50ms", "--errors", "get=100%"]);
    let mut connection = server.connect();
    connection.send("get a\r\nping\r\nget a\r\n");
    let replies: Vec<String> = (0..3).map(|_| connection.text()).collect();
    assert_eq!(replies, [INJECTED, "+PONG\r\n", INJECTED]);
    let info = connection.ask("info delays");
    assert!(info.contains("delay_get:nominal=50ms,count=2,") && info.contains("due_mean_us=50000.0"), "{info}");
}

#[test]
fn a_transaction_fails_where_its_commands_do() {
    let server = Server::fake(&["--errors", "get=100%"]);
    let mut connection = server.connect();
    for (line, reply) in [("multi", "+OK\r\n"), ("get a", "+QUEUED\r\n"), ("set a 1", "+QUEUED\r\n")] {
        assert_eq!(connection.ask(line), reply);
    }
    assert_eq!(connection.ask("exec"), format!("*2\r\n{INJECTED}+OK\r\n"));
}
