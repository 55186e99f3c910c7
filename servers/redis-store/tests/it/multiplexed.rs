//! The multiplexed store.

use std::time::{Duration, Instant};

use stack_contract::{AsyncStore, Lookup, StoreError, keys::Key, limits::STORE_BACKOFF_LONGEST};
// Connected by `connect_on`, which states no preference: other tests of this process are on smol.
use stack_redis_store::{MultiplexedStore, Tokio};
use tokio::runtime::{Builder, Runtime};

use crate::double::{Double, Manner, nobody};

const HIT: Manner = Manner::Reply("$1\r\nx\r\n");

/// How long a store may take to notice what happened. Generous: only a failing test waits that long.
const DEADLINE: Duration = Duration::from_secs(10);

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn get(store: &MultiplexedStore<Tokio>) -> Result<Lookup, StoreError> {
    store.get(Key::new(7)).await
}

/// Asks until the answer is the one that is waited for.
async fn until(store: &MultiplexedStore<Tokio>, expected: Result<Lookup, StoreError>) {
    let start = Instant::now();
    while get(store).await != expected {
        assert!(start.elapsed() < DEADLINE, "still not {expected:?}");
        tokio::task::yield_now().await;
    }
}

#[test]
fn the_first_command_finds_a_connection_and_no_other_commands_are_sent() {
    let double = Double::start(HIT);
    runtime().block_on(async {
        let store = MultiplexedStore::connect_on(&Tokio, &double.target(), 3).await;
        assert_eq!(get(&store).await, Ok(Lookup::Hit));
        double.behave(Manner::Reply("+OK\r\n"));
        assert_eq!(store.set(Key::new(7), b"v").await, Ok(()));
    });
    assert_eq!(double.commands(), [vec!["GET", "cache:7"], vec!["SET", "cache:7", "v"]]);
    double.wait_for_connections(3);
    assert_eq!(double.connections(), 3);
}

#[test]
fn replies_mean_what_they_say_and_keep_the_connection() {
    let double = Double::start(HIT);
    runtime().block_on(async {
        let store = MultiplexedStore::connect_on(&Tokio, &double.target(), 1).await;
        for (reply, meaning) in [
            ("$-1\r\n", Ok(Lookup::Miss)),
            ("-NOPERM no\r\n", Err(StoreError::Refused)),
            ("-OOM command not allowed\r\n", Err(StoreError::Refused)),
            (":1\r\n", Err(StoreError::Protocol)),
            ("$0\r\n\r\n", Ok(Lookup::Hit)),
        ] {
            double.behave(Manner::Reply(reply));
            assert_eq!(get(&store).await, meaning, "{reply:?}");
        }
    });
    assert_eq!(double.connections(), 1);
}

#[test]
fn without_a_store_it_starts_and_fails_at_once() {
    runtime().block_on(async {
        let (target, _port) = nobody();
        let store = MultiplexedStore::connect_on(&Tokio, &target, 2).await;
        let before = Instant::now();
        for _ in 0..1000 {
            assert_eq!(get(&store).await, Err(StoreError::Unavailable));
        }
        assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    });
}

#[test]
fn a_lost_connection_is_replaced_without_a_request() {
    let double = Double::start(HIT);
    runtime().block_on(async {
        let store = MultiplexedStore::connect_on(&Tokio, &double.target(), 1).await;
        double.wait_for_connections(1);
        double.hang_up();
        double.wait_for_connections(2);
        until(&store, Ok(Lookup::Hit)).await;
    });
}

#[test]
fn a_store_that_hangs_up_is_an_error_until_it_no_longer_does() {
    let double = Double::start(Manner::HangUp);
    runtime().block_on(async {
        let store = MultiplexedStore::connect_on(&Tokio, &double.target(), 1).await;
        until(&store, Err(StoreError::Lost)).await;
        until(&store, Err(StoreError::Unavailable)).await;
        double.behave(HIT);
        until(&store, Ok(Lookup::Hit)).await;
    });
}

#[test]
fn a_command_whose_connection_is_lost_is_sent_again_on_the_next_one() {
    let double = Double::start(HIT);
    runtime().block_on(async {
        let store = MultiplexedStore::connect_on(&Tokio, &double.target(), 1).await;
        // A connection that did not work for so long is not replaced at once.
        let connected = Instant::now();
        while connected.elapsed() <= STORE_BACKOFF_LONGEST {
            assert_eq!(get(&store).await, Ok(Lookup::Hit));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let answered = double.commands().len();
        double.behave(Manner::Late("$-1\r\n"));
        let pending = tokio::spawn({
            let store = store.clone();
            async move { get(&store).await }
        });
        double.wait_for_commands(answered + 1);
        double.behave(HIT);
        double.hang_up();
        assert_eq!(pending.await.unwrap(), Ok(Lookup::Hit));
        assert_eq!(double.commands().len(), answered + 2);
    });
    assert_eq!(double.connections(), 2);
}

#[test]
fn a_reply_that_comes_too_late_is_not_taken_for_the_next_one() {
    let double = Double::start(Manner::Late("$-1\r\n"));
    runtime().block_on(async {
        let target = double.target().with_response_timeout(Duration::from_millis(50));
        let store = MultiplexedStore::connect_on(&Tokio, &target, 1).await;
        assert_eq!(get(&store).await, Err(StoreError::Timeout));
        double.behave(HIT);
        // The machine may be slow too.
        let start = Instant::now();
        loop {
            match get(&store).await {
                Err(StoreError::Timeout) => assert!(start.elapsed() < DEADLINE),
                reply => break assert_eq!(reply, Ok(Lookup::Hit)),
            }
        }
    });
}
