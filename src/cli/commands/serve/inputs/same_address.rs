//! Detects two inputs, or an input and the status page, that listen at one address.

use crate::cli::codes;
use crate::cli::config::{Input, Kind, Shown, Typed};
use crate::input::tail::resolve;
use crate::primitives::diag::Diagnostic;
use crate::telemetry::ListenAddress;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Refuses two places that the system would not let one process listen at.
///
/// # Errors
/// C06, with the address.
pub(super) fn refuse(inputs: &[Input], shown: Option<&Typed<Shown>>) -> Result<(), Diagnostic> {
    let mut known: Vec<Place> = Vec::new();
    let shown = shown.and_then(|Typed(address)| address.as_ref().map(Place::of_page));
    for place in inputs.iter().filter_map(Place::of_input).chain(shown) {
        if known.iter().any(|other| other.meets(&place)) {
            return Err(Diagnostic::new(&codes::CONFLICT, "the configuration listens twice at one address")
                .at(place.to_string())
                .because("the system gives an address to one listener")
                .hint("give one of the two another address, or take it out of the configuration"));
        }
        known.push(place);
    }
    Ok(())
}

/// Where connections or datagrams arrive.
enum Place {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    File(PathBuf),
}

impl Place {
    fn of_input(input: &Input) -> Option<Self> {
        let address = input.listen.as_ref().map(|Typed(address)| *address);
        match input.kind {
            Kind::Tcp | Kind::Tls | Kind::Relp => address.map(Self::Tcp),
            Kind::Udp => address.map(Self::Udp),
            Kind::Unix | Kind::UnixDatagram => input.path().map(|path| Self::File(resolve(path))),
            Kind::File | Kind::Stdin => None,
        }
    }

    fn of_page(address: &ListenAddress) -> Self {
        match address {
            ListenAddress::Tcp(address) => Self::Tcp(*address),
            ListenAddress::Unix(path) => Self::File(resolve(path)),
        }
    }

    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) | (Self::Udp(one), Self::Udp(other)) => {
                let is_all = one.ip().is_unspecified() || other.ip().is_unspecified();
                let is_one = one.ip() == other.ip() || is_all && one.is_ipv4() == other.is_ipv4();
                // The system chooses another port for each port 0.
                is_one && one.port() == other.port() && one.port() != 0
            }
            (Self::File(one), Self::File(other)) => one == other,
            _ => false,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Udp(address) => write!(f, "udp {address}"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::Config;
    use std::path::Path;

    #[test]
    fn one_address_is_refused_for_any_two_listeners() {
        let input = |kind: &str, place: &str| {
            let key = if kind.starts_with("unix") { "path" } else { "listen" };
            format!("[[serve.input]]\ntype = '{kind}'\n{key} = '{place}'\n")
        };
        let page = |place: &str| format!("[serve.metrics]\nlisten = '{place}'\n");
        for (first, second, is_one) in [
            (input("tcp", "127.0.0.1:5514"), input("tcp", "127.0.0.1:5514"), true),
            (input("tcp", "127.0.0.1:5514"), input("relp", "127.0.0.1:5514"), true),
            (input("tcp", "0.0.0.0:5514"), input("tcp", "127.0.0.1:5514"), true),
            (input("udp", "[::1]:5514"), input("udp", "[::1]:5514"), true),
            (input("unix", "/nosuch/log"), input("unix-datagram", "/nosuch/log"), true),
            (page("127.0.0.1:5514"), input("tcp", "127.0.0.1:5514"), true),
            (page("unix:/nosuch/log"), input("unix", "/nosuch/log"), true),
            (page("none"), input("tcp", "127.0.0.1:5514"), false),
            (input("tcp", "127.0.0.1:5514"), input("udp", "127.0.0.1:5514"), false),
            (input("tcp", "127.0.0.1:5514"), input("tcp", "127.0.0.2:5514"), false),
            (input("tcp", "127.0.0.1:0"), input("tcp", "127.0.0.1:0"), false),
            (input("unix", "/nosuch/log"), input("unix", "/nosuch/other"), false),
        ] {
            let config = Config::parse(Path::new("config.toml"), &format!("{first}{second}")).unwrap();
            let refused = refuse(&config.serve.inputs(), config.serve.metrics.listen.as_ref());
            let refused = refused.err().map(|refused| refused.code.id);
            assert_eq!(refused, is_one.then_some("C06"), "{first}{second}");
        }
    }
}
