//! The HTTP server: whom it answers, and with what.

use super::snapshot::{Observe, Snapshot, State};
use super::{metrics, page};
use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::socket_file;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket file, to which only its owner may connect.
    Unix(PathBuf),
}

/// A listening socket that is not served yet.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(std::net::TcpListener),
    /// On a socket file.
    Unix(std::os::unix::net::UnixListener),
}

impl ListenAddress {
    /// Starts to listen. Replaces a socket file that an earlier process left.
    ///
    /// # Errors
    /// T01: the address or file is in use, or we may not use it.
    pub fn listen(&self) -> Result<Listener, Diagnostic> {
        let listener = match self {
            Self::Tcp(address) => std::net::TcpListener::bind(address).and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(Listener::Tcp(listener))
            }),
            Self::Unix(path) => socket_file::listen(path, 0o600, |path| {
                let listener = std::os::unix::net::UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                Ok(Listener::Unix(listener))
            }),
        };
        listener.map_err(|error| {
            Diagnostic::new(&NO_STATUS, "cannot open the address for metrics and health")
                .at(self.to_string())
                .because(error.to_string())
                .hint("name another `listen` in [serve.metrics], or \"none\"")
        })
    }
}

impl Listener {
    /// Returns where it listens, with the actual port if the system chose it.
    #[must_use]
    pub fn address(&self, asked: &ListenAddress) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| asked.to_string(), |at| at.to_string())
            }
            Self::Unix(_) => asked.to_string(),
        }
    }
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Answers requests for ever; drop the future to stop. Must be called within a runtime that has I/O and time
/// enabled.
///
/// # Errors
/// If the listener cannot be registered with the runtime.
pub async fn serve(listener: Listener, observe: Arc<dyn Observe>) -> io::Result<()> {
    let listener = AsyncListener::new(listener)?;
    let mut connections = VecDeque::new();
    let hosts = listener.hosts()?;
    loop {
        match listener.accept().await {
            Ok(stream) => {
                make_room(&mut connections);
                connections.push_back(tokio::spawn(answer_all(stream, Arc::clone(&observe), hosts)));
            }
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

/// Closes the oldest connection if there are too many.
///
/// Answers take no time, so the oldest one has had its answer or is silent. No new connection has to wait,
/// above all not that of a supervisor, which would take the sidecar for dead and kill it.
fn make_room(connections: &mut VecDeque<JoinHandle<()>>) {
    connections.retain(|connection| !connection.is_finished());
    if connections.len() >= MOST_CONNECTIONS
        && let Some(first) = connections.pop_front()
    {
        first.abort();
    }
}

/// A listener registered with the runtime.
enum AsyncListener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

/// A connection over any transport.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl AsyncListener {
    fn new(listener: Listener) -> io::Result<Self> {
        match listener {
            Listener::Tcp(listener) => tokio::net::TcpListener::from_std(listener).map(Self::Tcp),
            Listener::Unix(listener) => tokio::net::UnixListener::from_std(listener).map(Self::Unix),
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }

    fn hosts(&self) -> io::Result<Hosts> {
        match self {
            Self::Tcp(listener) => Ok(Hosts::of(listener.local_addr()?.ip())),
            Self::Unix(_) => Ok(Hosts::Any),
        }
    }
}

/// Which names in `Host` are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hosts {
    /// All: whoever configured the address knows who can reach it.
    Any,
    /// Addresses and `localhost`. This stops DNS rebinding: a foreign page whose name is pointed at this
    /// machine gets no answer through a browser that runs here.
    Literal,
}

impl Hosts {
    fn of(listening: IpAddr) -> Self {
        if listening.is_loopback() { Self::Literal } else { Self::Any }
    }

    fn allows(self, request: &Request<Incoming>) -> bool {
        let Some(host) = request.headers().get(header::HOST) else { return true };
        self == Self::Any || host.to_str().is_ok_and(is_literal)
    }
}

fn is_literal(host: &str) -> bool {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

/// Serves one connection. Its errors concern only its peer, so they are dropped.
async fn answer_all(stream: Box<dyn Stream>, observe: Arc<dyn Observe>, hosts: Hosts) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answered = if hosts.allows(&request) {
            answer(request.method(), request.uri().path(), observe.as_ref())
        } else {
            text(StatusCode::MISDIRECTED_REQUEST, "name this machine by its address\n".into())
        };
        async move { Ok::<_, Infallible>(answered) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MOST_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let _ = tokio::time::timeout(LONGEST_CONNECTION, connection).await;
}

/// Returns the answer to a request; request bodies are never read.
fn answer(method: &Method, path: &str, observe: &dyn Observe) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "nothing can be changed from here\n".into());
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match path {
        "/" => response(StatusCode::OK, "text/html; charset=utf-8", page::render(&observe.snapshot())),
        "/style.css" => response(StatusCode::OK, "text/css; charset=utf-8", page::STYLE.to_owned()),
        "/metrics" => response(StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(&observe.snapshot())),
        "/healthz" => health(&observe.snapshot(), |state| state != State::Failed),
        "/readyz" => health(&observe.snapshot(), |state| state == State::Running),
        _ => text(StatusCode::NOT_FOUND, "/, /metrics, /healthz, /readyz\n".into()),
    }
}

fn health(snapshot: &Snapshot, is_well: impl FnOnce(State) -> bool) -> Response<Full<Bytes>> {
    let status = if is_well(snapshot.state) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, format!("{}\n", snapshot.state.name()))
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", body)
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The page may load its own style sheet, and nothing else from anywhere.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Most connections at once: a scraper, a supervisor and some people.
const MOST_CONNECTIONS: usize = 16;

/// Longest wait for the header of a request.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest life of a connection.
const LONGEST_CONNECTION: Duration = Duration::from_secs(120);

const MOST_HEADER_BYTES: usize = 16 << 10;

/// Pause after a failed accept. Most likely there are no descriptors left, so other connections must end
/// first.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// All error codes of this module.
pub const CODES: &[&Code] = &[&NO_STATUS];

/// T01: the status cannot be served.
static NO_STATUS: Code = Code {
    id: "T01",
    title: "the address for metrics and health cannot be opened",
    text: "\
What it means
  `oubliette serve` could not open the `listen` of [serve.metrics]: another program uses that
  address or socket file, the address does not belong to this machine, or this user may not use it.
  If you did not set `listen`, this is a warning, and `serve` runs without it.

Why it matters
  A supervisor that asks there would believe that `serve` is down, and nobody would notice a real
  failure.

Example
  [serve.metrics] with listen = \"127.0.0.1:9514\"     while another oubliette runs on this machine

What to do
  1. Run `ss -lntp` to see who listens there.
  2. Set another address, a socket file (`unix:/run/oubliette/status`), or \"none\".

References
  bind(2), unix(7)",
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;
    use std::net::TcpStream;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    /// A sidecar in this state.
    struct In(State);

    impl Observe for In {
        fn snapshot(&self) -> Snapshot {
            Snapshot { state: self.0, ..Snapshot::default() }
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    /// Sends a request and returns the status, headers and body of the answer.
    fn ask(mut stream: impl io::Read + io::Write, request: &str) -> (u16, String, String) {
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        ask(TcpStream::connect(address).unwrap(), &request)
    }

    fn served(state: State) -> (tokio::runtime::Runtime, SocketAddr) {
        let listener = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap()).listen().unwrap();
        let Listener::Tcp(socket) = &listener else { panic!("a TCP listener was asked for") };
        let address = socket.local_addr().unwrap();
        let runtime = runtime();
        runtime.spawn(serve(listener, Arc::new(In(state))));
        (runtime, address)
    }

    #[test]
    fn health_follows_the_state() {
        for (state, health, readiness) in [
            (State::Starting, 200, 503),
            (State::Running, 200, 200),
            (State::Waiting, 200, 503),
            (State::Draining, 200, 503),
            (State::Failed, 503, 503),
        ] {
            let (_runtime, address) = served(state);
            let (status, _, body) = get(address, "/healthz");
            assert_eq!((status, body), (health, format!("{}\n", state.name())));
            assert_eq!(get(address, "/readyz").0, readiness, "{state:?}");
        }
    }

    #[test]
    fn whoever_asks_is_answered_while_others_say_nothing() {
        let (_runtime, address) = served(State::Running);
        let silent: Vec<_> = (0..2 * MOST_CONNECTIONS)
            .map(|number| {
                let mut stream = TcpStream::connect(address).unwrap();
                if number % 2 == 0 {
                    // And then it sends nothing more.
                    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                }
                stream
            })
            .collect();
        for _ in 0..2 {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE / 2)).unwrap();
            let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            assert_eq!(ask(stream, request).0, 200);
        }
        drop(silent);
    }

    #[test]
    fn a_browser_is_told_to_load_nothing_from_elsewhere() {
        let (_runtime, address) = served(State::Running);
        for (path, content_type) in
            [("/", "text/html"), ("/style.css", "text/css"), ("/metrics", "text/plain; version=0.0.4")]
        {
            let (status, head, body) = get(address, path);
            assert_eq!(status, 200);
            assert!(head.contains(&format!("content-type: {content_type}")), "{head}");
            assert!(head.contains("content-security-policy: default-src 'none'; style-src 'self'"), "{head}");
            assert!(!body.contains("http://") && !body.contains("https://"), "{body}");
        }
        assert_eq!(get(address, "/../etc/passwd").0, 404);
    }

    #[test]
    fn nothing_can_be_changed_and_other_names_get_nothing() {
        let (_runtime, address) = served(State::Running);
        let post =
            format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let (status, head, _) = ask(TcpStream::connect(address).unwrap(), &post);
        assert_eq!(status, 405);
        assert!(head.contains("allow: get, head"), "{head}");
        let rebound = "GET /metrics HTTP/1.1\r\nHost: rebound.example.net:9514\r\nConnection: close\r\n\r\n";
        let (status, _, body) = ask(TcpStream::connect(address).unwrap(), rebound);
        assert_eq!(status, 421);
        assert!(!body.contains("oubliette_"), "{body}");
    }

    #[test]
    fn which_hosts_are_literal() {
        for (host, is) in [
            ("127.0.0.1", true),
            ("127.0.0.1:9514", true),
            ("[::1]:9514", true),
            ("LocalHost:9514", true),
            ("localhost.example.net", false),
            ("127.0.0.1.example.net:80", false),
            ("", false),
        ] {
            assert_eq!(is_literal(host), is, "{host}");
        }
    }

    #[test]
    fn a_socket_file_is_for_its_owner_and_a_left_one_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let address = ListenAddress::Unix(path.clone());
        let listener = address.listen().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(address.listen().unwrap_err().code.id, "T01");
        let runtime = runtime();
        runtime.spawn(serve(listener, Arc::new(In(State::Running))));
        let request = "GET /readyz HTTP/1.1\r\nHost: oubliette\r\nConnection: close\r\n\r\n";
        assert_eq!(ask(UnixStream::connect(&path).unwrap(), request).2, "running\n");
    }

    #[test]
    fn a_socket_that_takes_datagrams_is_left_to_whoever_listens() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        assert_eq!(ListenAddress::Unix(path.clone()).listen().unwrap_err().code.id, "T01");
        UnixDatagram::unbound().unwrap().send_to(b"line", &path).unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 4);
    }
}
