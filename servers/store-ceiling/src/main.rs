//! Asks the store as the stacks do, by the same clients, without HTTP: what the store and its clients can do at most.
//!
//! Two ways, one after the other, each with a warm-up and a window of its own:
//! - *plain*: a thread for each connection, which sends its next command when it has the reply;
//! - *multiplexed*: one connection and one thread, with so many commands in flight on it.
//!
//! Prints one line of JSON: `{"multiplexed_per_sec": …, "plain_per_sec": …}`.

use std::{
    cell::Cell,
    process::ExitCode,
    rc::Rc,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use stack_contract::{
    AsyncStore, Lookup, Store, StoreError,
    keys::{self, VALUE},
};
use stack_redis_store::{BlockingStore, MultiplexedStore, Target};

/// Connections are made and code is paged in; nothing here takes longer to come to its pace.
const WARMUP: Duration = Duration::from_millis(100);

/// Asks a store as the stacks do, without HTTP, and prints how many commands a second it answers
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The store
    #[arg(long, value_name = "URL")]
    redis: String,
    /// What it is asked
    #[arg(long, value_enum)]
    command: Command,
    /// Plain connections, each with a thread
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    connections: u32,
    /// Commands in flight on the multiplexed connection
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    in_flight: u32,
    /// Length of each of the two windows, in milliseconds
    #[arg(long, value_name = "MS", default_value = "400", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    window_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Command {
    Get,
    Set,
}

fn main() -> ExitCode {
    match measure(&Args::parse()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("store-ceiling: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<String> {
    let target = Target::parse(&args.redis)?;
    let window = Duration::from_millis(args.window_ms);
    keys::prepare();
    let plain = plain(&target, args.command, args.connections, window).context("over plain connections")?;
    let multiplexed = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?
        .block_on(multiplexed(&target, args.command, args.in_flight, window))
        .context("over one multiplexed connection")?;
    Ok(serde_json::json!({ "multiplexed_per_sec": multiplexed, "plain_per_sec": plain }).to_string())
}

/// Replies per second to so many threads, each with a connection of its own.
fn plain(target: &Target, command: Command, connections: u32, window: Duration) -> Result<f64> {
    let (counted, is_over, begins) =
        (AtomicU64::new(0), AtomicBool::new(false), Barrier::new(connections as usize + 1));
    thread::scope(|scope| {
        let ask = || {
            let mut store = BlockingStore::new(target.clone());
            // The first command connects.
            let first = asked(&mut store, command);
            begins.wait();
            first?;
            while !is_over.load(Ordering::Relaxed) {
                asked(&mut store, command)?;
                counted.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        };
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(ask)).collect();
        begins.wait();
        // What is measured is a rate over time: there is no state to wait for.
        thread::sleep(WARMUP);
        let (before, began) = (counted.load(Ordering::Relaxed), Instant::now());
        thread::sleep(window);
        let (after, took) = (counted.load(Ordering::Relaxed), began.elapsed());
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().try_for_each(|thread| thread.join().expect("asking a store does not panic"))?;
        rate(after - before, took)
    })
}

fn asked(store: &mut BlockingStore, command: Command) -> Result<()> {
    match command {
        Command::Get => hit(store.get(keys::draw())),
        Command::Set => Ok(store.set(keys::draw(), VALUE)?),
    }
}

/// Replies per second on one connection with so many commands in flight.
async fn multiplexed(target: &Target, command: Command, in_flight: u32, window: Duration) -> Result<f64> {
    let store = MultiplexedStore::connect(target, 1).await;
    let (counted, is_over) = (Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(false)));
    let tasks = tokio::task::LocalSet::new();
    let asking: Vec<_> = (0..in_flight)
        .map(|_| {
            let (store, counted, is_over) = (store.clone(), Rc::clone(&counted), Rc::clone(&is_over));
            tasks.spawn_local(async move {
                while !is_over.get() {
                    match command {
                        Command::Get => hit(store.get(keys::draw()).await)?,
                        Command::Set => store.set(keys::draw(), VALUE).await?,
                    }
                    counted.set(counted.get() + 1);
                }
                anyhow::Ok(())
            })
        })
        .collect();
    tasks
        .run_until(async {
            tokio::time::sleep(WARMUP).await;
            let (before, began) = (counted.get(), Instant::now());
            tokio::time::sleep(window).await;
            let (after, took) = (counted.get(), began.elapsed());
            is_over.set(true);
            for task in asking {
                task.await.context("asking a store does not panic")??;
            }
            rate(after - before, took)
        })
        .await
}

/// A miss costs the store less than a hit.
fn hit(looked: Result<Lookup, StoreError>) -> Result<()> {
    ensure!(looked? == Lookup::Hit, "the store has no such key; load cache:0 to cache:99999 first");
    Ok(())
}

fn rate(replies: u64, took: Duration) -> Result<f64> {
    ensure!(replies > 0, "the store answered nothing within {:.1} s", took.as_secs_f64());
    Ok(replies as f64 / took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_replies_over_time_and_no_reply_is_none() {
        assert_eq!(rate(50, Duration::from_millis(500)).unwrap(), 100.0);
        assert!(rate(0, Duration::from_secs(1)).unwrap_err().to_string().contains("answered nothing"));
    }

    #[test]
    fn a_key_that_is_not_there_ends_the_measurement() {
        assert!(hit(Ok(Lookup::Hit)).is_ok());
        assert!(hit(Ok(Lookup::Miss)).unwrap_err().to_string().contains("no such key"));
    }

    #[test]
    fn a_store_that_is_not_there_is_an_error_and_no_rate_of_zero() {
        // Bound and closed again: nobody listens there.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let target = Target::parse(&format!("redis://127.0.0.1:{port}")).unwrap();
        assert!(plain(&target, Command::Get, 2, Duration::from_millis(1)).is_err());
    }
}
