//! A store that accepts and never answers, under the programs as they are built.

use std::{
    env,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// More than `--pool`, so that some also wait for a connection.
const HANGING: usize = 40;

/// Less than the store's response timeout, so that nothing has been given up by then.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A server that is killed when the test is over.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_paused_store_blocks_no_worker() {
    for program in ["stack-may", "stack-may-minihttp"] {
        let store = TcpListener::bind("127.0.0.1:0").unwrap();
        let (_server, address) = start(program, store.local_addr().unwrap());
        let mut hanging: Vec<_> = ["/myapp/sync/cache_hit", "/myapp/async/cache_set"]
            .iter()
            .flat_map(|path| (0..HANGING).map(move |_| send(address, path)))
            .collect();
        // The one worker comes to this last: by then, all of those before wait for the store.
        for _ in 0..10 {
            let mut check = send(address, "/check");
            let mut status = [0; 12];
            check.set_read_timeout(Some(AT_ONCE)).unwrap();
            check.read_exact(&mut status).unwrap_or_else(|error| panic!("{program}: /check: {error}"));
            assert_eq!(&status, b"HTTP/1.1 200");
        }
        for client in &mut hanging {
            client.set_nonblocking(true).unwrap();
            let error = client.read(&mut [0]).expect_err("nothing can be answered");
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{program}");
        }
    }
}

fn start(program: &str, store: SocketAddr) -> (Server, SocketAddr) {
    let child = Command::new(folder().join(program))
        .args(["--listen", "127.0.0.1:0", "--workers", "1", "--redis", &format!("redis://{store}")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; build the workspace with --release first"));
    let mut server = Server(child);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{program}: {line:?}"));
    let address = address.parse().unwrap();
    (server, address)
}

/// Where the release binaries are.
fn folder() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let root = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target");
    target.unwrap_or_else(root).join("release")
}

fn send(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes()).unwrap();
    stream
}
