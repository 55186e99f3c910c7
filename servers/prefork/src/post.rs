//! Connections from process to process, over a pair of sockets: the master sends them, the worker sends back one byte
//! for each that ended. Either end is closed by the kernel when its process dies, and the other one learns of it.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::{Shutdown, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::{
    cmsg_space,
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        recvmsg, sendmsg,
    },
};
use stack_event_loop::Intake;

/// Ended connections that the master is told of by one read.
const ENDED_AT_ONCE: usize = 256;

/// The master's end.
#[derive(Debug)]
pub struct Sender(UnixStream);

impl Sender {
    /// A pair: the master's end, and what becomes the worker's standard input.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (masters, workers) = UnixStream::pair()?;
        Ok((Self(masters), workers.into()))
    }

    /// The same end once more, to listen on another thread.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Hands a connection over; does not wait for a worker that takes none at the moment.
    pub fn send(&self, stream: &TcpStream) -> rustix::io::Result<()> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = [stream.as_fd()];
        // Cannot fail: there is room for one.
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        // A descriptor travels with at least one byte.
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sendmsg(&self.0, &[IoSlice::new(&[0])], &mut ancillary, flags).map(drop)
    }

    /// Waits for connections to end, and says how many did; `None` when the worker is gone.
    pub fn wait_for_ended(&self) -> Option<u32> {
        loop {
            match (&self.0).read(&mut [0; ENDED_AT_ONCE]) {
                Ok(0) => return None,
                Ok(number) => return Some(number as u32),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Tells the worker that nothing more will come: it is to finish.
    pub fn finish(&self) {
        // Fails only if the worker is gone.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

/// The worker's end.
#[derive(Debug)]
pub struct Receiver {
    socket: UnixStream,
    is_done: bool,
}

impl Receiver {
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket: socket.into(), is_done: false }
    }

    /// The next connection, if there is one now.
    fn receive(&mut self) -> Option<TcpStream> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        loop {
            match recvmsg(&self.socket, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, flags) {
                Ok(message) if message.bytes == 0 => self.is_done = true,
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return None,
                // The master is gone with bytes unread.
                Err(_) => self.is_done = true,
            }
            break;
        }
        let mut descriptors = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        descriptors.next()?.next().map(TcpStream::from)
    }
}

impl Intake for Receiver {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn take(&mut self, into: &mut Vec<TcpStream>) {
        into.extend(std::iter::from_fn(|| self.receive()));
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn release(&mut self) {
        // Fails only if the master is gone, which is noticed elsewhere.
        let _ = self.socket.write(&[0]);
    }

    /// What the master has sent already is received nevertheless, what it is about to send it gives to another.
    fn refuse(&mut self) {
        // Fails only if the master is gone.
        let _ = self.socket.shutdown(Shutdown::Read);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn ends() -> (Sender, Receiver) {
        let (sender, socket) = Sender::pair().unwrap();
        (sender, Receiver::new(socket))
    }

    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn connections_arrive_one_by_one_and_their_ends_are_counted() {
        let (sender, mut receiver) = ends();
        let (clients, streams): (Vec<_>, Vec<_>) = (0..3).map(|_| connection()).unzip();
        streams.iter().for_each(|stream| sender.send(stream).unwrap());
        drop(streams);
        let mut taken = Vec::new();
        receiver.take(&mut taken);
        assert!(!receiver.is_done());
        for (mut client, stream) in clients.iter().zip(&mut taken) {
            stream.write_all(b"here").unwrap();
            let mut read = [0; 4];
            client.read_exact(&mut read).unwrap();
            assert_eq!(&read, b"here");
        }
        assert_eq!(taken.len(), 3);
        for _ in 0..2 {
            receiver.release();
        }
        let mut ended = 0;
        while ended < 2 {
            ended += sender.wait_for_ended().unwrap();
        }
        drop(receiver);
        assert_eq!((ended, sender.wait_for_ended()), (2, None));
    }

    #[test]
    fn what_was_sent_before_the_end_is_received_before_it() {
        let (sender, mut receiver) = ends();
        sender.send(&connection().1).unwrap();
        sender.finish();
        let mut taken = Vec::new();
        receiver.take(&mut taken);
        assert_eq!((taken.len(), receiver.is_done()), (1, true));
    }

    #[test]
    fn a_worker_that_refuses_still_gets_what_is_under_way_and_nothing_more() {
        let (sender, mut receiver) = ends();
        sender.send(&connection().1).unwrap();
        receiver.refuse();
        assert_eq!(sender.send(&connection().1), Err(Errno::PIPE));
        let mut taken = Vec::new();
        receiver.take(&mut taken);
        assert_eq!((taken.len(), receiver.is_done()), (1, true));
    }
}
