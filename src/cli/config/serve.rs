//! `[serve]` of the configuration: what `oubliette serve` listens to, where lines go, what it allows.

use super::output::{Output, Window};
use super::{Size, Span, Typed, Written};
use crate::cli::args::quantity;
use crate::input::framing::Trailer;
use crate::input::tail::Pattern;
use crate::input::tls::Client;
use crate::telemetry::ListenAddress;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// The sidecar.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Serve {
    /// Where lines come from. Without any: TCP and UDP, both on 127.0.0.1:5514.
    #[schemars(with = "Option<Vec<Input>>")]
    pub(crate) input: Option<Vec<Spanned<Input>>>,
    /// Directory of the archive; the state directory if this is not set.
    pub(crate) archive: Option<PathBuf>,
    /// Where lines go besides the archive.
    #[schemars(with = "Vec<Output>")]
    pub(crate) output: Vec<Spanned<Output>>,
    /// Whether to purge expired lines at the start and after each legal midnight.
    #[schemars(extend("default" = true))]
    pub(crate) purge: Option<bool>,
    /// What peers may take.
    pub(crate) limits: Limits,
    /// Where it shows how it is doing.
    pub(crate) metrics: Metrics,
}

/// Where the sidecar shows how it is doing: `/metrics`, `/healthz`, `/readyz`, and a page at `/`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Metrics {
    /// An address and a port, `unix:` and a socket file, or `none`. If another program uses the default address, `serve` runs without it.
    #[schemars(extend("default" = "127.0.0.1:9514"))]
    pub(crate) listen: Option<Typed<Shown>>,
}

/// One place where lines come from.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The kind of input.
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    /// Address and port of `tcp`, `tls`, `udp` and `relp`: `127.0.0.1:5514`, `[::1]:6514`.
    pub(crate) listen: Option<Typed<SocketAddr>>,
    /// For `unix` and `unix-datagram`, the socket file; an old one that nobody listens to is replaced. For `file`, the file
    /// to follow, also through rotations; or a pattern of files, with `*`, `?`, `[...]` and `**`.
    #[schemars(with = "Option<PathBuf>")]
    pub(crate) path: Option<Spanned<PathBuf>>,
    /// Permissions of the socket file, in octal.
    #[schemars(extend("default" = "0660"))]
    pub(crate) mode: Option<Typed<Mode>>,
    /// Certificate of `tls`, or of `relp` inside TLS, followed by those between it and a root, in PEM. `credential:NAME` means
    /// a credential that systemd loaded.
    pub(crate) certificate: Option<PathBuf>,
    /// Private key of that certificate, in PEM.
    pub(crate) key: Option<PathBuf>,
    /// Roots of the certificates of clients, in PEM. Without `client_ca` and `clients`, anybody may connect.
    pub(crate) client_ca: Option<PathBuf>,
    /// Who may connect: DNS names in their certificates, `*.` for one label, or `sha-256:` fingerprints.
    pub(crate) clients: Option<Vec<Typed<Client>>>,
    /// Buffer in the kernel for `udp` and `unix-datagram`, whose senders cannot be made to wait.
    #[schemars(extend("default" = "8MiB"))]
    pub(crate) receive_buffer: Option<Typed<Size>>,
    /// Whether peers of `tcp`, `tls`, `relp` and `unix` come through a proxy that sends a PROXY header, version 1 or 2.
    /// The header is checked and dropped; a connection without one is refused.
    #[serde(default)]
    pub(crate) proxy_protocol: bool,
    /// What ends a record of `tcp`, `tls` and `unix` without octet counting: `lf`, `nul`, or `nul-or-lf`. With `nul`, a line
    /// feed in a record is written `#012`. The default is `lf` for `tcp` and `tls`, `nul-or-lf` for `unix`.
    #[schemars(with = "Option<String>")]
    pub(crate) trailer: Option<Trailer>,
    /// How many records of one `relp` connection may be unanswered.
    #[schemars(extend("default" = "1000"))]
    pub(crate) window: Option<Typed<Window>>,
    /// How often to look for new lines in a `file`.
    #[schemars(extend("default" = "250ms"))]
    pub(crate) poll: Option<Typed<Span>>,
}

