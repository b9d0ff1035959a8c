//! `[serve]` of the configuration: what `oubliette serve` listens to, where lines go, what it allows.

use super::{Quantity, Size, Span, Typed, Written};
use serde::Deserialize;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// The sidecar.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Serve {
    /// Where lines come from. Without any: TCP and UDP, both on 127.0.0.1:5514.
    pub(crate) input: Option<Vec<Spanned<Input>>>,
    /// Directory of the archive; relative to the configuration file. The state directory if it is not set.
    pub(crate) archive: Option<PathBuf>,
    /// What peers may take.
    pub(crate) limits: Limits,
}

/// One place where lines come from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// Which kind of input.
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    /// Address and port of `tcp`, `tls` and `udp`: `127.0.0.1:5514`, `[::1]:6514`.
    pub(crate) listen: Option<Typed<SocketAddr>>,
    /// Socket file of `unix` and `unix-datagram`. One that is there and that nobody listens to is replaced.
    pub(crate) path: Option<PathBuf>,
    /// Permissions of that file, in octal.
    pub(crate) mode: Option<Typed<Mode>>,
    /// Buffer that the kernel keeps for `udp` and `unix-datagram`, which nothing slows down.
    pub(crate) receive_buffer: Option<Typed<Size>>,
}

/// Kinds of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Connections over TCP: octet counting and lines, told apart for each frame (RFC 6587).
    Tcp,
    /// Datagrams over UDP, a record each (RFC 5426).
    Udp,
    /// Connections to a socket file.
    Unix,
    /// Datagrams to a socket file: `/dev/log`, nginx.
    UnixDatagram,
    /// Standard input, until its end.
    Stdin,
}

/// What peers may take, so that none harms others.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Connections at once, of all inputs together; the next one waits.
    pub(crate) connections: Option<Typed<Connections>>,
    /// Memory for records on their way, of all inputs together; then peers wait.
    pub(crate) memory: Option<Typed<Size>>,
    /// A connection that says nothing for so long is closed.
    pub(crate) idle: Option<Typed<Span>>,
    /// So much of a record longer than `max_line_bytes` is sealed; then its connection is closed.
    pub(crate) sealed: Option<Typed<Size>>,
    /// How long a stop waits for connections to end.
    pub(crate) drain: Option<Typed<Span>>,
}

impl Input {
    /// An input that needs nothing but an address.
    pub(crate) fn listening(kind: Kind, address: SocketAddr) -> Self {
        Self { kind, listen: Some(Typed(address)), path: None, mode: None, receive_buffer: None }
    }

    /// What is missing, or has no meaning for this kind.
    fn problem(&self) -> Option<String> {
        let keys = [
            ("listen", self.listen.is_some(), matches!(self.kind, Kind::Tcp | Kind::Udp), true),
            ("path", self.path.is_some(), matches!(self.kind, Kind::Unix | Kind::UnixDatagram), true),
            ("mode", self.mode.is_some(), matches!(self.kind, Kind::Unix | Kind::UnixDatagram), false),
            (
                "receive_buffer",
                self.receive_buffer.is_some(),
                matches!(self.kind, Kind::Udp | Kind::UnixDatagram),
                false,
            ),
        ];
        keys.into_iter().find_map(|(key, is_there, has_meaning, is_needed)| match (is_there, has_meaning) {
            (true, false) => Some(format!("`{key}` has no meaning for this type of input")),
            (false, true) if is_needed => Some(format!("this type of input needs `{key}`")),
            _ => None,
        })
    }
}

impl Serve {
    /// What is wrong although each key by itself is right, and where.
    pub(crate) fn problem(&self) -> Option<(Range<usize>, String)> {
        let inputs = self.input.iter().flatten();
        let told = |input: &Spanned<Input>| input.get_ref().problem().map(|problem| (input.span(), problem));
        inputs.clone().find_map(told)
    }

    /// The inputs, or those that there are without any.
    pub(crate) fn inputs(&self) -> Vec<Input> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT));
        match &self.input {
            Some(inputs) => inputs.iter().map(|input| input.get_ref().clone()).collect(),
            None => [Kind::Tcp, Kind::Udp].map(|kind| Input::listening(kind, loopback)).to_vec(),
        }
    }
}

