//! What lies below HTTP: TLS, unix sockets, IPv6; and what asks for no body, or for several answers at once.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use ::stackload::result::ErrorKind;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

use crate::server::{OK, OK_BODY, Server, Then};
use crate::stackload::{command, errors, load, run, script};

/// Answers each request on a stream until it ends; after `limit` answers it closes.
fn serve(mut stream: impl std::io::Read + std::io::Write, limit: usize) {
    let (mut request, mut part) = (Vec::new(), [0; 1024]);
    for _ in 0..limit {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut part) {
                Ok(count @ 1..) => request.extend_from_slice(&part[..count]),
                _ => return,
            }
        }
        if stream.write_all(OK).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

/// A server that speaks TLS, and what it saw of its clients.
struct TlsServer {
    port: u16,
    certificate: String,
    resumed: Arc<AtomicUsize>,
    names: Arc<Mutex<Vec<Option<String>>>>,
}

impl TlsServer {
    /// With a certificate for `localhost`; a connection has so many answers.
    fn start(answers: usize) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            certificate: certificate.pem(),
            resumed: Arc::default(),
            names: Arc::default(),
        };
        let (resumed, names) = (Arc::clone(&server.resumed), Arc::clone(&server.names));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, resumed, names) = (Arc::clone(&config), Arc::clone(&resumed), Arc::clone(&names));
                thread::spawn(move || serve_tls(stream, config, &resumed, &names, answers));
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/x", self.port)
    }
}

fn serve_tls(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
    resumed: &AtomicUsize,
    names: &Mutex<Vec<Option<String>>>,
    answers: usize,
) {
    let mut session = ServerConnection::new(config).unwrap();
    while session.is_handshaking() {
        if session.complete_io(&mut stream).is_err() {
            return;
        }
    }
    if session.handshake_kind() == Some(HandshakeKind::Resumed) {
        resumed.fetch_add(1, Ordering::SeqCst);
    }
    names.lock().unwrap().push(session.server_name().map(str::to_owned));
    let mut stream = StreamOwned::new(session, stream);
    serve(&mut stream, answers);
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

#[test]
fn tls_takes_any_certificate_and_names_the_host() {
    let server = TlsServer::start(usize::MAX);
    let (result, _) = load(&["-t2", "-c4", "-d300ms", "--expect-body", OK_BODY, &server.url()]);
    assert!(result.requests > 10 && result.errors.is_empty(), "{:?}", result.errors);
    assert_eq!(result.connections.opened, 4);
    assert!(server.names.lock().unwrap().iter().all(|name| name.as_deref() == Some("localhost")));
}

#[test]
fn a_connection_that_replaces_another_resumes_its_session() {
    let server = TlsServer::start(5);
    let (result, _) = load(&["-t1", "-c2", "-d500ms", &server.url()]);
    assert!(result.connections.opened > 4, "{:?}", result.connections);
    let (handshakes, resumed) = (server.names.lock().unwrap().len(), server.resumed.load(Ordering::SeqCst));
    assert!(resumed + 2 >= handshakes && resumed > 0, "{resumed} of {handshakes} handshakes were resumptions");
}

#[test]
fn verify_refuses_a_certificate_that_nobody_has_signed_and_takes_one_that_is_trusted() {
    let server = TlsServer::start(usize::MAX);
    let folder = tempfile::tempdir().unwrap();
    let (trusted, report) = (folder.path().join("ca.pem"), folder.path().join("result.json"));
    std::fs::write(&trusted, &server.certificate).unwrap();
    let report = report.to_str().unwrap();
    let arguments = ["-t1", "-c1", "-d200ms", "--verify", "--json", report, &server.url()];
    let verified = command(&arguments).env("SSL_CERT_FILE", &trusted).env_remove("SSL_CERT_DIR").output().unwrap();
    assert!(verified.status.success());
    let result = crate::stackload::read_result(report.as_ref());
    assert!(result.requests > 0 && result.errors.is_empty(), "{:?}", result.errors);
    let stranger = TlsServer::start(usize::MAX);
    let arguments = ["-t1", "-c1", "-d200ms", "--verify", "--json", report, &stranger.url()];
    let refused = command(&arguments).env("SSL_CERT_FILE", &trusted).env_remove("SSL_CERT_DIR").output().unwrap();
    assert!(refused.status.success());
    let result = crate::stackload::read_result(report.as_ref());
    assert!(result.requests_total == 0 && errors(&result, ErrorKind::Tls) > 0, "{:?}", result.errors);
}

#[test]
fn a_server_that_speaks_no_tls_is_a_tls_error_with_patience() {
    let server = Server::answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let url = server.url().replace("http:", "https:");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let garbage = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"SSH-2.0-hello\r\n\x16\x03\x01\xff\xff");
        }
    });
    for url in [url, format!("https://127.0.0.1:{garbage}/")] {
        let (result, run) = load(&["-t1", "-c2", "-d2", "--timeout", "200ms", &url]);
        let count = errors(&result, ErrorKind::Tls) + errors(&result, ErrorKind::ConnectTimeout);
        assert!((2..=60).contains(&count), "{:?}", result.errors);
        assert!(run.stdout.contains("Socket errors: connect "), "{}", run.stdout);
    }
}

