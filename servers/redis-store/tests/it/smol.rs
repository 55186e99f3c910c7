//! The asynchronous stores on smol's timers, in a build that has tokio's as well.

use std::{
    io,
    net::TcpStream,
    time::{Duration, Instant},
};

use async_io::{Async, Timer};
use stack_contract::{AsyncStore, Lookup, StoreError, keys::Key};
use stack_redis_store::{BridgedStore, MultiplexedStore, Runtime};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use crate::double::{Double, Manner};

const HIT: Manner = Manner::Reply("$1\r\nx\r\n");

/// Generous: only a failing test waits that long.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
struct Smol;

impl Runtime for Smol {
    type Socket = Async<TcpStream>;
    type Stream = Compat<Async<TcpStream>>;

    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Socket>> + Send {
        stack_smol_parts::connect(host, port)
    }

    fn stream(socket: Self::Socket) -> Self::Stream {
        socket.compat()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        stack_smol_parts::spawn(task);
    }

    async fn sleep(&self, time: Duration) {
        Timer::after(time).await;
    }

    fn unblock<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        work: W,
    ) -> impl Future<Output = Option<T>> + Send + use<T, W> {
        async { Some(work()) }
    }
}

fn run(test: impl Future<Output = ()> + Send + 'static) {
    stack_smol_parts::start(1).unwrap();
    stack_smol_parts::block_on(test);
}

async fn get(store: &impl AsyncStore) -> Result<Lookup, StoreError> {
    store.get(Key::new(7)).await
}

#[test]
fn both_stores_answer_on_smol() {
    let double = Double::start(HIT);
    let target = double.target();
    run(async move {
        assert_eq!(get(&MultiplexedStore::connect_on(&Smol, &target, 2).await).await, Ok(Lookup::Hit));
        assert_eq!(get(&BridgedStore::new(Smol, target)).await, Ok(Lookup::Hit));
    });
}

#[test]
fn a_store_that_does_not_reply_is_noticed_on_smol() {
    let double = Double::start(Manner::Late("$-1\r\n"));
    let target = double.target().with_response_timeout(Duration::from_millis(50));
    run(async move {
        // What the redis crate asks itself before it takes a timer.
        assert!(tokio::runtime::Handle::try_current().is_err());
        let store = MultiplexedStore::connect_on(&Smol, &target, 1).await;
        let start = Instant::now();
        assert_eq!(get(&store).await, Err(StoreError::Timeout));
        assert!(start.elapsed() < DEADLINE);
    });
}

#[test]
fn a_lost_connection_is_replaced_on_smol() {
    let double = Double::start(HIT);
    let target = double.target();
    run(async move {
        let store = MultiplexedStore::connect_on(&Smol, &target, 1).await;
        double.wait_for_connections(1);
        double.hang_up();
        let start = Instant::now();
        // No wait that blocks: the supervisor has no other thread than this one.
        while double.connections() < 2 || get(&store).await != Ok(Lookup::Hit) {
            assert!(start.elapsed() < DEADLINE);
            futures_lite::future::yield_now().await;
        }
    });
}
