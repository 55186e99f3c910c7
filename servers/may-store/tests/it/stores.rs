//! Both stores, used by coroutines of one worker.

use std::{
    sync::Once,
    time::{Duration, Instant},
};

use may::go;
use stack_contract::{Lookup, Store, StoreError, keys::Key};
use stack_may_store::{MultiplexedStore, PooledStore, runtime};
use stack_redis_store::Target;

use crate::double::{Double, Manner, nobody};

const HIT: Manner = Manner::Reply("$1\r\nx\r\n");

/// Generous: only a failing test waits that long.
const DEADLINE: Duration = Duration::from_secs(10);

fn one_worker() {
    static CONFIGURED: Once = Once::new();
    CONFIGURED.call_once(|| runtime::configure(1));
}

/// Runs it as a coroutine and waits for it.
fn coroutine<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    one_worker();
    go!(body).join().unwrap()
}

/// Does it with each kind of store.
fn with_both(target: &Target, check: impl Fn(&mut dyn Store) + Send + Copy + 'static) {
    one_worker();
    let (mut pooled, mut multiplexed) = (PooledStore::new(target, 2), MultiplexedStore::connect(target, 1));
    coroutine(move || check(&mut pooled));
    coroutine(move || check(&mut multiplexed));
}

fn get(store: &mut dyn Store) -> Result<Lookup, StoreError> {
    store.get(Key::new(7))
}

/// The first result for which it holds.
fn get_until(store: &mut dyn Store, wanted: Result<Lookup, StoreError>) {
    let start = Instant::now();
    loop {
        let result = get(store);
        if result == wanted {
            return;
        }
        assert!(start.elapsed() < DEADLINE, "{result:?}, not {wanted:?}");
        may::coroutine::sleep(Duration::from_millis(5));
    }
}

#[test]
fn commands_go_out_as_asked_and_none_beside_them() {
    let double = Double::start(HIT);
    with_both(&double.target(), |store| assert_eq!(get(store), Ok(Lookup::Hit)));
    double.behave(Manner::Reply("+OK\r\n"));
    with_both(&double.target(), |store| assert_eq!(store.set(Key::new(7), b"v"), Ok(())));
    let (get, set) = (vec!["GET", "cache:7"], vec!["SET", "cache:7", "v"]);
    assert_eq!(double.commands(), [get.clone(), get, set.clone(), set]);
}

#[test]
fn replies_mean_what_they_say() {
    for (reply, meaning) in [
        ("$-1\r\n", Ok(Lookup::Miss)),
        ("-NOPERM no\r\n", Err(StoreError::Refused)),
        (":1\r\n", Err(StoreError::Protocol)),
        ("$0\r\n\r\n", Ok(Lookup::Hit)),
    ] {
        let double = Double::start(Manner::Reply(reply));
        with_both(&double.target(), move |store| assert_eq!(get(store), meaning, "{reply:?}"));
    }
}

#[test]
fn without_a_store_they_fail_at_once() {
    let (target, _port) = nobody();
    let before = Instant::now();
    with_both(&target, |store| (0..100).for_each(|_| assert_eq!(get(store), Err(StoreError::Unavailable))));
    assert!(before.elapsed() < DEADLINE / 2, "{:?}", before.elapsed());
}

#[test]
fn a_late_reply_is_a_timeout_and_not_taken_for_the_next_one() {
    let double = Double::start(Manner::Late("$-1\r\n"));
    let target = double.target().with_response_timeout(Duration::from_millis(100));
    with_both(&target, |store| assert_eq!(get(store), Err(StoreError::Timeout)));
    double.behave(HIT);
    with_both(&target, |store| get_until(store, Ok(Lookup::Hit)));
}

#[test]
fn a_store_that_hangs_up_is_an_error_and_comes_back() {
    let double = Double::start(Manner::HangUp);
    with_both(&double.target(), |store| assert!(get(store).is_err()));
    double.behave(HIT);
    with_both(&double.target(), |store| get_until(store, Ok(Lookup::Hit)));
}

#[test]
fn a_connection_that_was_lost_while_idle_is_not_noticed() {
    let double = Double::start(HIT);
    let mut pooled = PooledStore::new(&double.target(), 1);
    let mut again = pooled.clone();
    coroutine(move || assert_eq!(get(&mut pooled), Ok(Lookup::Hit)));
    double.hang_up();
    coroutine(move || assert_eq!(get(&mut again), Ok(Lookup::Hit)));
    assert_eq!(double.connections(), 2);
}

#[test]
fn any_number_of_coroutines_share_few_connections() {
    const COROUTINES: usize = 200;
    let double = Double::start(HIT);
    one_worker();
    let (pooled, multiplexed) = (PooledStore::new(&double.target(), 3), MultiplexedStore::connect(&double.target(), 2));
    let coroutines: Vec<_> = (0..COROUTINES)
        .map(|_| {
            let (mut pooled, mut multiplexed) = (pooled.clone(), multiplexed.clone());
            go!(move || {
                assert_eq!(get(&mut pooled), Ok(Lookup::Hit));
                assert_eq!(get(&mut multiplexed), Ok(Lookup::Hit));
            })
        })
        .collect();
    for coroutine in coroutines {
        coroutine.join().unwrap();
    }
    assert_eq!(double.commands().len(), 2 * COROUTINES);
    assert!(double.connections() <= 5, "{}", double.connections());
}

#[test]
fn holds_wait_side_by_side_as_far_as_there_are_places() {
    const TIME: Duration = Duration::from_millis(30);
    const COROUTINES: u32 = 200;
    const PLACES: u32 = 20;
    one_worker();
    let (target, _port) = nobody();
    let (pooled, multiplexed) = (PooledStore::new(&target, PLACES), MultiplexedStore::connect(&target, 1));
    let bounded = held(COROUTINES, move || pooled.clone().hold(TIME));
    assert!(bounded >= TIME * (COROUTINES / PLACES), "{bounded:?}: more than the pool has places");
    assert!(bounded < TIME * COROUTINES, "{bounded:?}: one after the other");
    let unbounded = held(COROUTINES, move || multiplexed.clone().hold(TIME));
    assert!(unbounded >= TIME && unbounded < TIME * COROUTINES, "{unbounded:?}");
}

/// How long so many coroutines take together.
fn held(coroutines: u32, hold: impl Fn() + Send + Clone + 'static) -> Duration {
    let begun = Instant::now();
    let coroutines: Vec<_> = (0..coroutines).map(|_| go!(hold.clone())).collect();
    coroutines.into_iter().for_each(|coroutine| coroutine.join().unwrap());
    begun.elapsed()
}
