//! Accepts connections, as one coroutine, and gives each a coroutine of its own.

use std::{
    io,
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
    panic::{self, AssertUnwindSafe},
    process,
};

use may::{
    coroutine::{self, Builder},
    go,
};
use stack_contract::{limits::ACCEPT_PAUSE, program::EXIT_BROKEN};
use stack_may_store::{Stores, Watched};

use crate::{client::Client, registry::Registry};

/// Accepts until the registry is told to stop.
///
/// # Errors
/// When the listener cannot be watched.
pub fn start(listener: TcpListener, stores: Stores, registry: &'static Registry) -> io::Result<()> {
    let listener = Watched::new(listener)?;
    registry.open(listener.waker());
    go!(move || {
        let accepting = AssertUnwindSafe(|| accept_all(&listener, &stores, registry));
        if panic::catch_unwind(accepting).is_err() {
            // Most likely no memory for one more stack. Better no server than one that is deaf.
            process::exit(EXIT_BROKEN.into());
        }
        // First, so that whoever sees that it is closed finds nobody listening.
        drop(listener);
        registry.close();
    });
    Ok(())
}

fn accept_all(listener: &Watched<TcpListener>, stores: &Stores, registry: &'static Registry) {
    loop {
        registry.wait_for_place();
        let Some(stream) = accept(listener, registry) else { return registry.return_place() };
        if let Err(error) = spawn(stream, stores.clone(), registry) {
            // The system's memory, or its limit of watches or mappings.
            eprintln!("accept: cannot serve a connection: {error}");
            coroutine::sleep(ACCEPT_PAUSE);
        }
    }
}

/// The next connection; `None` when the server is to stop.
fn accept(listener: &Watched<TcpListener>, registry: &Registry) -> Option<TcpStream> {
    while !registry.is_stopping() {
        match listener.socket().accept() {
            Ok((stream, _)) => return Some(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.wait();
            }
            // The client gave up before we came to it.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                eprintln!("accept: {error}");
                coroutine::sleep(ACCEPT_PAUSE);
            }
        }
    }
    None
}

fn spawn(stream: TcpStream, stores: Stores, registry: &'static Registry) -> io::Result<()> {
    // may's event loops share the descriptors out by number: the coroutine starts where its events will come.
    let builder = Builder::new().id(stream.as_raw_fd() as usize);
    let client = Client::new(stream, stores, registry).inspect_err(|_| registry.return_place())?;
    go!(builder, move || client.serve())?;
    Ok(())
}