/// Kinds of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Connections over TCP, with octet counting or lines; either may come in each frame (RFC 6587).
    Tcp,
    /// The same inside TLS (RFC 5425).
    Tls,
    /// Datagrams over UDP, one record each (RFC 5426).
    Udp,
    /// Connections to a socket file.
    Unix,
    /// Datagrams to a socket file: `/dev/log`, nginx.
    UnixDatagram,
    /// RELP over TCP; `serve` answers a record when it is durable.
    Relp,
    /// A log file that another program writes.
    File,
    /// Standard input, until its end.
    Stdin,
}

/// What peers may take, so that none harms others.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Most connections at once, of all inputs together; further ones wait. One peer gets all but an eighth.
    #[schemars(extend("default" = "1024"))]
    pub(crate) connections: Option<Typed<Connections>>,
    /// Memory for records in transit, of all inputs together; when it is full, peers wait.
    #[schemars(extend("default" = "64MiB"))]
    pub(crate) memory: Option<Typed<Size>>,
    /// A connection that sends nothing for this long is closed.
    #[schemars(extend("default" = "1h"))]
    pub(crate) idle: Option<Typed<Span>>,
    /// Of a record longer than `max_line_bytes`, this much goes into quarantine; then its connection is closed.
    #[schemars(extend("default" = "64MiB"))]
    pub(crate) sealed: Option<Typed<Size>>,
    /// How long a stop waits for connections to end.
    #[schemars(extend("default" = "30s"))]
    pub(crate) drain: Option<Typed<Span>>,
}

impl Input {
    /// Makes an input that needs only an address.
    pub(crate) fn listening(kind: Kind, address: SocketAddr) -> Self {
        Self {
            kind,
            listen: Some(Typed(address)),
            path: None,
            mode: None,
            certificate: None,
            key: None,
            client_ca: None,
            clients: None,
            receive_buffer: None,
            proxy_protocol: false,
            trailer: None,
            window: None,
            poll: None,
        }
    }

    /// Returns the path of a socket file, of a file, or of a pattern.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_ref().map(|path| path.get_ref().as_path())
    }

    /// Describes what is wrong with a pattern of files, and where it is.
    fn problem_of_path(&self) -> Option<(Range<usize>, String)> {
        let path = self.path.as_ref().filter(|_| self.kind == Kind::File)?;
        let why = match Pattern::of(path.get_ref()) {
            Err(why) => format!("`path` is no pattern: {why}"),
            Ok(_) if path.get_ref().ends_with("**") => {
                "`**` matches directories only: `**/*` matches the files in them".to_owned()
            }
            Ok(_) => return None,
        };
        Some((path.span(), why))
    }

    /// Describes a key that is missing or has no meaning for this kind of input.
    fn problem(&self) -> Option<String> {
        use Kind::{File, Relp, Tcp, Tls, Udp, Unix, UnixDatagram};
        let is = |kinds: &[Kind]| kinds.contains(&self.kind);
        let is_name = |client: &Typed<Client>| matches!(client.0, Client::Name(_));
        if self.client_ca.is_none() && self.clients.iter().flatten().any(is_name) {
            return Some("names of clients are only believed with `client_ca`".to_owned());
        }
        let tls = [
            self.certificate.is_some(),
            self.key.is_some(),
            self.client_ca.is_some(),
            self.clients.is_some(),
        ];
        let has_tls = self.kind == Tls || tls.contains(&true);
        let keys = [
            ("listen", self.listen.is_some(), is(&[Tcp, Tls, Udp, Relp]), true),
            ("path", self.path.is_some(), is(&[Unix, UnixDatagram, File]), true),
            ("mode", self.mode.is_some(), is(&[Unix, UnixDatagram]), false),
            ("certificate", self.certificate.is_some(), is(&[Tls, Relp]), has_tls),
            ("key", self.key.is_some(), is(&[Tls, Relp]), has_tls),
            ("client_ca", self.client_ca.is_some(), is(&[Tls, Relp]), false),
            ("clients", self.clients.is_some(), is(&[Tls, Relp]), false),
            ("receive_buffer", self.receive_buffer.is_some(), is(&[Udp, UnixDatagram]), false),
            ("proxy_protocol", self.proxy_protocol, is(&[Tcp, Tls, Relp, Unix]), false),
            ("trailer", self.trailer.is_some(), is(&[Tcp, Tls, Unix]), false),
            ("window", self.window.is_some(), is(&[Relp]), false),
            ("poll", self.poll.is_some(), is(&[File]), false),
        ];
        first_problem("input", keys)
    }
}

