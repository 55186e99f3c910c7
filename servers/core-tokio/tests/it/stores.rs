//! The asynchronous store and the bridge to the blocking one.

use std::{
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use stack_contract::{AsyncStore, Lookup, StoreError, keys::Key};
use stack_core::{BlockingPool, MultiplexedStore};
use stack_core_tokio::Tokio;
use stack_redis_store::Target;
use tokio::runtime::{Builder, Runtime};

use crate::double::{Double, Manner, nobody};

const HIT: Manner = Manner::Reply("$1\r\nx\r\n");

/// How long a store may take to notice what happened. Generous: only a failing test waits that long.
const DEADLINE: Duration = Duration::from_secs(10);

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn connect(target: &Target, connections: u32) -> MultiplexedStore<Tokio> {
    let (store, drivers) = MultiplexedStore::new(target, connections);
    for driver in drivers {
        tokio::spawn(driver.run());
    }
    store.attempted().await;
    store
}

async fn get(store: &impl AsyncStore) -> Result<Lookup, StoreError> {
    store.get(Key::new(7)).await
}

/// Asks until the answer is the one that is waited for.
async fn until(store: &impl AsyncStore, expected: Result<Lookup, StoreError>) {
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
        let store = connect(&double.target(), 3).await;
        assert_eq!(get(&store).await, Ok(Lookup::Hit));
        double.behave(Manner::Reply("+OK\r\n"));
        assert_eq!(store.set(Key::new(7), b"v").await, Ok(()));
    });
    assert_eq!(double.commands(), [vec!["GET", "cache:7"], vec!["SET", "cache:7", "v"]]);
    double.wait_for_connections(3);
}

#[test]
fn every_one_of_many_requests_at_once_gets_its_answer() {
    let double = Double::start(HIT);
    runtime().block_on(async {
        let store = connect(&double.target(), 1).await;
        let requests: Vec<_> = (0..1000)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { get(&store).await })
            })
            .collect();
        for request in requests {
            assert_eq!(request.await.unwrap(), Ok(Lookup::Hit));
        }
    });
    assert_eq!(double.commands().len(), 1000);
}

#[test]
fn without_a_store_it_starts_and_fails_at_once() {
    runtime().block_on(async {
        let (target, _port) = nobody();
        let store = connect(&target, 2).await;
        for _ in 0..1000 {
            assert_eq!(get(&store).await, Err(StoreError::Unavailable));
        }
    });
}

#[test]
fn a_store_that_hangs_up_is_an_error_until_it_no_longer_does() {
    let double = Double::start(Manner::HangUp);
    runtime().block_on(async {
        let store = connect(&double.target(), 1).await;
        until(&store, Err(StoreError::Lost)).await;
        until(&store, Err(StoreError::Unavailable)).await;
        double.behave(HIT);
        until(&store, Ok(Lookup::Hit)).await;
    });
}

#[test]
fn a_command_whose_connection_is_lost_is_sent_again_on_the_next_one() {
    let double = Double::start(Manner::Late("$-1\r\n"));
    runtime().block_on(async {
        let store = connect(&double.target(), 1).await;
        double.wait_for_connections(1);
        // A connection that did not live is not replaced at once.
        tokio::time::sleep(Duration::from_millis(600)).await;
        let pending = tokio::spawn({
            let store = store.clone();
            async move { get(&store).await }
        });
        double.wait_for_commands(1);
        double.behave(HIT);
        double.hang_up();
        assert_eq!(pending.await.unwrap(), Ok(Lookup::Hit));
    });
    assert_eq!(double.connections(), 2);
    assert_eq!(double.commands().len(), 2);
}

#[test]
fn a_reply_that_comes_too_late_is_not_taken_for_the_next_one() {
    let double = Double::start(Manner::Late("$-1\r\n"));
    runtime().block_on(async {
        let target = double.target().with_response_timeout(Duration::from_millis(50));
        let store = connect(&target, 1).await;
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
    assert_eq!(double.connections(), 1);
}

#[test]
fn a_hold_makes_no_request_larger() {
    fn check(store: &impl AsyncStore) {
        let (hold, command) = (store.hold(Duration::ZERO), store.set(Key::new(7), b"v"));
        assert!(size_of_val(&hold) <= size_of_val(&command), "{} bytes", size_of_val(&hold));
    }
    let (target, _port) = nobody();
    let _entered = runtime().enter();
    check(&MultiplexedStore::<Tokio>::new(&target, 1).0);
    check(&BlockingPool::start(&target, 1).unwrap());
}

/// Sends a command and no longer waits for it.
async fn give_up(store: &impl AsyncStore) {
    let mut request = pin!(get(store));
    poll_fn(|context| {
        assert!(request.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[test]
fn the_reply_to_a_request_that_was_given_up_is_nobody_elses() {
    let double = Double::start(Manner::Late("$-1\r\n"));
    runtime().block_on(async {
        let store = connect(&double.target(), 1).await;
        give_up(&store).await;
        double.wait_for_commands(1);
        double.behave(HIT);
        assert_eq!(get(&store).await, Ok(Lookup::Hit));
    });
}

#[test]
fn the_first_attempt_is_over_when_the_store_has_accepted_the_password_or_the_connection_is_lost() {
    let double = Double::start(Manner::Late("+OK\r\n"));
    let target = double.target();
    let target = Target::parse(&format!("redis://:secret@{}:{}", target.host(), target.port())).unwrap();
    runtime().block_on(async {
        let refused = tokio::spawn({
            let target = target.clone();
            async move { connect(&target, 1).await }
        });
        double.wait_for_commands(1);
        assert!(!refused.is_finished(), "the store has not answered yet");
        // Before the connection ends, so that the next attempt finds it.
        double.behave(Manner::Reply("+OK\r\n"));
        double.hang_up();
        refused.await.unwrap();
        let store = connect(&target, 1).await;
        double.behave(HIT);
        assert_eq!(get(&store).await, Ok(Lookup::Hit));
    });
}

#[test]
fn the_bridge_blocks_threads_of_its_own_and_as_many_as_it_was_told() {
    const THREADS: usize = 3;
    let double = Double::start(Manner::Late("$1\r\nx\r\n"));
    let pool = BlockingPool::start(&double.target(), THREADS as u32).unwrap();
    Builder::new_current_thread().build().unwrap().block_on(async {
        let mut requests: Vec<_> = (0..10).map(|_| Box::pin(get(&pool))).collect();
        poll_fn(|context| {
            assert!(requests.iter_mut().all(|request| request.as_mut().poll(context).is_pending()));
            Poll::Ready(())
        })
        .await;
        // Each thread blocks on the reply it does not get.
        double.wait_for_commands(THREADS);
        double.wait_for_connections(THREADS);
        assert_eq!(double.commands().len(), THREADS);
        assert_eq!(double.connections(), THREADS);
        double.behave(HIT);
        double.hang_up();
        for request in requests {
            let _ = request.await;
        }
    });
}

#[test]
fn the_bridge_tells_what_the_store_replied_also_after_a_request_that_was_given_up() {
    let double = Double::start(HIT);
    let pool = BlockingPool::start(&double.target(), 3).unwrap();
    Builder::new_current_thread().build().unwrap().block_on(async {
        give_up(&pool).await;
        for _ in 0..20 {
            assert_eq!(get(&pool).await, Ok(Lookup::Hit));
        }
        double.behave(Manner::Reply("+OK\r\n"));
        assert_eq!(pool.set(Key::new(7), b"v").await, Ok(()));
        double.behave(Manner::Reply("-ERR no\r\n"));
        assert_eq!(get(&pool).await, Err(StoreError::Refused));
    });
}
