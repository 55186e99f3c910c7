//! A connection of raw bytes, and a reader of answers that forgives nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use jiff::civil::DateTime;
use socket2::{Domain, SockRef, Socket, Type};

/// How long an answer may take: only bad servers wait so long, so it may be generous to a noisy machine.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may take to close a connection it must close: ten times the linger any HTTP library uses.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// How far a `Date` may lie from the time between question and answer: servers render it once a second, and some round.
const DATE_TOLERANCE: Duration = Duration::from_secs(2);
/// A head larger than this is no answer of ours.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// No route answers more.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// What a client of little memory has for either direction: the kernel makes of it what it must have at least.
const NARROW_BYTES: usize = 4 * 1024;
/// The segments of such a client. What a kernel buffers for a connection before it has measured anything grows with the
/// size of its segments, and those of the loopback interface are of 64 KiB.
const NARROW_SEGMENT_BYTES: u32 = 536;
/// How long a reset may trail the end that it explains: both come from one call of `close` and what had been sent before.
const TRAILING_RESET: Duration = Duration::from_millis(50);
/// RFC 9110's preferred form of a date (IMF-fixdate), which is what a server must send.
const IMF_FIXDATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// A connection to the server under test.
pub(crate) struct Connection {
    stream: TcpStream,
    /// What has been read and not yet taken as an answer.
    unread: Vec<u8>,
    last_sent: SystemTime,
    /// When the suite's budget is used up.
    deadline: Instant,
    /// How long the next answer may take.
    answer_timeout: Duration,
    /// Set when the connection was found to have been reset.
    reset: bool,
}

/// What came where an answer was due.
#[derive(Debug)]
pub(crate) enum Reply {
    /// An answer.
    Answer(Answer),
    /// The end of the connection, without a byte. The server may have read the request.
    Closed,
    /// A reset, without a byte: the server closed and had left unread what was sent.
    Reset,
}

/// An answer, whole and well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 0 or 1, of HTTP/1.x.
    pub(crate) minor_version: u8,
    pub(crate) status: u16,
    /// Names in lower case, in the order they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header that is there exactly once.
    pub(crate) fn header(&self, name: &str) -> Result<&str> {
        let mut values = self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        let value = values.next().with_context(|| format!("the answer has no {name}"))?;
        ensure!(values.next().is_none(), "the answer has {name} more than once");
        Ok(value)
    }

    /// Whether one of the header's comma-separated values is this token.
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        let values = self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
    }
}