#[test]
fn a_large_answer_arrives_whole_over_tls() {
    let body = "x".repeat(300_000);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let answer = answer.clone();
            thread::spawn(move || {
                let mut part = [0; 1024];
                while matches!(stream.read(&mut part), Ok(1..)) && stream.write_all(answer.as_bytes()).is_ok() {}
            });
        }
    });
    let (result, _) = load(&["-t1", "-c2", "-d300ms", &url]);
    assert!(result.requests > 2 && result.errors.is_empty(), "{:?}", result.errors);
    assert!(result.bytes >= result.requests * body.len() as u64, "{} bytes", result.bytes);
}

#[test]
fn a_unix_socket_takes_the_place_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream, usize::MAX));
        }
    });
    let path = path.to_str().unwrap();
    let (result, _) = load(&["-t1", "-c4", "-d200ms", "--unix-socket", path, "http://localhost/x"]);
    assert!(result.requests > 10 && result.errors.is_empty(), "{:?}", result.errors);
    let refused = run(&["-d1", "--unix-socket", "/nonexistent/a.sock", "http://localhost/x"]);
    assert_eq!(refused.code, Some(1));
    assert_eq!(refused.stderr, "unable to connect to unix:/nonexistent/a.sock No such file or directory\n");
}

#[test]
fn an_ipv6_address_is_reached_and_named_in_brackets() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("no IPv6 on this machine: nothing to see");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let expected = format!("GET /x HTTP/1.1\r\nHost: [::1]:{port}\r\n\r\n");
    let noted = Arc::new(Mutex::new(Vec::<String>::new()));
    let requests = Arc::clone(&noted);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let requests = Arc::clone(&requests);
            thread::spawn(move || {
                let mut part = [0; 1024];
                while let Ok(count @ 1..) = stream.read(&mut part) {
                    requests.lock().unwrap().push(String::from_utf8_lossy(&part[..count]).into_owned());
                    let _ = stream.write_all(OK);
                }
            });
        }
    });
    let (result, _) = load(&["-t1", "-c1", "-d100ms", &format!("http://[::1]:{port}/x")]);
    assert!(result.requests > 0 && result.errors.is_empty());
    assert!(noted.lock().unwrap().iter().all(|request| *request == expected));
}

#[test]
fn the_answer_to_head_has_no_body_and_does_not_hang() {
    let server = Server::start(|peer| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n";
        peer.send(if peer.request.starts_with(b"HEAD ") { head } else { b"?" });
        Then::Stay
    });
    let file = script("wrk.method = 'HEAD'");
    let (result, _) = load(&["-t1", "-c2", "-d200ms", "-s", file.path().to_str().unwrap(), &server.url()]);
    assert!(result.requests > 10 && result.errors.is_empty(), "{:?}", result.errors);
}

#[test]
fn long_bodies_of_a_pipelined_batch_are_told_apart() {
    // So long that they are passed over in the kernel, each up to its end and no further.
    let server = Server::start(|peer| {
        let body = vec![b'x'; 100_000];
        let answer = [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
        peer.send(&answer.repeat(2));
        Then::Stay
    });
    let file = script("function init() batch = wrk.format() .. wrk.format() end function request() return batch end");
    let (result, _) = load(&["-t1", "-c2", "-d500ms", "-s", file.path().to_str().unwrap(), &server.url()]);
    assert!(result.requests > 4 && result.errors.is_empty(), "{} {:?}", result.requests, result.errors);
    assert!(result.requests_total.abs_diff(2 * server.requests() as u64) <= 4, "{}", result.requests_total);
}

#[test]
fn a_pipelined_batch_has_one_latency_and_as_many_requests_as_answers() {
    // All answers of a batch in one write, cut where no answer ends.
    let server = Server::start(|peer| {
        let requests = peer.request.windows(4).filter(|bytes| bytes == b"\r\n\r\n").count();
        let answers = OK.repeat(requests);
        let (first, second) = answers.split_at(answers.len() / 2);
        peer.send(first);
        thread::yield_now();
        peer.send(second);
        Then::Stay
    });
    let file =
        script("function init() local r = wrk.format(); batch = r .. r .. r end function request() return batch end");
    let (result, _) = load(&["-t1", "-c2", "-d300ms", "-s", file.path().to_str().unwrap(), &server.url()]);
    assert_eq!(result.load.depth, 3);
    assert!(result.requests > 10 && result.errors.is_empty(), "{:?}", result.errors);
    // At most two batches are half answered at the end.
    let batches = result.latency_us.count;
    assert!((3 * batches..=3 * batches + 4).contains(&result.requests), "{} of {batches}", result.requests);
}
