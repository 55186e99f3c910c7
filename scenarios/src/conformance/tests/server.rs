//! A small server on threads that meets every demand, or fails to in one chosen way.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::reading::{Body, fill, skip_body};
use super::store::{MemoryStore, StoreConnection, StoreError};
use crate::conformance::{POOL, holds::HOLD, processes::ANSWERED_BEFORE_STOP};

const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
pub(super) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longer than any client waits.
const FOR_EVER: Duration = Duration::from_secs(60);
/// More connections than these are closed by [`Fault::ClosesCrowds`].
const CROWDED: usize = 100;
/// Threads of the pool that [`Fault::OwnsConnections`] has.
const NAIVE_POOL: usize = 16;
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(1);

/// In which way the server is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    AcceptsAnyHeaders,
    AcceptsBothFramings,
    AnswersEarly,
    AnswersGarbage,
    AnswersPipelinedBackwards,
    AsksTwice,
    BuffersWithoutLimit,
    ClosesAfterAnswer,
    ClosesAfterStoreError,
    ClosesCrowds,
    DiesOfResets,
    DropsWhatIsInFlight,
    ExitsWith1,
    HoldsAllInPool,
    HoldsNoneInPool,
    IgnoresClose,
    IgnoresHttp10,
    IgnoresSigterm,
    KeepsBadClients,
    KeepsPort,
    LeavesBodies,
    LocksWhileAsking,
    LosesHalfClosed,
    MatchesQueries,
    NeedsPort,
    NeverReconnects,
    NoAllow,
    NoStore,
    OldDate,
    OneReadIsOneRequest,
    OwnsConnections,
    Panics,
    RefusesWithoutReason,
    SendsBodyToHead,
    ServerErrorIs500,
    ShortValues,
    StartsAnyway,
    WaitsForTheRest,
    WrongBody,
}

pub(super) struct Server {
    fault: Fault,
    store: MemoryStore,
    /// What [`Fault::LocksWhileAsking`] locks.
    lock: Mutex<()>,
    /// Places of the pool that nobody has.
    places: Mutex<usize>,
    returned: Condvar,
    /// A handle of each connection there ever was.
    streams: Mutex<Vec<TcpStream>>,
    connected: AtomicUsize,
    /// The thread that owns the listener.
    accepting: OnceLock<JoinHandle<()>>,
    stopping: AtomicBool,
    /// Set by a reset under [`Fault::DiesOfResets`].
    dead: AtomicBool,
}

/// Starts a server on a free port; it ends with the test's process, if not before.
pub(super) fn start(fault: Fault, store: &MemoryStore) -> (Arc<Server>, SocketAddr) {
    raise_open_files();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = Arc::new(Server::new(fault, store));
    let accepting = Arc::clone(&server);
    let thread = thread::spawn(move || match fault {
        Fault::OwnsConnections => naive_pool(&listener, &accepting),
        _ => accept(&listener, &accepting),
    });
    server.accepting.set(thread).expect("it is set here only");
    (server, addr)
}