/// Describes the first of these keys that is set without a meaning, or that is required and missing.
pub(super) fn first_problem<const N: usize>(
    what: &str,
    keys: [(&str, bool, bool, bool); N],
) -> Option<String> {
    keys.into_iter().find_map(|(key, is_there, has_meaning, is_needed)| match (is_there, has_meaning) {
        (true, false) => Some(format!("`{key}` has no meaning for this type of {what}")),
        (false, true) if is_needed => Some(format!("this type of {what} needs `{key}`")),
        _ => None,
    })
}

impl Serve {
    /// Returns what is wrong, and where, although each key is valid by itself.
    pub(crate) fn problem(&self) -> Option<(Range<usize>, String)> {
        if self.input.as_ref().is_some_and(Vec::is_empty) {
            return Some((
                0..0,
                "`input` of [serve] is empty: without it, there are two on port 5514".to_owned(),
            ));
        }
        let inputs = self.input.iter().flatten();
        let second = inputs.clone().filter(|input| input.get_ref().kind == Kind::Stdin).nth(1);
        let again = second.map(|input| (input.span(), "another input reads standard input".to_owned()));
        let told = |input: &Spanned<Input>| {
            let whole = || input.get_ref().problem().map(|problem| (input.span(), problem));
            input.get_ref().problem_of_path().or_else(whole)
        };
        inputs.clone().find_map(told).or(again).or_else(|| self.problem_of_outputs())
    }

    fn problem_of_outputs(&self) -> Option<(Range<usize>, String)> {
        let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
        self.output.iter().find_map(|output| {
            let is_new = names.insert(output.get_ref().name.0.as_str());
            let twice = || Some("another output has this name".to_owned());
            let problem = output.get_ref().problem().or_else(|| if is_new { None } else { twice() });
            let place = output.get_ref().written();
            let shared = || place.filter(|place| !places.insert(*place)).map(|_| SAME_PLACE.to_owned());
            let problem = problem.or_else(shared);
            problem.map(|problem| (output.span(), problem))
        })
    }

    /// Resolves the paths of inputs and outputs, which are relative to `directory`.
    pub(crate) fn beside(mut self, directory: &Path) -> Self {
        for input in self.input.iter_mut().flatten().map(Spanned::get_mut) {
            let below = |path: PathBuf| match input.kind {
                Kind::File => Pattern::below(directory, &path),
                _ => directory.join(path),
            };
            if let Some(path) = input.path.as_mut().map(Spanned::get_mut) {
                *path = below(std::mem::take(path));
            }
        }
        for output in self.output.iter_mut().map(Spanned::get_mut) {
            output.path = output.path.take().map(|path| directory.join(path));
        }
        self
    }

    /// Returns the outputs besides the archive.
    pub(crate) fn outputs(&self) -> Vec<Output> {
        self.output.iter().map(|output| output.get_ref().clone()).collect()
    }

    /// Returns whether expired lines are purged.
    pub(crate) fn purge(&self) -> bool {
        self.purge.unwrap_or(true)
    }

    /// Returns the inputs, or the default ones if none are configured.
    pub(crate) fn inputs(&self) -> Vec<Input> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT));
        match &self.input {
            Some(inputs) => inputs.iter().map(|input| input.get_ref().clone()).collect(),
            None => [Kind::Tcp, Kind::Udp].map(|kind| Input::listening(kind, loopback)).to_vec(),
        }
    }
}

impl Limits {
    /// Returns the most connections at once.
    pub(crate) fn connections(&self) -> usize {
        self.connections.as_ref().map_or(1024, |Typed(connections)| *connections)
    }

    /// Returns the memory for records in transit, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.as_ref().map_or(64 << 20, |Typed(bytes)| *bytes)
    }

    /// Returns how long a connection may be silent.
    pub(crate) fn idle(&self) -> Duration {
        self.idle.as_ref().map_or(Duration::from_secs(3600), |Typed(time)| *time)
    }

    /// Returns how much of a long record is sealed, in bytes.
    pub(crate) fn sealed_bytes(&self) -> u64 {
        self.sealed.as_ref().map_or(64 << 20, |Typed(bytes)| *bytes as u64)
    }

    /// Returns how long a stop waits.
    pub(crate) fn drain(&self) -> Duration {
        self.drain.as_ref().map_or(Duration::from_secs(30), |Typed(time)| *time)
    }
}

/// The address of the status page, or none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shown {}

