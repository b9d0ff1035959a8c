//! TLS to a receiver (RFC 5425): the roots we trust, and our identity.
//!
//! The files are read again for each connection, so certificates can be replaced at any time.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The files that a TLS connection is set up from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Trusted roots for the receiver's certificate, in PEM. The roots of the operating system are not
    /// trusted: anybody can get a certificate from one of them.
    pub ca: PathBuf,
    /// Our certificate chain and private key, in PEM, for a receiver that asks for a client certificate. The
    /// chain includes the certificates between ours and a root.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The expected name in the receiver's certificate; `None` for the host of its address.
    pub server_name: Option<String>,
}

impl Files {
    /// Performs the handshake with `host` over `stream`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if the files are unusable; any error of the handshake.
    pub(super) async fn connect(&self, stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let name =
            ServerName::try_from(name).map_err(|_| unusable("the name of the receiver is none of TLS"))?;
        TlsConnector::from(Arc::new(self.load()?)).connect(name, stream).await
    }

    /// Loads the files.
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

/// Never includes anything that is in the file.
fn unusable(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
