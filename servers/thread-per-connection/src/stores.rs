//! What one thread asks of the stores.

use std::sync::Arc;

use stack_contract::{Answer, Mode, Operation};
use stack_redis_store::{BlockingStore, MultiplexedStore, Target, Tokio};
use stack_threads::Waiter;
use tokio::runtime::{EnterGuard, Handle};

use crate::lender::{Lender, Seat};

/// What all threads share.
pub struct Shared {
    // Boxed, as they pass from hand to hand.
    blocking: Lender<Box<BlockingStore>>,
    multiplexed: MultiplexedStore<Tokio>,
    runtime: Handle,
}

impl Shared {
    pub fn new(target: &Target, pool: u32, multiplexed: MultiplexedStore<Tokio>, runtime: Handle) -> Self {
        let blocking = (0..pool).map(|_| Box::new(BlockingStore::new(target.clone()))).collect();
        Self { blocking: Lender::new(blocking), multiplexed, runtime }
    }
}

/// One thread's access.
pub struct Stores {
    shared: &'static Shared,
    seat: Arc<Seat<Box<BlockingStore>>>,
    waiter: Waiter,
    /// The multiplexed client's timeouts need to know the runtime.
    _entered: EnterGuard<'static>,
}

impl Stores {
    /// For the calling thread.
    pub fn new(shared: &'static Shared) -> Self {
        let _entered = shared.runtime.enter();
        Self { shared, seat: Seat::current(), waiter: Waiter::current(), _entered }
    }

    pub fn run(&mut self, mode: Mode, operation: Operation) -> Answer {
        match mode {
            Mode::Sync => self.shared.blocking.lend(&self.seat, |store| operation.run(&mut **store)),
            // This thread waits; the runtime's thread does the talking.
            Mode::Async => self.waiter.wait(operation.run_async(&self.shared.multiplexed)),
        }
    }
}