impl Connection {
    pub(crate) fn open(addr: SocketAddr, deadline: Instant) -> Result<Self> {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "the time budget is used up: the server is slow, or the machine busy");
        Self::over(TcpStream::connect_timeout(&addr, ANSWER_TIMEOUT.min(left)).context("cannot connect")?, deadline)
    }

    /// A connection for which neither side's kernel buffers much, so that who does not read is soon felt.
    pub(crate) fn open_narrow(addr: SocketAddr, deadline: Instant) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        // Settled in the handshake, hence before connecting.
        socket.set_recv_buffer_size(NARROW_BYTES)?;
        socket.set_tcp_mss(NARROW_SEGMENT_BYTES)?;
        socket.connect_timeout(&addr.into(), ANSWER_TIMEOUT).context("cannot connect")?;
        Self::over(socket.into(), deadline)
    }

    fn over(stream: TcpStream, deadline: Instant) -> Result<Self> {
        // Each write is to be a segment of its own.
        stream.set_nodelay(true)?;
        // A server may refuse a request and never read the rest of it.
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let last_sent = SystemTime::now();
        Ok(Self { stream, unread: Vec::new(), last_sent, deadline, answer_timeout: ANSWER_TIMEOUT, reset: false })
    }

    /// Lets each answer from now on take so long.
    pub(crate) fn patience(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.stream.write_all(bytes.as_ref()).context("cannot send the request")?;
        self.last_sent = SystemTime::now();
        Ok(())
    }

    /// Sends what the server may refuse before it has read it all; says whether it took it.
    pub(crate) fn offer(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.send(bytes).is_ok()
    }

    /// Sends these bytes over and over, of which `taken` were taken before, and reads nothing, until the server takes no more
    /// for a while. Returns how many bytes were taken in all; gives up when that is more than `at_most`.
    pub(crate) fn flood(&mut self, bytes: &[u8], taken: usize, at_most: usize, quiet: Duration) -> Result<usize> {
        self.stream.set_write_timeout(Some(quiet))?;
        let mut taken = taken;
        while taken <= at_most {
            ensure!(Instant::now() < self.deadline, "the time budget is used up after {taken} bytes");
            match self.stream.write(&bytes[taken % bytes.len()..]) {
                Ok(written) => taken += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Full, or cut off: an end of it in either case.
                Err(_) => break,
            }
        }
        self.stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(taken)
    }

    /// The port it comes from.
    pub(crate) fn port(&self) -> Result<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    /// Whether the server has neither closed nor sent anything.
    pub(crate) fn is_quiet(&self) -> Result<bool> {
        self.stream.set_nonblocking(true)?;
        let seen = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false)?;
        Ok(self.unread.is_empty() && seen.is_err_and(|error| error.kind() == ErrorKind::WouldBlock))
    }

    /// Resets the connection, as a client does that crashes or aborts: whatever is under way either way is lost.
    pub(crate) fn reset(self) -> Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).context("cannot reset the connection")
    }

    /// Reads the next answer, which must have the body its `Content-Length` says.
    pub(crate) fn answer(&mut self) -> Result<Answer> {
        let mut answer = self.head()?;
        let length: usize = answer.header("content-length")?.parse().context("Content-Length is no number")?;
        ensure!(length <= BODY_BYTES_MAX, "the body is announced as {length} bytes");
        let deadline = self.answer_deadline();
        while self.unread.len() < length {
            self.more(deadline).with_context(|| format!("the body ends before its {length} bytes"))?;
        }
        answer.body = self.unread.drain(..length).collect();
        Ok(answer)
    }

    /// Reads the next answer as one to HEAD: no body, whatever its `Content-Length` says.
    pub(crate) fn answer_to_head(&mut self) -> Result<Answer> {
        self.head()
    }

    /// Reads the next answer, or how the connection ended before its first byte.
    pub(crate) fn reply(&mut self) -> Result<Reply> {
        let deadline = self.answer_deadline();
        if !self.unread.is_empty() || self.fill(deadline)? > 0 {
            return self.answer().map(Reply::Answer);
        }
        Ok(if self.was_reset()? { Reply::Reset } else { Reply::Closed })
    }

    /// Of a connection that has ended: whether what was sent last was left unread.
    fn was_reset(&mut self) -> Result<bool> {
        let until = Instant::now() + TRAILING_RESET;
        while !self.reset && Instant::now() < until {
            self.reset = self.stream.take_error()?.is_some();
            thread::sleep(Duration::from_millis(1));
        }
        Ok(self.reset)
    }

    /// Waits for the first byte of an answer and leaves it unread.
    pub(crate) fn wait_for_first_byte(&mut self) -> Result<()> {
        let deadline = self.answer_deadline();
        while self.unread.is_empty() {
            self.more(deadline)?;
        }
        Ok(())
    }

    /// Demands that the server closes the connection without another byte.
    pub(crate) fn expect_closed(&mut self) -> Result<()> {
        let deadline = self.deadline.min(Instant::now() + CLOSE_TIMEOUT);
        if self.unread.is_empty() && self.fill(deadline).context("the server leaves the connection open")? == 0 {
            return Ok(());
        }
        bail!("the server sends {} where it should close", excerpt(&self.unread))
    }

    /// Demands a refusal: a status of the 4xx class, or 501 or 505, and then the end of the connection.
    pub(crate) fn expect_refused(&mut self) -> Result<()> {
        let status = self.last_status()?.context("the server closes without saying why")?;
        ensure!((400..500).contains(&status) || [501, 505].contains(&status), "the server answers {status}");
        Ok(())
    }

    /// The status of what must be the connection's last answer, or `None` if it is closed without one. Only the status
    /// line is read: these answers are often an HTTP library's own, which no handler has seen.
    pub(crate) fn last_status(&mut self) -> Result<Option<u16>> {
        let answered_by = self.answer_deadline();
        while !self.unread.contains(&b'\n') {
            if self.fill(answered_by)? == 0 {
                ensure!(self.unread.is_empty(), "the server ends within its status line");
                return Ok(None);
            }
        }
        let end = self.unread.iter().position(|&byte| byte == b'\n').unwrap_or_default();
        let line = text(&self.unread[..end])?;
        let (_, status) = status_line(line.strip_suffix('\r').context("the status line ends in a bare LF")?)?;
        let closed_by = self.deadline.min(Instant::now() + CLOSE_TIMEOUT);
        loop {
            let read = self.fill(closed_by).with_context(|| format!("{status}, but the connection stays open"))?;
            if read == 0 {
                return Ok(Some(status));
            }
        }
    }

    /// Says that nothing more will be sent, and still reads.
    pub(crate) fn close_sending(&mut self) -> Result<()> {
        self.stream.shutdown(Shutdown::Write).context("cannot close the sending side")
    }

    fn answer_deadline(&self) -> Instant {
        self.deadline.min(Instant::now() + self.answer_timeout)
    }

    fn head(&mut self) -> Result<Answer> {
        let deadline = self.answer_deadline();
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at;
            }
            ensure!(self.unread.len() < HEAD_BYTES_MAX, "no end of head in {HEAD_BYTES_MAX} bytes");
            self.more(deadline)?;
        };
        let head: Vec<u8> = self.unread.drain(..end + 4).collect();
        let answer = parse_head(text(&head[..end])?).with_context(|| format!("in {}", excerpt(&head)))?;
        self.check_date(answer.header("date")?)?;
        Ok(answer)
    }

    fn check_date(&self, date: &str) -> Result<()> {
        let seconds = parse_date(date).with_context(|| format!("the Date `{date}` is no IMF-fixdate"))?;
        let at = UNIX_EPOCH + Duration::from_secs(seconds);
        let possible = self.last_sent - DATE_TOLERANCE..=SystemTime::now() + DATE_TOLERANCE;
        ensure!(possible.contains(&at), "the Date `{date}` is not current");
        Ok(())
    }

    /// Reads at least one more byte.
    fn more(&mut self, deadline: Instant) -> Result<()> {
        if self.fill(deadline)? == 0 {
            bail!("the server closes the connection where an answer is due (received: {})", excerpt(&self.unread));
        }
        Ok(())
    }

    /// Reads what there is; 0 is the end of the connection, by whichever means.
    fn fill(&mut self, deadline: Instant) -> Result<usize> {
        let begun = Instant::now();
        let left = deadline.saturating_duration_since(begun);
        // A timeout of zero would mean none.
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(read) => {
                    self.unread.extend_from_slice(&chunk[..read]);
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&error.kind()) => {
                    self.reset = true;
                    return Ok(0);
                }
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                    let waited = begun.elapsed().as_secs_f64();
                    bail!("nothing for {waited:.1} s (received: {})", excerpt(&self.unread))
                }
                Err(error) => return Err(error).context("cannot read the answer"),
            }
        }
    }
}