fn accept(listener: &TcpListener, server: &Arc<Server>) {
    for stream in listener.incoming().flatten() {
        if server.stopping.load(Ordering::SeqCst) && server.fault != Fault::KeepsPort {
            return;
        }
        let crowded = server.connected.fetch_add(1, Ordering::SeqCst) >= CROWDED;
        if crowded && server.fault == Fault::ClosesCrowds || server.dead.load(Ordering::SeqCst) {
            continue;
        }
        server.streams.lock().unwrap().push(stream.try_clone().unwrap());
        let server = Arc::clone(server);
        thread::spawn(move || {
            server.serve(stream);
            server.connected.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Both ends of several hundred connections are in this process, and other tests' may be too.
fn raise_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Where it is refused, the soft limit may still do.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn naive_pool(listener: &TcpListener, server: &Arc<Server>) {
    let (sender, receiver) = mpsc::channel();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..NAIVE_POOL {
        let (server, receiver) = (Arc::clone(server), Arc::clone(&receiver));
        thread::spawn(move || {
            loop {
                let Ok(stream) = receiver.lock().unwrap().recv() else { return };
                server.serve(stream);
            }
        });
    }
    for stream in listener.incoming().flatten() {
        sender.send(stream).unwrap();
    }
}

/// A request whose head and body have been read.
struct Request {
    method: String,
    path: String,
    keep_alive: bool,
    http_1_0: bool,
}

/// Why there is no request.
pub(super) enum Unusable {
    /// The client has gone.
    Gone,
    /// It must be refused.
    Refused(u16),
}

use Unusable::{Gone, Refused};

impl Server {
    fn new(fault: Fault, store: &MemoryStore) -> Self {
        Self {
            fault,
            store: store.clone(),
            lock: Mutex::default(),
            places: Mutex::new(POOL),
            returned: Condvar::new(),
            streams: Mutex::default(),
            connected: AtomicUsize::default(),
            accepting: OnceLock::default(),
            stopping: AtomicBool::default(),
            dead: AtomicBool::default(),
        }
    }

    /// What a good server does on SIGTERM: requests that have come are answered, and nothing more is read.
    pub(super) fn stop(&self, addr: SocketAddr) {
        self.stopping.store(true, Ordering::SeqCst);
        let how = if self.fault == Fault::DropsWhatIsInFlight { Shutdown::Both } else { Shutdown::Read };
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(how);
        }
        // Wakes the accept loop, which then sees that it is over.
        let _ = TcpStream::connect(addr);
    }

    /// Whether it holds no connection and no port any more.
    pub(super) fn is_deserted(&self) -> bool {
        let has_left_port = || self.accepting.get().is_none_or(JoinHandle::is_finished);
        self.connected.load(Ordering::SeqCst) == 0 && (self.fault == Fault::KeepsPort || has_left_port())
    }

    fn serve(&self, stream: TcpStream) {
        let stop = stream.try_clone().unwrap();
        self.serve_until_closed(stream);
        // The handle in `streams` keeps it open otherwise.
        let _ = stop.shutdown(Shutdown::Both);
    }

    fn serve_until_closed(&self, mut stream: TcpStream) {
        let mut writer = Writer::new(&stream, self.fault);
        let mut unread = Vec::new();
        let mut store = self.store.connect();
        let mut held_back: Option<Vec<u8>> = None;
        for answered in 0.. {
            let (answer, last) = match self.request(&mut stream, &mut unread) {
                Ok(request) => self.answer(&request, &mut store),
                Err(Gone) => return,
                Err(Refused(status)) => (self.refusal(status), self.fault != Fault::KeepsBadClients),
            };
            let more = held_back.is_none() && !unread.is_empty();
            if self.fault == Fault::AnswersPipelinedBackwards && more {
                held_back = Some(answer);
                continue;
            }
            if self.fault == Fault::DropsWhatIsInFlight && answered >= ANSWERED_BEFORE_STOP {
                // So that requests are in flight when it stops, however fast it is.
                while !self.stopping.load(Ordering::SeqCst) {
                    thread::sleep(POLL);
                }
                return;
            }
            if self.fault == Fault::LosesHalfClosed && has_ended(&stream) {
                return;
            }
            let written = writer.write(answer).and_then(|()| writer.write(held_back.take().unwrap_or_default()));
            if written.is_err() || last {
                return;
            }
        }
    }

    fn request(&self, stream: &mut TcpStream, unread: &mut Vec<u8>) -> Result<Request, Unusable> {
        let end = loop {
            if let Some(at) = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at;
            }
            // Every sound request line begins with a capital letter and is ended by CRLF.
            let bare = unread.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
            if bare || unread.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
                return Err(Refused(400));
            }
            if unread.len() > HEAD_BYTES_MAX {
                return Err(Refused(431));
            }
            if self.fault == Fault::OneReadIsOneRequest && !unread.is_empty() {
                return Err(Refused(400));
            }
            self.fill(stream, unread)?;
        };
        let head = String::from_utf8_lossy(&unread[..end]).into_owned();
        unread.drain(..end + 4);
        if head.len() > HEAD_BYTES_MAX {
            return Err(Refused(431));
        }
        let (request, body) = self.parse(&head)?;
        if self.fault != Fault::LeavesBodies {
            skip_body(stream, unread, body)?;
        }
        Ok(request)
    }

    fn fill(&self, stream: &mut TcpStream, unread: &mut Vec<u8>) -> Result<(), Unusable> {
        let filled = fill(stream, unread);
        match self.fault {
            Fault::WaitsForTheRest if filled.is_err() && !unread.is_empty() => thread::park_timeout(FOR_EVER),
            Fault::DiesOfResets if filled.is_err() => {
                self.dead.fetch_or(stream.read(&mut [0]).is_err() || !unread.is_empty(), Ordering::SeqCst);
            }
            _ => {}
        }
        filled
    }

    fn parse(&self, head: &str) -> Result<(Request, Body), Unusable> {
        let mut lines = head.split("\r\n");
        let parts: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let [method, path, version @ ("HTTP/1.1" | "HTTP/1.0")] = parts[..] else { return Err(Refused(400)) };
        let http_1_0 = version == "HTTP/1.0";
        let (mut keep_alive, mut hosts, mut body) = (!http_1_0, 0, Body::Sized(0));
        let (mut chunked, mut length) = (false, None);
        for (index, line) in lines.enumerate() {
            let (name, value) = line.split_once(':').ok_or(Refused(400))?;
            if index >= HEADERS_MAX && self.fault != Fault::AcceptsAnyHeaders {
                return Err(Refused(431));
            }
            match (name.to_ascii_lowercase().as_str(), value.trim()) {
                (name, _) if name.contains(' ') => return Err(Refused(400)),
                ("host", _) => hosts += 1,
                ("connection", value) if value.to_ascii_lowercase().contains("close") => keep_alive = false,
                ("connection", "keep-alive") => keep_alive = true,
                ("content-length", value) if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                    let value: usize = value.parse().map_err(|_| Refused(400))?;
                    if length.replace(value).is_some_and(|other| other != value) {
                        return Err(Refused(400));
                    }
                    body = Body::Sized(value);
                }
                ("content-length", _) => return Err(Refused(400)),
                ("transfer-encoding", "chunked") => chunked = true,
                ("transfer-encoding", _) => return Err(Refused(501)),
                _ => {}
            }
        }
        let two_framings = chunked && length.is_some() && self.fault != Fault::AcceptsBothFramings;
        if (hosts == 0 && !http_1_0) || two_framings {
            return Err(Refused(400));
        }
        let body = if chunked { Body::Chunked } else { body };
        keep_alive = match self.fault {
            Fault::IgnoresClose if !http_1_0 => true,
            Fault::IgnoresHttp10 if http_1_0 => true,
            Fault::ClosesAfterAnswer => false,
            _ => keep_alive,
        };
        Ok((Request { method: method.into(), path: path.into(), keep_alive, http_1_0 }, body))
    }

    /// The answer's bytes, and whether it is the connection's last.
    fn answer(&self, request: &Request, store: &mut StoreConnection) -> (Vec<u8>, bool) {
        let path = match self.fault {
            Fault::MatchesQueries => &request.path,
            _ => request.path.split('?').next().unwrap_or_default(),
        };
        let mut last = !request.keep_alive;
        let read = matches!(request.method.as_str(), "GET" | "HEAD");
        let status = match path {
            "/check" if read => {
                let _free = (self.fault == Fault::LocksWhileAsking).then(|| self.lock.lock().unwrap());
                200
            }
            "/myapp/sync/cache_hit" | "/myapp/async/cache_hit" if read => self.cached(store, Self::hit),
            "/myapp/sync/cache_set" | "/myapp/async/cache_set" if read => self.cached(store, Self::set),
            "/myapp/sync/hold" if read => self.hold(self.fault != Fault::HoldsNoneInPool, store),
            "/myapp/async/hold" if read => self.hold(self.fault == Fault::HoldsAllInPool, store),
            "/check" => 405,
            path if path.starts_with("/myapp/") && (path.ends_with("/cache_hit") || path.ends_with("/cache_set")) => {
                405
            }
            _ => 404,
        };
        last |= status == 503 && self.fault == Fault::ClosesAfterStoreError;
        let mut headers = String::new();
        if status == 405 && self.fault != Fault::NoAllow {
            headers.push_str("Allow: GET, HEAD\r\n");
        }
        if request.http_1_0 && request.keep_alive {
            headers.push_str("Connection: keep-alive\r\n");
        }
        (self.render(status, &headers, request.method != "HEAD" || self.fault == Fault::SendsBodyToHead), last)
    }

    fn cached(
        &self,
        store: &mut StoreConnection,
        ask: fn(&Self, &mut StoreConnection) -> Result<u16, StoreError>,
    ) -> u16 {
        if self.fault == Fault::NoStore {
            return 200;
        }
        if self.fault == Fault::AnswersEarly {
            let mut store = self.store.connect();
            let server = Self::new(Fault::Nothing, &self.store);
            thread::spawn(move || ask(&server, &mut store));
            return 200;
        }
        let _alone = (self.fault == Fault::LocksWhileAsking).then(|| self.lock.lock().unwrap());
        if self.fault == Fault::AsksTwice {
            let _ = ask(self, store);
        }
        ask(self, store).unwrap_or_else(|StoreError| {
            if self.fault != Fault::NeverReconnects {
                store.reconnect();
            }
            if self.fault == Fault::ServerErrorIs500 { 500 } else { 503 }
        })
    }

    fn hold(&self, in_pool: bool, store: &mut StoreConnection) -> u16 {
        if [Fault::NoStore, Fault::AnswersEarly].contains(&self.fault) {
            return 200;
        }
        if self.fault == Fault::AsksTwice {
            let _ = self.hit(store);
        }
        let _alone = (self.fault == Fault::LocksWhileAsking).then(|| self.lock.lock().unwrap());
        if in_pool {
            self.take_place();
        }
        thread::sleep(HOLD);
        if in_pool {
            *self.places.lock().unwrap() += 1;
            self.returned.notify_one();
        }
        200
    }

    fn take_place(&self) {
        *self.returned.wait_while(self.places.lock().unwrap(), |places| *places == 0).unwrap() -= 1;
    }

    fn hit(&self, store: &mut StoreConnection) -> Result<u16, StoreError> {
        Ok(if store.get()? { 200 } else { 404 })
    }

    fn set(&self, store: &mut StoreConnection) -> Result<u16, StoreError> {
        store.set(if self.fault == Fault::ShortValues { 1 } else { 1024 })?;
        Ok(200)
    }

    fn render(&self, status: u16, headers: &str, with_body: bool) -> Vec<u8> {
        let body = match (status, self.fault) {
            (200, Fault::WrongBody) => r#"{"status": "OK"}"#,
            (200, _) => r#"{"status": "ok"}"#,
            _ => r#"{"error": "no"}"#,
        };
        let date = match self.fault {
            Fault::OldDate => date(SystemTime::now() - Duration::from_secs(3600)),
            _ => date(SystemTime::now()),
        };
        let version = if self.fault == Fault::AnswersGarbage { "HTTP/1.1  " } else { "HTTP/1.1 " };
        let head = format!(
            "{version}{status} Reason\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nDate: {date}\r\n{headers}\r\n",
            body.len()
        );
        (if with_body { head + body } else { head }).into_bytes()
    }

    fn refusal(&self, status: u16) -> Vec<u8> {
        self.render(status, "Connection: close\r\n", true)
    }
}

/// The way back to the client.
enum Writer {
    Direct(TcpStream),
    /// Of [`Fault::BuffersWithoutLimit`].
    Unbounded(mpsc::Sender<Vec<u8>>),
}

impl Writer {
    fn new(stream: &TcpStream, fault: Fault) -> Self {
        let mut stream = stream.try_clone().unwrap();
        if fault != Fault::BuffersWithoutLimit {
            return Self::Direct(stream);
        }
        let (sender, receiver) = mpsc::channel::<Vec<u8>>();
        thread::spawn(move || receiver.into_iter().try_for_each(|bytes| stream.write_all(&bytes)));
        Self::Unbounded(sender)
    }

    fn write(&mut self, bytes: Vec<u8>) -> std::io::Result<()> {
        match self {
            Self::Direct(stream) => stream.write_all(&bytes),
            Self::Unbounded(sender) => sender.send(bytes).map_err(std::io::Error::other),
        }
    }
}

/// Whether the client has sent its last byte, and all were read.
fn has_ended(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let ended = matches!(stream.peek(&mut [0]), Ok(0));
    stream.set_nonblocking(false).unwrap();
    ended
}

fn date(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap().as_secs();
    Timestamp::from_second(seconds as i64).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
