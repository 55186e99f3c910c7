//! Both stores of one connection.

use stack_contract::{Answer, Args, Mode, Operation};
use stack_redis_store::Target;

use crate::{MultiplexedStore, PooledStore};

/// The stores that one coroutine uses. Clones, for other coroutines, share the connections.
#[derive(Clone)]
pub struct Stores {
    pooled: PooledStore,
    multiplexed: MultiplexedStore,
}

impl Stores {
    /// A pool of `--pool` connections, and one multiplexed connection for each of `--workers`. Not to be called by a
    /// coroutine.
    #[must_use]
    pub fn start(target: &Target, args: &Args) -> Self {
        Self {
            pooled: PooledStore::new(target, args.pool),
            multiplexed: MultiplexedStore::connect(target, args.workers),
        }
    }

    /// Does it, suspending the coroutine.
    // It draws a key, by a thread-local variable, before it is suspended.
    #[inline(never)]
    pub fn run(&mut self, mode: Mode, operation: Operation) -> Answer {
        match mode {
            Mode::Sync => operation.run(&mut self.pooled),
            Mode::Async => operation.run(&mut self.multiplexed),
        }
    }
}
