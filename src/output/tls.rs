//! TLS to a receiver (RFC 5425): whom we trust, and who we are.
//!
//! The files are read for each connection, so that certificates can be exchanged at any time.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What a connection with TLS is set up from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Roots of the receiver's certificate, in PEM. Those of the operating system are not trusted: anybody gets a
    /// certificate from one of them.
    pub ca: PathBuf,
    /// Our certificate with those between it and a root, and its private key, in PEM, for a receiver that asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name in the receiver's certificate; without it, the host that is connected to.
    pub server_name: Option<String>,
}

impl Files {
    /// Shakes hands with `host` over `stream`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if the files are of no use; whatever the handshake fails of.
    pub(super) async fn connect(&self, stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let name =
            ServerName::try_from(name).map_err(|_| unusable("the name of the receiver is none of TLS"))?;
        TlsConnector::from(Arc::new(self.load()?)).connect(name, stream).await
    }

    /// What the files say.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if they cannot be read or do not belong together.
    pub fn load(&self) -> io::Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for root in certificates(&self.ca)? {
            roots.add(root).map_err(|_| unusable("a certificate in `ca` is none of a root"))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)
            .map_err(io::Error::other)?
            .with_root_certificates(roots);
        let Some((certificate, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let key =
            PrivateKeyDer::from_pem_file(key).map_err(|_| unusable("`key` holds no private key in PEM"))?;
        let with_identity = builder.with_client_auth_cert(certificates(certificate)?, key);
        with_identity.map_err(|_| unusable("`certificate` and `key` do not belong together"))
    }
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|_| unusable("`ca` or `certificate` cannot be read, or is not PEM"))?;
    if certificates.is_empty() {
        return Err(unusable("`ca` or `certificate` holds no certificate"));
    }
    Ok(certificates)
}

/// Without what is in the file.
fn unusable(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