impl Written for Shown {
    type Value = Option<ListenAddress>;
    fn read(text: &str) -> Result<Option<ListenAddress>, &'static str> {
        match text.strip_prefix("unix:") {
            Some(path) if Path::new(path).is_absolute() => Ok(Some(ListenAddress::Unix(path.into()))),
            None if text == "none" => Ok(None),
            None => text.parse().map(|address| Some(ListenAddress::Tcp(address))).map_err(|_| NO_ADDRESS),
            Some(_) => Err(NO_ADDRESS),
        }
    }
}

const NO_ADDRESS: &str = "a place is written 127.0.0.1:9514, unix:/run/oubliette/status, or none";

/// A number of connections.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Connections {}

/// The permissions of a socket file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mode {}

impl Written for Connections {
    type Value = usize;
    fn read(text: &str) -> Result<usize, &'static str> {
        let number = text.parse().ok().filter(|number| (1..=1_000_000).contains(number));
        number.ok_or("1 to 1000000 connections")
    }
}

impl Written for Mode {
    type Value = u32;
    fn read(text: &str) -> Result<u32, &'static str> {
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
        mode.filter(|_| text.starts_with('0')).ok_or("permissions are written in octal: \"0660\"")
    }
}

impl Written for Client {
    type Value = Self;
    fn read(text: &str) -> Result<Self, &'static str> {
        Self::parse(text).ok_or("a client is a DNS name, or sha-256: and 64 hex digits")
    }
}

impl Written for SocketAddr {
    type Value = Self;
    fn read(text: &str) -> Result<Self, &'static str> {
        text.parse().map_err(|_| "an address and a port are written 127.0.0.1:5514 or [::1]:5514")
    }
}

impl Written for Size {
    type Value = usize;
    fn read(text: &str) -> Result<usize, &'static str> {
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)];
        let bytes = quantity(text, &units).and_then(|bytes| usize::try_from(bytes).ok());
        bytes.filter(|bytes| *bytes <= 64 << 30).ok_or("a size in bytes, or such as 64KiB, 4MiB, up to 64GiB")
    }
}

impl Written for Span {
    type Value = Duration;
    fn read(text: &str) -> Result<Duration, &'static str> {
        let units = [("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000)];
        let milliseconds = quantity(text, &units).filter(|time| (1..=1000 * 3_600_000).contains(time));
        milliseconds.map(Duration::from_millis).ok_or("a time such as 500ms, 30s, 10min, 1h, up to 1000h")
    }
}

/// The port of the status page, unless configured.
pub(crate) const DEFAULT_METRICS_PORT: u16 = 9514;

const SAME_PLACE: &str = "another output writes to the same place: their lines would mix";

/// The port of the default inputs: like 514, but without the privilege that 514 needs.
const DEFAULT_PORT: u16 = 5514;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::Config;
    use crate::output::Framing;
    use crate::output::file::Every;
    use insta::assert_snapshot;
    use std::path::Path;

    fn parsed(text: &str) -> Result<Serve, String> {
        let config = Config::parse(Path::new("config.toml"), text);
        config.map(|config| config.serve).map_err(|diagnostic| {
            format!("{}\n{}", diagnostic.place.unwrap(), diagnostic.why.unwrap().trim_end())
        })
    }

    #[test]
    fn without_any_input_it_listens_on_loopback() {
        let inputs = parsed("").unwrap().inputs();
        let listening: Vec<_> =
            inputs.iter().map(|input| (input.kind, input.listen.as_ref().unwrap().0.to_string())).collect();
        let loopback = "127.0.0.1:5514".to_owned();
        assert_eq!(listening, [(Kind::Tcp, loopback.clone()), (Kind::Udp, loopback)]);
    }

