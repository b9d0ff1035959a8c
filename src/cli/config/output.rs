//! `[[serve.output]]` of the configuration: where lines go besides the archive.

use super::{Size, Typed, Written};
use crate::output::Framing;
use crate::output::file::Every;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// One place where lines go.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Output {
    /// The kind of output.
    #[serde(rename = "type")]
    pub(crate) kind: OutputKind,
    /// Its name in messages and metrics, and that of its spool: letters, digits and dashes.
    pub(crate) name: Typed<OutputName>,
    /// Host and port of `tcp`, `tls` and `relp`: `log.example.net:2514`.
    pub(crate) address: Option<Typed<Peer>>,
    /// Some brokers of `kafka`, from which to find the others: `["kafka1:9092", "kafka2:9092"]`.
    pub(crate) brokers: Option<Vec<Typed<Peer>>>,
    /// The topic of `kafka`. One topic holds one retention class.
    pub(crate) topic: Option<String>,
    /// File with settings of librdkafka for `kafka`, one `key=value` per line: TLS, passwords. `credential:NAME` means a credential that systemd loaded.
    pub(crate) kafka_config: Option<PathBuf>,
    /// The socket of `unix` and `unix-datagram`, or the file of `file`.
    pub(crate) path: Option<PathBuf>,
    /// How messages are separated over `tcp`, `tls` and `unix`: `octet-counting` or `non-transparent`.
    #[schemars(with = "Option<String>", extend("default" = "octet-counting"))]
    pub(crate) framing: Option<Framing>,
    /// Roots of the receiver's certificate, in PEM, for `tls` or `relp` inside TLS. `credential:NAME` means a credential that systemd loaded.
    pub(crate) ca: Option<PathBuf>,
    /// Our certificate, for a receiver that asks for one, followed by those between it and a root, in PEM.
    pub(crate) certificate: Option<PathBuf>,
    /// Private key of that certificate, in PEM.
    pub(crate) key: Option<PathBuf>,
    /// The name in the receiver's certificate, if it is not the host of `address`.
    pub(crate) server_name: Option<String>,
    /// How many records may be unanswered over `relp`, or unacknowledged by `kafka`.
    #[schemars(extend("default" = "1000"))]
    pub(crate) window: Option<Typed<Window>>,
    /// Whether to acknowledge a record only when this output has it. If so, senders wait when its spool is full; if not,
    /// lines for this output are dropped and counted.
    #[serde(default)]
    pub(crate) required: bool,
    /// Largest size of its spool.
    #[schemars(extend("default" = "1GiB"))]
    pub(crate) spool_bytes: Option<Typed<Size>>,
    /// Rotate the file before it is larger than this.
    pub(crate) rotate_bytes: Option<Typed<Size>>,
    /// How often to rotate the file: `hour`, `day` (at legal midnight) or `never`.
    #[schemars(with = "Option<String>", extend("default" = "never"))]
    pub(crate) rotate_every: Option<Every>,
    /// Remove a rotated file after this many days. Without it, rotated files stay.
    pub(crate) keep_days: Option<Typed<Days>>,
}

/// Kinds of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OutputKind {
    /// Syslog over TCP (RFC 6587).
    Tcp,
    /// The same inside TLS (RFC 5425).
    Tls,
    /// RELP; a line counts as delivered when the receiver has answered.
    Relp,
    /// A topic of Kafka; a line counts as delivered when the brokers have acknowledged it. Needs the feature `kafka`.
    Kafka,
    /// Syslog to a stream socket of this machine.
    Unix,
    /// Syslog to a datagram socket of this machine.
    UnixDatagram,
    /// A file that is rotated.
    File,
    /// Standard output.
    Stdout,
}

impl Output {
    /// Describes a key that is missing or has no meaning for this kind of output.
    pub(crate) fn problem(&self) -> Option<String> {
        use OutputKind::{File, Kafka, Relp, Tcp, Tls, Unix, UnixDatagram};
        let is = |kinds: &[OutputKind]| kinds.contains(&self.kind);
        if is(&[File]) && self.keep_days.is_some() && self.rotate_every.is_none() {
            return Some(NOT_ROTATED.to_owned());
        }
        let has_tls =
            is(&[Tls]) || self.certificate.is_some() || self.key.is_some() || self.server_name.is_some();
        let keys = [
            ("address", self.address.is_some(), is(&[Tcp, Tls, Relp]), true),
            ("brokers", self.brokers.is_some(), is(&[Kafka]), true),
            ("topic", self.topic.is_some(), is(&[Kafka]), true),
            ("kafka_config", self.kafka_config.is_some(), is(&[Kafka]), false),
            ("path", self.path.is_some(), is(&[Unix, UnixDatagram, File]), true),
            ("framing", self.framing.is_some(), is(&[Tcp, Tls, Unix]), false),
            ("ca", self.ca.is_some(), is(&[Tls, Relp]), has_tls),
            ("certificate", self.certificate.is_some(), is(&[Tls, Relp]), self.key.is_some()),
            ("key", self.key.is_some(), is(&[Tls, Relp]), self.certificate.is_some()),
            ("server_name", self.server_name.is_some(), is(&[Tls, Relp]), false),
            ("window", self.window.is_some(), is(&[Relp, Kafka]), false),
            ("rotate_bytes", self.rotate_bytes.is_some(), is(&[File]), false),
            ("rotate_every", self.rotate_every.is_some(), is(&[File]), false),
            ("keep_days", self.keep_days.is_some(), is(&[File]), false),
        ];
        super::serve::first_problem("output", keys)
    }

    /// Returns the file that it writes, or an empty path for standard output; `None` for other kinds.
    pub(crate) fn written(&self) -> Option<&Path> {
        match self.kind {
            OutputKind::File => self.path.as_deref().map(|path| path.strip_prefix(".").unwrap_or(path)),
            OutputKind::Stdout => Some(Path::new("")),
            _ => None,
        }
    }

    /// Returns the largest size of the spool, in bytes.
    pub(crate) fn most_spool_bytes(&self) -> u64 {
        self.spool_bytes.as_ref().map_or(1 << 30, |Typed(bytes)| *bytes as u64)
    }
}

/// Says why `keep_days` needs `rotate_every`, even with `rotate_bytes`.
const NOT_ROTATED: &str = "`keep_days` needs `rotate_every`, also beside `rotate_bytes`: a file with few lines is not rotated by its \
                           size, and they would stay in it";

/// The name of an output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OutputName {}

/// Host and port.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Peer {}

/// A limit on unanswered records.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Window {}

/// A number of days.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Days {}

impl Written for OutputName {
    type Value = String;
    const IS_NAME: bool = true;
    fn read(text: &str) -> Result<String, &'static str> {
        let is_good = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_good.then(|| text.to_owned()).ok_or("a name of 1 to 64 letters, digits and dashes")
    }
}

impl Written for Peer {
    type Value = String;
    fn read(text: &str) -> Result<String, &'static str> {
        let parts =
            text.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        parts.map(|_| text.to_owned()).ok_or("host and port are written log.example.net:2514 or [::1]:2514")
    }
}

impl Written for Window {
    type Value = usize;
    fn read(text: &str) -> Result<usize, &'static str> {
        text.parse().ok().filter(|records| (1..=1_000_000).contains(records)).ok_or("1 to 1000000 records")
    }
}

impl Written for Days {
    type Value = u16;
    fn read(text: &str) -> Result<u16, &'static str> {
        text.parse().ok().filter(|days| (1..=3660).contains(days)).ok_or("1 to 3660 days")
    }
}