/// Parses an answer's head, without its final blank line.
fn parse_head(head: &str) -> Result<Answer> {
    let mut lines = head.split("\r\n");
    let (minor_version, status) = status_line(lines.next().unwrap_or_default())?;
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').with_context(|| format!("`{line}` is no header"))?;
        ensure!(!name.is_empty() && name.bytes().all(is_token), "`{name}` is no header name");
        ensure!(
            !value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t'),
            "`{name}` has a control character"
        );
        headers.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_string()));
    }
    let answer = Answer { minor_version, status, headers, body: Vec::new() };
    ensure!(!answer.headers.iter().any(|(name, _)| name == "transfer-encoding"), "the answer has a Transfer-Encoding");
    Ok(answer)
}

/// The minor version and the status.
fn status_line(line: &str) -> Result<(u8, u16)> {
    let malformed = || format!("`{line}` is no status line");
    let minor_version = match line.get(..9) {
        Some("HTTP/1.1 ") => 1,
        Some("HTTP/1.0 ") => 0,
        _ => bail!(malformed()),
    };
    // The blank after the status is not optional, though the reason is.
    let (status, _reason) = line[9..].split_once(' ').with_context(malformed)?;
    ensure!(status.len() == 3, malformed());
    Ok((minor_version, status.parse().with_context(malformed)?))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn parse_date(date: &str) -> Result<u64> {
    let civil = DateTime::strptime(IMF_FIXDATE, date)?;
    let at: Timestamp = civil.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp();
    // The parser forgives what the format does not, such as a missing leading zero.
    ensure!(at.strftime(IMF_FIXDATE).to_string() == date, "not in the form {IMF_FIXDATE}");
    Ok(u64::try_from(at.as_second())?)
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).with_context(|| format!("{} is not text", excerpt(bytes)))
}

/// The first bytes of what came, for a message.
fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 120;
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    match bytes {
        [] => "nothing".into(),
        _ => format!("\"{}{more}\"", bytes[..bytes.len().min(SHOWN)].escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX: a, b";

    #[test]
    fn a_head_is_taken_apart() {
        let answer = parse_head(HEAD).unwrap();
        assert_eq!((answer.minor_version, answer.status), (1, 200));
        assert_eq!(answer.header("content-type").unwrap(), "application/json");
        assert!(answer.has_token("x", "B") && !answer.has_token("x", "a, b"));
        assert!(answer.header("date").is_err());
    }

    #[test]
    fn malformed_heads_are_refused() {
        let heads = [
            "HTTP/2 200 OK",
            "HTTP/1.1 200",
            "HTTP/1.1 20 OK",
            "http/1.1 200 OK",
            "HTTP/1.1 200 OK\r\nno colon",
            "HTTP/1.1 200 OK\r\nblank before : colon",
            "HTTP/1.1 200 OK\r\n folded: header",
            "HTTP/1.1 200 OK\r\na: line\nfeed",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
        ];
        for head in heads {
            assert!(parse_head(head).is_err(), "{head:?} was accepted");
        }
    }

    #[test]
    fn only_the_preferred_form_of_a_date_is_accepted() {
        assert_eq!(parse_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap(), 784_111_777);
        for date in [
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "",
        ] {
            assert!(parse_date(date).is_err(), "`{date}` was accepted");
        }
    }
}