    #[test]
    fn every_key_is_read() {
        let serve = parsed(
            "[serve]\narchive = '/srv/log'\n[serve.limits]\nconnections = 5\nmemory = '1GiB'\nidle = '90s'\n\
             sealed = '1MiB'\ndrain = '500ms'\n[[serve.input]]\ntype = 'udp'\nlisten = '[::1]:514'\n\
             receive_buffer = '8MiB'\n[[serve.input]]\ntype = 'unix-datagram'\npath = '/dev/log'\nmode = '0666'\n\
             [[serve.input]]\ntype = 'relp'\nlisten = '[::1]:2514'\nproxy_protocol = true\nwindow = 10\n\
             [[serve.input]]\ntype = 'file'\npath = '/var/log/a'\npoll = '1s'\n\
             [[serve.input]]\ntype = 'tcp'\nlisten = '[::1]:601'\ntrailer = 'nul-or-lf'\n[[serve.output]]\ntype = 'relp'\n\
             name = 'c1'\naddress = 'c:2514'\nwindow = 9\nrequired = true\nspool_bytes = '8GiB'\n\
             [[serve.output]]\ntype = 'file'\nname = 'f'\npath = 'f'\nrotate_bytes = '1MiB'\n\
             rotate_every = 'day'\nkeep_days = 30\n[[serve.output]]\ntype = 'tcp'\nname = 't'\naddress = '[::1]:514'\n\
             framing = 'non-transparent'",
        )
        .unwrap();
        let limits = &serve.limits;
        assert_eq!((limits.connections(), limits.memory_bytes()), (5, 1 << 30));
        assert_eq!((limits.idle(), limits.drain()), (Duration::from_secs(90), Duration::from_millis(500)));
        assert_eq!(limits.sealed_bytes(), 1 << 20);
        let inputs = serve.inputs();
        assert_eq!(inputs[0].receive_buffer, Some(Typed(8 << 20)));
        assert_eq!((inputs[1].kind, &inputs[1].mode), (Kind::UnixDatagram, &Some(Typed(0o666))));
        assert!(inputs[2].proxy_protocol && inputs[2].window == Some(Typed(10)));
        assert_eq!(inputs[3].poll, Some(Typed(Duration::from_secs(1))));
        assert_eq!((inputs[3].trailer, inputs[4].trailer), (None, Some(Trailer::NulOrLf)));
        let outputs = serve.outputs();
        assert!(outputs[0].required && !outputs[1].required);
        assert_eq!((outputs[0].most_spool_bytes(), outputs[1].most_spool_bytes()), (8 << 30, 1 << 30));
        assert_eq!(
            (outputs[0].window.as_ref(), &outputs[0].name),
            (Some(&Typed(9)), &Typed("c1".to_owned()))
        );
        assert_eq!((outputs[1].rotate_every, &outputs[1].keep_days), (Some(Every::Day), &Some(Typed(30))));
        assert_eq!(outputs[2].framing, Some(Framing::NonTransparent));
    }

    #[test]
    fn it_is_shown_where_it_is_said() {
        for (listen, address) in [
            ("none", None),
            ("[::1]:9514", Some(ListenAddress::Tcp("[::1]:9514".parse().unwrap()))),
            ("unix:/run/oubliette/status", Some(ListenAddress::Unix("/run/oubliette/status".into()))),
        ] {
            let serve = parsed(&format!("[serve.metrics]\nlisten = '{listen}'")).unwrap();
            assert_eq!(serve.metrics.listen, Some(Typed(address)));
        }
        assert_eq!(parsed("").unwrap().metrics.listen, None);
    }

