//! The blocking store.

use std::time::{Duration, Instant};

use stack_contract::{Lookup, Store, StoreError, keys::Key};
use stack_redis_store::BlockingStore;

use crate::double::{Double, Manner, nobody};

const HIT: Manner = Manner::Reply("$1\r\nx\r\n");
const KEY: u32 = 7;

fn get(store: &mut BlockingStore) -> Result<Lookup, StoreError> {
    store.get(Key::new(KEY))
}

#[test]
fn commands_go_out_as_asked_and_none_beside_them() {
    let double = Double::start(HIT);
    let mut store = BlockingStore::new(double.target());
    assert_eq!(double.connections(), 0, "it connects when it is used");
    assert_eq!(get(&mut store), Ok(Lookup::Hit));
    double.behave(Manner::Reply("+OK\r\n"));
    assert_eq!(store.set(Key::new(KEY), b"v"), Ok(()));
    assert_eq!(double.commands(), [vec!["GET", "cache:7"], vec!["SET", "cache:7", "v"]]);
    double.wait_for_connections(1);
    assert_eq!(double.connections(), 1);
}

#[test]
fn replies_mean_what_they_say_and_keep_the_connection() {
    let double = Double::start(HIT);
    let mut store = BlockingStore::new(double.target());
    for (reply, meaning) in [
        ("$-1\r\n", Ok(Lookup::Miss)),
        ("-NOPERM no\r\n", Err(StoreError::Refused)),
        ("-OOM command not allowed\r\n", Err(StoreError::Refused)),
        ("-LOADING wait\r\n", Err(StoreError::Refused)),
        (":1\r\n", Err(StoreError::Protocol)),
        ("$0\r\n\r\n", Ok(Lookup::Hit)),
    ] {
        double.behave(Manner::Reply(reply));
        assert_eq!(get(&mut store), meaning, "{reply:?}");
    }
    assert_eq!(double.connections(), 1);
}

#[test]
fn without_a_store_it_fails_at_once() {
    let (target, _port) = nobody();
    let mut store = BlockingStore::new(target);
    let before = Instant::now();
    for _ in 0..1000 {
        assert_eq!(get(&mut store), Err(StoreError::Unavailable));
    }
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
}

#[test]
fn a_store_that_restarted_while_idle_is_not_noticed() {
    let double = Double::start(HIT);
    let mut store = BlockingStore::new(double.target());
    assert_eq!(get(&mut store), Ok(Lookup::Hit));
    double.hang_up();
    assert_eq!(get(&mut store), Ok(Lookup::Hit));
    assert_eq!(double.connections(), 2);
}

#[test]
fn a_store_that_hangs_up_on_every_command_is_an_error_and_not_a_loop() {
    let double = Double::start(HIT);
    let mut store = BlockingStore::new(double.target());
    assert_eq!(get(&mut store), Ok(Lookup::Hit));
    double.behave(Manner::HangUp);
    assert_eq!(get(&mut store), Err(StoreError::Lost));
    double.behave(HIT);
    assert_eq!(get(&mut store), Ok(Lookup::Hit));
}

#[test]
fn a_reply_that_comes_too_late_is_not_taken_for_the_next_one() {
    let double = Double::start(Manner::Late("$-1\r\n"));
    let mut store = BlockingStore::new(double.target().with_response_timeout(Duration::from_millis(50)));
    assert_eq!(get(&mut store), Err(StoreError::Timeout));
    double.behave(HIT);
    // The machine may be slow too.
    let start = Instant::now();
    loop {
        match get(&mut store) {
            Err(StoreError::Timeout) => assert!(start.elapsed() < Duration::from_secs(10)),
            reply => break assert_eq!(reply, Ok(Lookup::Hit)),
        }
    }
}
