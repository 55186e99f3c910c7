//! Bytes in any portions, and the life of a connection.

use std::{
    cell::RefCell,
    net::Shutdown,
    process::{Command, Stdio},
    thread,
};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::server::{PATIENCE, Server, encode, until};

#[test]
fn a_command_split_at_every_byte_is_understood() {
    let server = Server::fake(&[]);
    let mut connection = server.connect();
    let bytes = [encode(&["set", "key", "value"]), encode(&["get", "key"]), b"get 'key'\r\n".to_vec()].concat();
    let answers = "+OK\r\n$5\r\nvalue\r\n$5\r\nvalue\r\n";
    connection.socket.set_nodelay(true).unwrap();
    for cut in 0..bytes.len() {
        connection.send(&bytes[..cut]);
        // The first part has been read when another connection, served later, is answered.
        server.connect().ask("ping");
        connection.send(&bytes[cut..]);
        let replies: String = (0..3).map(|_| connection.text()).collect();
        assert_eq!(replies, answers, "cut at {cut}");
    }
}

#[test]
fn garbage_ends_its_own_connection_at_most() {
    let server = Server::fake(&[]);
    let bystander = RefCell::new(server.connect());
    let mut runner = TestRunner::new(Config { cases: 100, failure_persistence: None, ..Config::default() });
    let byte = prop_oneof![any::<u8>(), Just(b'*'), Just(b'$'), Just(b'1'), Just(b'\r'), Just(b'\n'), Just(b' ')];
    let outcome = runner.run(&vec(byte, 1..300), |garbage| {
        let mut connection = server.connect();
        connection.send(&garbage);
        connection.socket.shutdown(Shutdown::Write).unwrap();
        while !connection.is_closed() {
            connection.within(PATIENCE);
        }
        prop_assert_eq!(bystander.borrow_mut().ask("ping"), "+PONG\r\n");
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    let server = Server::fake(&[]);
    let mut connection = server.connect();
    let count = 20_000;
    let mut reader = server.connect();
    std::mem::swap(&mut reader.socket, &mut connection.socket);
    let mut writer = reader.socket.try_clone().unwrap();
    let sender = thread::spawn(move || {
        let bytes: Vec<u8> = (0..count).flat_map(|number| encode(&["echo", &number.to_string()])).collect();
        std::io::Write::write_all(&mut writer, &bytes).unwrap();
    });
    for number in 0..count {
        let number = number.to_string();
        assert_eq!(reader.text(), format!("${}\r\n{number}\r\n", number.len()));
    }
    sender.join().unwrap();
}

#[test]
fn a_client_that_reads_late_loses_nothing() {
    let server = Server::fake(&[]);
    let mut connection = server.connect();
    let value = "v".repeat(1_000_000);
    connection.send(encode(&["set", "big", &value]));
    assert_eq!(connection.text(), "+OK\r\n");
    let bytes: Vec<u8> = (0..64).flat_map(|_| encode(&["get", "big"])).collect();
    connection.send(&bytes);
    // The socket is full long before 64 MB, and the server goes on with others.
    assert_eq!(server.connect().ask("ping"), "+PONG\r\n");
    for _ in 0..64 {
        assert_eq!(connection.reply().len(), "$1000000\r\n\r\n".len() + value.len());
    }
    assert_eq!(connection.ask("ping"), "+PONG\r\n");
}

#[test]
fn quit_is_answered_and_ends_the_connection() {
    let server = Server::fake(&[]);
    let mut connection = server.connect();
    connection.send("quit\r\nping\r\n");
    assert_eq!(connection.text(), "+OK\r\n");
    assert!(connection.is_closed());
}

#[test]
fn replies_can_be_switched_off() {
    let server = Server::fake(&[]);
    let mut connection = server.connect();
    connection.send("client reply off\r\nset a 1\r\nfoo\r\nclient reply on\r\nclient reply skip\r\nping\r\nget a\r\n");
    assert_eq!(connection.text(), "+OK\r\n");
    assert_eq!(connection.text(), "$1\r\n1\r\n");
}

#[test]
fn one_connection_too_many_is_told_so() {
    let server = Server::fake(&["--max-connections", "2"]);
    let mut first = server.connect();
    let mut second = server.connect();
    assert_eq!((first.ask("ping"), second.ask("ping")), ("+PONG\r\n".into(), "+PONG\r\n".into()));
    let mut third = server.connect();
    assert_eq!(third.text(), "-ERR max number of clients reached\r\n");
    assert!(third.is_closed());
    drop(first);
    until("a place is free again", || server.connect().ask("ping") == "+PONG\r\n");
}

#[test]
fn a_value_expires_for_readers_and_for_the_sweep() {
    let server = Server::fake(&[]);
    let mut connection = server.connect();
    connection.send("set seen 1 px 1\r\nset unseen 1 px 1\r\n");
    assert_eq!((connection.text(), connection.text()), ("+OK\r\n".into(), "+OK\r\n".into()));
    until("the key is gone for a reader", || connection.ask("get seen") == "$-1\r\n");
    until("the sweep has removed the other", || connection.ask("dbsize") == ":0\r\n");
    assert!(connection.ask("info stats").contains("expired_keys:2\r\n"));
}

#[test]
fn a_stop_signal_ends_it_with_success() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::fake(&[]);
        let mut connection = server.connect();
        assert_eq!(connection.ask("ping"), "+PONG\r\n");
        let pid = server.process.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        assert!(connection.is_closed());
        assert_eq!(server.process.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn bad_arguments_are_named_and_nothing_is_started() {
    let busy = Server::fake(&[]);
    let busy_address = busy.address.to_string();
    for (arguments, words) in [
        (&["--delay", "get"][..], &["--delay", "COMMAND=DELAY"][..]),
        (&["--delay", "get=20"], &["--delay", "20ms"]),
        (&["--delay", "nonsense=20ms"], &["--delay", "nonsense"]),
        (&["--delay", "client=20ms"], &["--delay", "client"]),
        (&["--delay", "get=1ms", "--delay", "get=2ms"], &["--delay", "`get` is named twice"]),
        (&["--delay", "get=lognormal(2ms,1ms)"], &["--delay", "median"]),
        (&["--errors", "get"], &["--errors", "COMMAND=SHARE, such as get=1%"]),
        (&["--errors", "get=200%"], &["--errors", "a share from 0% to 100%, such as `1%`"]),
        (&["--errors", "nonsense=1%"], &["--errors", "`nonsense` is not a command"]),
        (&["--listen", "nowhere"], &["--listen", "nowhere"]),
        (&["--listen", &busy_address], &["--listen", &busy_address]),
        (&["--max-connections", "0"], &["--max-connections"]),
        (&["--max-connections", "4000000000"], &["--max-connections", "ulimit"]),
        (&["--seed", "x"], &["--seed"]),
        (&["--frobnicate"], &["--frobnicate"]),
    ] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_fake-redis")).args(arguments).stdin(Stdio::null()).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(output.stdout.is_empty());
        for word in words {
            assert!(message.contains(word), "{arguments:?}: {message}");
        }
    }
}