    #[test]
    fn what_does_not_fit_is_pointed_at() {
        assert_snapshot!(parsed("tag = 'none'\n[[serve.input]]\ntype = 'udp'\npath = '/x'\n").unwrap_err(), @r"
        config.toml:2:1
          |
        2 | [[serve.input]]
          | ^^^^^^^^^^^^^^^
        this type of input needs `listen`
        ");
        assert_snapshot!(parsed("[[serve.input]]\ntype = 'file'\npath = '/var/log/[a'\n").unwrap_err(), @r"
        config.toml:3:8
          |
        3 | path = .............
          |        ^^^^^^^^^^^^^
        `path` is no pattern: invalid range pattern
        ");
        for (text, why) in [
            ("[serve]\nlisten = 1", "unknown field `listen`"),
            ("[[serve.input]]\ntype = 'ftp'", "unknown value, expected one of `tcp`"),
            ("[[serve.input]]\ntype = 'tcp'\nlisten = 'localhost'", "an address and a port"),
            ("[[serve.input]]\ntype = 'stdin'\nmode = '0600'", "`mode` has no meaning"),
            ("[[serve.input]]\ntype = 'unix'\npath = 'x'\nmode = '666'", "written in octal"),
            ("[[serve.input]]\ntype = 'file'\npath = '/var/log/[a'", "`path` is no pattern"),
            ("[[serve.input]]\ntype = 'file'\npath = '/var/log/**'", "matches directories only"),
            ("[[serve.input]]\ntype = 'stdin'\n[[serve.input]]\ntype = 'stdin'", "reads standard input"),
            (
                "[[serve.output]]\ntype = 'stdout'\nname = 'a'\n[[serve.output]]\ntype = 'stdout'\nname = 'b'",
                "another output writes to the same place",
            ),
            (
                "[[serve.output]]\ntype = 'file'\nname = 'a'\npath = 'x'\n\
                 [[serve.output]]\ntype = 'file'\nname = 'b'\npath = './x'",
                "another output writes to the same place",
            ),
            ("[[serve.input]]\ntype = 'unix'\npath = 'x'\nmode = '01000'", "written in octal"),
            ("[[serve.input]]\ntype = 'udp'\nlisten = '[::1]:1'\nproxy_protocol = true", "no meaning"),
            (
                "[[serve.input]]\ntype = 'relp'\nlisten = '[::1]:1'\ntrailer = 'nul'",
                "`trailer` has no meaning",
            ),
            ("[[serve.input]]\ntype = 'tcp'\nlisten = '[::1]:1'\ntrailer = 'cr'", "expected one of `lf`"),
            ("[[serve.output]]\ntype = 'relp'\nname = 'a'", "this type of output needs `address`"),
            ("[[serve.output]]\ntype = 'stdout'\nname = 'a'\npath = 'x'", "`path` has no meaning"),
            ("[[serve.output]]\ntype = 'stdout'\nname = '../a'", "letters, digits and dashes"),
            ("[[serve.output]]\ntype = 'tcp'\nname = 'a'\naddress = 'host'", "host and port"),
            ("[[serve.output]]\ntype = 'relp'\nname = 'a'\naddress = 'host:1'\nwindow = 0", "1 to 1000000"),
            (
                "[[serve.output]]\ntype = 'stdout'\nname = 'a'\n[[serve.output]]\ntype = 'stdout'\nname = 'a'",
                "another output has this name",
            ),
            (
                "[[serve.output]]\ntype = 'file'\nname = 'f'\npath = 'f'\nkeep_days = 1",
                "needs `rotate_every`",
            ),
            (
                "[[serve.output]]\ntype = 'file'\nname = 'f'\npath = 'f'\nrotate_bytes = '1MiB'\nkeep_days = 1",
                "also beside `rotate_bytes`",
            ),
            ("[[serve.output]]\ntype = 'stdout'\nname = 'f'\nkeep_days = 1", "no meaning"),
            (
                "[[serve.output]]\ntype = 'file'\nname = 'f'\npath = 'f'\nrotate_every = 'day'\nkeep_days = 0",
                "1 to 3660 days",
            ),
            ("[[serve.input]]\ntype = 'tls'\nlisten = '[::1]:1'", "needs `certificate`"),
            ("[[serve.input]]\ntype = 'tls'\nclients = ['a.example']", "only believed with `client_ca`"),
            ("[[serve.input]]\ntype = 'tls'\nclients = ['sha-1:00']", "a client is a DNS name"),
            ("[[serve.input]]\ntype = 'relp'\nlisten = '[::1]:1'\nkey = 'k'", "needs `certificate`"),
            ("[[serve.output]]\ntype = 'tls'\nname = 'a'\naddress = 'a:1'", "needs `ca`"),
            (
                "[[serve.output]]\ntype = 'relp'\nname = 'a'\naddress = 'a:1'\nca = 'c'\nkey = 'k'",
                "needs `certificate`",
            ),
            ("[[serve.output]]\ntype = 'relp'\nname = 'a'\naddress = 'a:1'\nserver_name = 'b'", "needs `ca`"),
            ("[serve.limits]\nconnections = 0", "1 to 1000000"),
            ("[serve.limits]\nmemory = '65GiB'", "a size in bytes"),
            ("[serve.metrics]\nlisten = 'unix:status'", "a place is written"),
            ("[serve.metrics]\nlisten = 'localhost:9514'", "a place is written"),
            ("[serve.limits]\nidle = '0s'", "a time such as"),
            ("[serve.limits]\nidle = '99999999999999999999h'", "a time such as"),
        ] {
            let refused = parsed(text).unwrap_err();
            assert!(refused.contains(why) && refused.starts_with("config.toml:"), "{refused}");
        }
        let refused = parsed("[serve]\ninput = []").unwrap_err();
        assert!(refused.starts_with("config.toml\n`input` of [serve] is empty"), "{refused}");
    }
}