impl Limits {
    /// Connections at once.
    pub(crate) fn connections(&self) -> usize {
        self.connections.as_ref().map_or(1024, |Typed(connections)| *connections)
    }

    /// Memory for records on their way, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.as_ref().map_or(64 << 20, |Typed(bytes)| *bytes)
    }

    /// How long a connection may say nothing.
    pub(crate) fn idle(&self) -> Duration {
        self.idle.as_ref().map_or(Duration::from_secs(3600), |Typed(time)| *time)
    }

    /// How much of a long record is sealed, in bytes.
    pub(crate) fn sealed_bytes(&self) -> u64 {
        self.sealed.as_ref().map_or(64 << 20, |Typed(bytes)| *bytes as u64)
    }

    /// How long a stop waits.
    pub(crate) fn drain(&self) -> Duration {
        self.drain.as_ref().map_or(Duration::from_secs(10), |Typed(time)| *time)
    }
}

/// A number of connections.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Connections {}

/// Permissions.
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
        let bytes = Quantity::read(text, &units).and_then(|bytes| usize::try_from(bytes).ok());
        bytes.filter(|bytes| *bytes <= 64 << 30).ok_or("a size in bytes, or such as 64KiB, 4MiB, up to 64GiB")
    }
}

impl Written for Span {
    type Value = Duration;
    fn read(text: &str) -> Result<Duration, &'static str> {
        let units = [("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000)];
        let milliseconds = Quantity::read(text, &units).filter(|time| (1..=1000 * 3_600_000).contains(time));
        milliseconds.map(Duration::from_millis).ok_or("a time such as 500ms, 30s, 10min, 1h, up to 1000h")
    }
}

/// The port of an oubliette that nobody told where to listen: 514 without its privileges.
pub(crate) const DEFAULT_PORT: u16 = 5514;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::Config;
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
             receive_buffer = '8MiB'\n[[serve.input]]\ntype = 'unix-datagram'\npath = '/dev/log'\nmode = '0666'",
        )
        .unwrap();
        let limits = &serve.limits;
        assert_eq!((limits.connections(), limits.memory_bytes()), (5, 1 << 30));
        assert_eq!((limits.idle(), limits.drain()), (Duration::from_secs(90), Duration::from_millis(500)));
        assert_eq!(limits.sealed_bytes(), 1 << 20);
        let inputs = serve.inputs();
        assert_eq!(inputs[0].receive_buffer, Some(Typed(8 << 20)));
        assert_eq!((inputs[1].kind, &inputs[1].mode), (Kind::UnixDatagram, &Some(Typed(0o666))));
    }

    #[test]
    fn what_does_not_fit_is_pointed_at() {
        assert_snapshot!(parsed("tag = 'none'\n[[serve.input]]\ntype = 'udp'\npath = '/x'\n").unwrap_err(), @r"
        config.toml:2
        TOML parse error at line 2, column 1
          |
        2 | [[serve.input]]
          | ^^^^^^^^^^^^^^^
        this type of input needs `listen`
        ");
        for (text, why) in [
            ("[serve]\nlisten = 1", "unknown field `listen`"),
            ("[[serve.input]]\ntype = 'ftp'", "unknown variant `ftp`"),
            ("[[serve.input]]\ntype = 'tcp'\nlisten = 'localhost'", "an address and a port"),
            ("[[serve.input]]\ntype = 'stdin'\nmode = '0600'", "`mode` has no meaning"),
            ("[[serve.input]]\ntype = 'unix'\npath = 'x'\nmode = '666'", "written in octal"),
            ("[[serve.input]]\ntype = 'unix'\npath = 'x'\nmode = '01000'", "written in octal"),
            ("[serve.limits]\nconnections = 0", "1 to 1000000"),
            ("[serve.limits]\nmemory = '65GiB'", "a size in bytes"),
            ("[serve.limits]\nidle = '0s'", "a time such as"),
            ("[serve.limits]\nidle = '99999999999999999999h'", "a time such as"),
        ] {
            let refused = parsed(text).unwrap_err();
            assert!(refused.contains(why) && refused.contains('^'), "{refused}");
        }
    }
}
