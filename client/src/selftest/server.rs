//! A scriptable TCP server: what it does with a request is a closure. For measuring the client, not for being fast.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A plain answer of the kind every stack gives.
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"status\": \"ok\"}";

/// The body of [`OK`].
pub const OK_BODY: &str = "{\"status\": \"ok\"}";

/// One connection, seen from the server, from its first request on.
pub struct Peer {
    stream: Arc<TcpStream>,
    /// Number among the connections that sent something.
    pub number: usize,
    /// The request, head and all.
    pub request: Vec<u8>,
    /// Requests on this connection before this one.
    pub earlier: usize,
    requests: Arc<AtomicUsize>,
    door: Arc<Door>,
}

/// What to do with the connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Wait for the next request.
    Stay,
    /// Close in good order.
    Close,
    /// Close with a reset.
    Reset,
}

impl Peer {
    /// Sends bytes; a client that has gone is none of the server's business.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes);
    }

    /// Sends bytes; false if the client has gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        (&*self.stream).write_all(&self.as_asked(bytes)).is_ok()
    }

    /// An answer as it is, or, to a request of HTTP/1.0, such as `ab -k` sends, with the word that the connection
    /// stays, if it can: without a length it is the end of the connection that ends the body.
    fn as_asked<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let is_old = self.request.windows(OLD_LINE_END.len()).any(|part| part == OLD_LINE_END);
        let line_end = bytes.windows(2).position(|pair| pair == b"\r\n");
        match line_end {
            Some(end) if is_old && bytes.windows(LENGTH.len()).any(|part| part == LENGTH) => {
                Cow::Owned([&bytes[..end], b"\r\nConnection: keep-alive", &bytes[end..]].concat())
            }
            _ => Cow::Borrowed(bytes),
        }
    }

    /// Has the server refuse connections from now on; those there are stay.
    pub fn refuse_others(&self) {
        self.door.close();
    }

    /// Waits for the client to close, reading nothing else.
    pub fn wait_for_close(&mut self) {
        while matches!((&*self.stream).read(&mut [0; 1024]), Ok(1..)) {}
    }

    fn next_request(&mut self) -> bool {
        self.request.clear();
        let (mut part, mut head) = ([0; 1024], None);
        while !head.is_some_and(|head| is_whole(&self.request, head)) {
            let Ok(count @ 1..) = (&*self.stream).read(&mut part) else { return false };
            // The end of the head may lie across two reads.
            let from = self.request.len().saturating_sub(HEAD_END.len() - 1);
            self.request.extend_from_slice(&part[..count]);
            let find = || self.request[from..].windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END);
            head = head.or_else(|| Some(from + find()? + HEAD_END.len()));
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        true
    }
}

/// The header that tells a body's length.
const LENGTH: &[u8] = b"Content-Length: ";

/// What ends a request line of HTTP/1.0.
const OLD_LINE_END: &[u8] = b" HTTP/1.0\r\n";

/// What ends a head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Whether bytes whose first head is so long are one request, with its body, or several without.
fn is_whole(bytes: &[u8], head: usize) -> bool {
    let text = String::from_utf8_lossy(&bytes[..head]);
    match text.lines().find_map(|line| line.strip_prefix("Content-Length: ")) {
        Some(length) => bytes.len() == head + length.parse::<usize>().unwrap_or(0),
        None => bytes.ends_with(HEAD_END),
    }
}

/// Where connections come in.
struct Door {
    address: SocketAddr,
    is_closed: AtomicBool,
}

impl Door {
    /// Wakes the acceptor, which sees then that it is over, and drops the listener.
    fn close(&self) {
        if !self.is_closed.swap(true, Ordering::SeqCst) {
            let _ = TcpStream::connect(self.address);
        }
    }
}

/// The server; it stops when dropped.
pub struct Server {
    door: Arc<Door>,
    requests: Arc<AtomicUsize>,
    /// Those that are open. Only their threads own them, so that a reset, which takes the last close, is one.
    streams: Arc<Mutex<Vec<Weak<TcpStream>>>>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves each request with `script`, every connection on a thread of its own.
    pub fn start(script: impl Fn(&mut Peer) -> Then + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let requests = Arc::new(AtomicUsize::new(0));
        let door = Arc::new(Door { address, is_closed: AtomicBool::new(false) });
        let streams = Arc::new(Mutex::new(Vec::new()));
        let acceptor = {
            let (requests, door, streams) = (Arc::clone(&requests), Arc::clone(&door), Arc::clone(&streams));
            thread::spawn(move || accept(&listener, &Arc::new(script), &requests, &door, &streams))
        };
        Self { door, requests, streams, acceptor: Some(acceptor) }
    }

    /// Answers every request with the same bytes.
    pub fn answering(bytes: &'static [u8]) -> Self {
        Self::start(move |peer| {
            peer.send(bytes);
            Then::Stay
        })
    }

    /// Answers every request after a pause.
    pub fn delaying(pause: Duration) -> Self {
        Self::start(move |peer| {
            thread::sleep(pause);
            peer.send(OK);
            Then::Stay
        })
    }

    /// A URL on it.
    pub fn url(&self) -> String {
        format!("http://{}/x", self.door.address)
    }

    /// Requests that arrived.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Refuses connections from now on and resets those there are.
    pub fn stop(&mut self) {
        self.door.close();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for stream in
            self.streams.lock().unwrap_or_else(PoisonError::into_inner).drain(..).filter_map(|stream| stream.upgrade())
        {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn accept(
    listener: &TcpListener,
    script: &Arc<impl Fn(&mut Peer) -> Then + Send + Sync + 'static>,
    requests: &Arc<AtomicUsize>,
    door: &Arc<Door>,
    streams: &Mutex<Vec<Weak<TcpStream>>>,
) {
    let numbers = Arc::new(AtomicUsize::new(0));
    while let Ok((stream, _)) = listener.accept() {
        if door.is_closed.load(Ordering::SeqCst) {
            return;
        }
        let _ = stream.set_nodelay(true);
        let stream = Arc::new(stream);
        streams.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&stream));
        let (script, numbers) = (Arc::clone(script), Arc::clone(&numbers));
        let (requests, door) = (Arc::clone(requests), Arc::clone(door));
        let peer = Peer { stream, number: 0, request: Vec::new(), earlier: 0, requests, door };
        thread::spawn(move || serve(peer, &*script, &numbers));
    }
}

fn serve(mut peer: Peer, script: &dyn Fn(&mut Peer) -> Then, numbers: &AtomicUsize) {
    while peer.next_request() {
        if peer.earlier == 0 {
            peer.number = numbers.fetch_add(1, Ordering::SeqCst);
        }
        let then = script(&mut peer);
        peer.earlier += 1;
        match then {
            Then::Stay => {}
            Then::Close => {
                let _ = peer.stream.shutdown(Shutdown::Both);
                return;
            }
            Then::Reset => {
                // Returning closes the socket.
                let _ = socket2::SockRef::from(&*peer.stream).set_linger(Some(Duration::ZERO));
                return;
            }
        }
    }
}
