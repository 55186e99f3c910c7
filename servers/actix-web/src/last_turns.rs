//! What the workers still do between the signal and actix's own shutdown.
//!
//! What actix finds on an idle connection when it is told to stop it reads and throws away. So it is told when every
//! worker has read what clients sent before the signal; from the signal on, each answer closes its connection.

use std::{sync::Arc, time::Duration};

use actix_web::rt;
use tokio::{
    sync::{Semaphore, watch},
    task, time,
};

/// Sockets that a turn of tokio's loop finds readable at the most: the default of `Builder::max_io_events_per_tick`.
const EVENTS_PER_TURN: u32 = 1024;

/// Turns beside those that it takes to find all sockets: what was found before the signal is still to be read in the
/// first, and a connection that was dealt in the last is read in the one after it.
const TURNS_AROUND: u32 = 2;

/// A turn takes milliseconds. A worker that needs longer is stuck, and the others must not wait for it.
const AT_MOST: Duration = Duration::from_millis(500);

/// Shared by the workers and whoever tells actix to stop.
#[derive(Clone)]
pub struct LastTurns {
    turns: u32,
    begin: watch::Sender<bool>,
    done: Arc<Semaphore>,
}

impl LastTurns {
    /// For workers that have so many connections each, at the most.
    pub fn of(connections: u32) -> Self {
        let turns = connections.div_ceil(EVENTS_PER_TURN) + TURNS_AROUND;
        Self { turns, begin: watch::Sender::new(false), done: Arc::new(Semaphore::new(0)) }
    }

    /// Makes the worker that this is called in one of those that are waited for.
    pub fn take_part(&self) {
        let (turns, mut begin, done) = (self.turns, self.begin.subscribe(), Arc::clone(&self.done));
        rt::spawn(async move {
            // Fails only if nobody is left who would wait.
            let _ = begin.wait_for(|begun| *begun).await;
            for _ in 0..turns {
                // Comes back when the loop has looked for readable sockets, and behind the tasks that it woke for them.
                task::yield_now().await;
            }
            done.add_permits(1);
        });
    }

    /// Waits until so many workers have read what clients sent before this was called.
    pub async fn wait(&self, workers: u32) {
        self.begin.send_replace(true);
        // Neither a worker that is stuck nor a semaphore that is closed, which this one never is, keeps us from stopping.
        let _ = time::timeout(AT_MOST, self.done.acquire_many(workers)).await;
    }
}
