//! What the kernel alone takes for requests and answers: the writes and reads of a load client without its parser, its
//! histograms and its clocks. `client/bench.sh` runs it beside wrk and stackload.
//!
//!   bare_exchange ADDR:PORT PATH CONNECTIONS SECONDS
//!
//! All answers must be as long as the first one. Prints the line of wrk's report that counts the requests.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// One read takes this much, as the client's.
const READ_BYTES: usize = 64 * 1024;
/// Events taken at once, as the client does.
const EVENTS_MAX: usize = 1024;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, connections, seconds] = &words[..] else {
        bail!("expected ADDR:PORT PATH CONNECTIONS SECONDS");
    };
    let address: SocketAddr = address.parse().context("ADDR:PORT")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
    let answer_bytes = measure_answer(address, &request)?;
    let streams = connect(address, connections.parse().context("CONNECTIONS")?)?;
    let begin = Instant::now();
    let requests = exchange(&streams, &request, answer_bytes, Duration::from_secs_f64(seconds.parse()?))?;
    println!("  {requests} requests in {:.2}s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// How long an answer is: what comes before the server falls silent.
fn measure_answer(address: SocketAddr, request: &[u8]) -> Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let (mut buffer, mut length) = (vec![0; READ_BYTES], 0);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        length += count;
    }
    if length == 0 {
        bail!("{address} does not answer");
    }
    Ok(length)
}

fn connect(address: SocketAddr, connections: usize) -> Result<Vec<TcpStream>> {
    let open = |_| -> Result<TcpStream> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    (0..connections).map(open).collect()
}

fn exchange(streams: &[TcpStream], request: &[u8], answer_bytes: usize, duration: Duration) -> Result<u64> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    for (slot, stream) in streams.iter().enumerate() {
        let interest = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&epoll, stream, EventData::new_u64(slot as u64), interest)?;
        send(stream, request, SendFlags::NOSIGNAL)?;
    }
    let mut missing = vec![answer_bytes; streams.len()];
    let mut buffer = vec![0; READ_BYTES];
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX.min(streams.len()));
    let (mut requests, end) = (0, Instant::now() + duration);
    while Instant::now() < end {
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let slot = event.data.u64() as usize;
            loop {
                let count = match recv(&streams[slot], &mut buffer[..], RecvFlags::empty()) {
                    Ok((_, 0)) => bail!("the server has closed a connection"),
                    Ok((_, count)) => count,
                    Err(Errno::AGAIN) => break,
                    Err(error) => return Err(error.into()),
                };
                missing[slot] = missing[slot].checked_sub(count).context("answers differ in length")?;
                if missing[slot] == 0 {
                    requests += 1;
                    missing[slot] = answer_bytes;
                    send(&streams[slot], request, SendFlags::NOSIGNAL)?;
                }
                if count < READ_BYTES {
                    break;
                }
            }
        }
    }
    Ok(requests)
}
