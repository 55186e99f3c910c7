//! What a harness does to a store: stall it, cut its clients off, deny it commands, count.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::server::{Server, encode, until};

#[test]
fn a_pause_holds_commands_back_and_loses_none() {
    let server = Server::fake(&[]);
    let (mut control, mut client) = (server.connect(), server.connect());
    assert_eq!(client.ask("set a 1"), "+OK\r\n");
    assert_eq!(control.ask("client pause 600000 write"), "+OK\r\n");
    client.send([encode(&["get", "a"]), encode(&["incr", "a"]), encode(&["get", "a"])].concat());
    assert_eq!(client.text(), "$1\r\n1\r\n", "reading goes on");
    assert_eq!(client.within(Duration::from_millis(50)), b"");
    client.send(encode(&["incr", "a"]));
    assert!(control.ask("info clients").contains("blocked_clients:1"));
    assert_eq!(control.ask("client unpause"), "+OK\r\n");
    let replies: Vec<String> = (0..3).map(|_| client.text()).collect();
    assert_eq!(replies, [":2\r\n", "$1\r\n2\r\n", ":3\r\n"]);
}

#[test]
fn a_pause_of_everything_ends_by_itself() {
    let server = Server::fake(&[]);
    let (mut control, mut client) = (server.connect(), server.connect());
    let asked = Instant::now();
    assert_eq!(control.ask("client pause 300"), "+OK\r\n");
    client.send("ping\r\n");
    assert_eq!(client.text(), "+PONG\r\n");
    assert!(asked.elapsed() >= Duration::from_millis(300));
    assert_eq!(control.ask("ping"), "+PONG\r\n");
}

#[test]
fn a_client_that_hangs_up_during_a_pause_is_let_go() {
    let server = Server::fake(&[]);
    let (mut control, mut client) = (server.connect(), server.connect());
    control.ask("client pause 600000 write");
    client.send("set a 1\r\n");
    until("the client waits", || control.ask("info clients").contains("blocked_clients:1"));
    drop(client);
    until("it is gone", || control.ask("info clients").contains("connected_clients:1\r\n"));
    assert!(control.ask("info clients").contains("blocked_clients:0"));
}

#[test]
fn killed_clients_are_cut_off_and_the_others_stay() {
    let server = Server::fake(&[]);
    let (mut control, mut by_id, mut by_address) = (server.connect(), server.connect(), server.connect());
    let id = by_id.ask("client id").trim_matches([':', '\r', '\n']).to_owned();
    assert_eq!(control.ask(&format!("client kill id {id}")), ":1\r\n");
    assert!(by_id.is_closed());
    let address = by_address.socket.local_addr().unwrap();
    assert_eq!(control.ask(&format!("client kill {address}")), "+OK\r\n");
    assert!(by_address.is_closed());
    let mut others: Vec<_> = (0..5).map(|_| server.connect()).collect();
    others.iter_mut().for_each(|other| assert_eq!(other.ask("ping"), "+PONG\r\n"));
    assert_eq!(control.ask("client kill type normal"), ":5\r\n");
    others.iter_mut().for_each(|other| assert!(other.is_closed()));
    assert_eq!(control.ask("client kill type normal skipme no"), ":1\r\n", "the answer comes before the end");
    assert!(control.is_closed());
}

#[test]
fn a_killed_client_with_replies_on_their_way_is_closed_at_once() {
    let server = Server::fake(&["--delay", "get=600s"]);
    let (mut control, mut client) = (server.connect(), server.connect());
    client.send("get a\r\n");
    until("the reply is held", || control.ask("client list").contains("oll=1"));
    assert_eq!(control.ask("client kill type normal"), ":1\r\n");
    assert!(client.is_closed());
}

#[test]
fn a_denied_command_is_refused_on_every_connection() {
    let server = Server::fake(&[]);
    let (mut control, mut client) = (server.connect(), server.connect());
    assert_eq!(control.ask("acl setuser default -get"), "+OK\r\n");
    let refusal = "-NOPERM this user has no permissions to run the 'get' command\r\n";
    assert_eq!(client.ask("get a"), refusal);
    assert_eq!(client.ask("set a 1"), "+OK\r\n");
    assert_eq!(control.ask("acl setuser default +get"), "+OK\r\n");
    assert_eq!(client.ask("get a"), "$1\r\n1\r\n");
    assert!(control.ask("info commandstats").contains("cmdstat_get:calls=1,"));
}

#[test]
fn debug_sleep_stops_everybody() {
    let server = Server::fake(&[]);
    let (mut sleeper, mut other) = (server.connect(), server.connect());
    let asked = Instant::now();
    sleeper.send("debug sleep 0.3\r\n");
    other.send("ping\r\n");
    assert_eq!(other.text(), "+PONG\r\n");
    assert!(asked.elapsed() >= Duration::from_millis(300));
    assert_eq!(sleeper.text(), "+OK\r\n");
}

#[test]
fn a_sleeping_server_can_be_stopped() {
    let mut server = Server::fake(&[]);
    let mut connection = server.connect();
    connection.send("debug sleep 3600\r\n");
    let pid = server.process.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    until("it has ended", || server.process.try_wait().unwrap().is_some());
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_listener_without_descriptors_rests_and_goes_on() {
    let server = Server::fake(&[]);
    let mut connection = server.connect();
    assert_eq!(connection.ask("ping"), "+PONG\r\n");
    let limit = |descriptors: &str| {
        let pid = server.process.id().to_string();
        let limit = format!("--nofile={descriptors}:");
        assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
    };
    limit("3");
    let mut waiting = server.connect();
    waiting.send("ping\r\n");
    assert_eq!(waiting.within(Duration::from_millis(20)), b"", "nobody can be accepted");
    limit("1000");
    assert_eq!(waiting.text(), "+PONG\r\n", "accepted as soon as there is room, though no connection ended");
    assert_eq!(connection.ask("ping"), "+PONG\r\n");
}

#[test]
fn counters_count_and_can_be_reset() {
    let server = Server::fake(&[]);
    let mut connection = server.connect();
    for _ in 0..3 {
        connection.ask("get a");
    }
    connection.ask("config get port");
    let info = connection.ask("info all");
    assert!(info.contains("cmdstat_get:calls=3,usec=") && info.contains("cmdstat_config|get:calls=1,"), "{info}");
    assert!(info.contains("total_commands_processed:4\r\n"), "{info}");
    connection.ask("config resetstat");
    let info = connection.ask("info everything");
    assert!(!info.contains("cmdstat_get") && info.contains("connected_clients:1"), "{info}");
}
