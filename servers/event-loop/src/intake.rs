//! Where a loop's connections come from.

use std::{
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use crate::{acceptor::Places, mailbox::Mailbox};

/// A loop's source of connections.
pub trait Intake {
    /// Readable while there is something to [`take`](Self::take), and when there will be nothing more.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Takes all connections there are. `into` is empty.
    fn take(&mut self, into: &mut Vec<TcpStream>);

    /// Whether all connections that will ever come were taken.
    fn is_done(&self) -> bool;

    /// One of the connections taken has ended.
    fn release(&mut self);

    /// The loop is to stop: from here on it should be given no more, where that is not known already.
    fn refuse(&mut self) {}
}

/// From an acceptor in the same program.
#[derive(Debug)]
pub struct FromAcceptor {
    mailbox: Arc<Mailbox<TcpStream>>,
    places: &'static Places,
}

impl FromAcceptor {
    /// What the acceptor puts into `mailbox`, each on a place of its own.
    #[must_use]
    pub fn new(mailbox: Arc<Mailbox<TcpStream>>, places: &'static Places) -> Self {
        Self { mailbox, places }
    }
}

impl Intake for FromAcceptor {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.mailbox.filled().as_fd()
    }

    fn take(&mut self, into: &mut Vec<TcpStream>) {
        self.mailbox.take(into);
    }

    fn is_done(&self) -> bool {
        self.mailbox.is_done()
    }

    fn release(&mut self) {
        self.places.release(1);
    }
}
