//! One acceptor, which hands connections to a number of worker threads in turn, so that each has its share from the
//! first moment on.

use std::{
    net::{TcpListener, TcpStream},
    process,
    sync::{Arc, mpsc},
    thread,
};

use anyhow::{Context, Result};
use stack_contract::{Args, Shutdown, listener, program::EXIT_BROKEN};

use crate::{
    acceptor::{self, Places},
    intake::FromAcceptor,
    mailbox::Mailbox,
    service::{Registry, Service},
    worker::Worker,
};

/// Serves with `--workers` threads until the server is to stop. `service` makes the service of each worker, on the
/// worker's thread, so that it need not be able to leave it.
///
/// # Errors
/// When a worker cannot be set up.
pub fn serve<S: Service>(
    args: &Args,
    listener: TcpListener,
    shutdown: Shutdown,
    service: impl Fn(&Registry) -> Result<S> + Clone + Send + 'static,
) -> Result<()> {
    // For the rest of the program's life, so that its end need not wait for threads that were started before one
    // could not be.
    let places: &'static Places = Box::leak(Box::new(Places::new(args.max_connections)?));
    let shutdown = Arc::new(shutdown);
    let mut mailboxes = Vec::new();
    let mut running = Vec::new();
    for _ in 0..args.workers {
        let mailbox = Arc::new(Mailbox::new()?);
        let intake = FromAcceptor::new(Arc::clone(&mailbox), places);
        running.push(start(&shutdown, intake, service.clone()).context("cannot start a worker")?);
        mailboxes.push(mailbox);
    }
    listener::announce(&listener)?;
    let mut turn = mailboxes.iter().cycle();
    acceptor::run(listener, &shutdown, places, |stream: TcpStream| {
        if let Some(mailbox) = turn.next() {
            mailbox.put(stream);
        }
    })?;
    mailboxes.iter().for_each(|mailbox| mailbox.close());
    for worker in running {
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    Ok(())
}

/// Starts a worker, and returns when it is set up.
fn start<S: Service>(
    shutdown: &Arc<Shutdown>,
    intake: FromAcceptor,
    service: impl Fn(&Registry) -> Result<S> + Send + 'static,
) -> Result<thread::JoinHandle<()>> {
    let (report, started) = mpsc::channel();
    let shutdown = Arc::clone(shutdown);
    let run = move || match Worker::new(&shutdown, intake, service) {
        Ok(worker) => {
            // Nobody listens only if the program is ending already.
            let _ = report.send(Ok(()));
            worker.run().unwrap_or_else(|error| give_up(&error));
        }
        Err(error) => {
            let _ = report.send(Err(error));
        }
    };
    let thread = thread::Builder::new().name("worker".into()).spawn(run)?;
    started.recv().context("it panicked")??;
    Ok(thread)
}

/// A worker that failed leaves its connections, and its share of the next ones, without anybody: better no server.
fn give_up(error: &anyhow::Error) {
    eprintln!("worker: {error:#}");
    process::exit(EXIT_BROKEN.into());
}
