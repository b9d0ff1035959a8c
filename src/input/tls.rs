//! TLS for connections (RFC 5425): our certificate, and the clients that may connect.
//!
//! Certificates can be replaced while connections last; later connections use the new ones.

mod clients;

pub use clients::Client;

use crate::primitives::diag::{Code, Diagnostic};
use crate::primitives::lock::Unpoisoned as _;
use clients::Pinned;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

/// The files that an input with TLS is set up from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Our certificate chain without the root, in PEM.
    pub certificate: PathBuf,
    /// The private key of our certificate, in PEM.
    pub key: PathBuf,
    /// Trusted roots for the certificates of clients, in PEM. Without them, clients can only be identified by
    /// fingerprint.
    pub client_ca: Option<PathBuf>,
    /// The clients that may connect. If empty: every client with a certificate of those roots, or anybody if
    /// there are no roots.
    pub clients: Vec<Client>,
}

/// The configuration with which new connections are accepted.
#[derive(Clone, Debug)]
pub struct Tls(Arc<RwLock<Loaded>>);

#[derive(Clone, Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    clients: Arc<[Client]>,
}

/// The reasons why a connection was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The handshake failed.
    #[error("the handshake failed")]
    Handshake(#[from] io::Error),
    /// The handshake took too long.
    #[error("the handshake took too long")]
    Slow,
    /// The client has a certificate but is not on the list.
    #[error("the client is not on the list")]
    NotListed,
}

impl Tls {
    /// Loads all files.
    ///
    /// # Errors
    /// I11, naming the file that is wrong.
    pub fn load(files: &Files) -> Result<Self, Diagnostic> {
        Ok(Self(Arc::new(RwLock::new(Loaded::new(files)?))))
    }

    /// Replaces the configuration for new connections with that of `loaded`.
    pub fn exchange(&self, loaded: &Self) {
        let loaded = loaded.0.read().unpoisoned().clone();
        *self.0.write().unpoisoned() = loaded;
    }

    /// Performs the handshake, and checks whether the client is on the list.
    ///
    /// # Errors
    /// [`TlsError`]; nothing that the client has sent was read then.
    pub async fn accept<S>(&self, stream: S) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Loaded { config, clients } = self.0.read().unpoisoned().clone();
        let accepted = timeout(LONGEST_HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await;
        let stream = accepted.map_err(|_| TlsError::Slow)??;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let is_listed = clients.is_empty()
            || certificate.is_some_and(|certificate| clients::any_is(&clients, certificate));
        if is_listed { Ok(stream) } else { Err(TlsError::NotListed) }
    }
}

impl Loaded {
    fn new(files: &Files) -> Result<Self, Diagnostic> {
        let chain = certificates(&files.certificate)?;
        let key = private_key(&files.key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)
            .map_err(|error| unusable(&files.certificate, &error.to_string()))?;
        let builder = match verifier(files)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let config = builder.with_single_cert(chain, key).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => of_another_certificate(files),
            error => unusable(&files.certificate, &error.to_string()),
        })?;
        Ok(Self { config: Arc::new(config), clients: files.clients.clone().into() })
    }
}

/// Returns the verifier for the certificates of clients; `None` if clients need no certificate.
fn verifier(files: &Files) -> Result<Option<Arc<dyn ClientCertVerifier>>, Diagnostic> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let Some(path) = &files.client_ca else {
        let pinned =
            || Arc::new(Pinned::new(files.clients.clone(), &provider)) as Arc<dyn ClientCertVerifier>;
        return Ok((!files.clients.is_empty()).then(pinned));
    };
    let mut roots = RootCertStore::empty();
    for root in certificates(path)? {
        roots.add(root).map_err(|error| unusable(path, &error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    Ok(Some(verifier.map_err(|error| unusable(path, &error.to_string()))?))
}

/// Reads the file once, for it may be a pipe.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Diagnostic> {
    let text = fs::read(path).map(Zeroizing::new).map_err(|error| unusable(path, &error.to_string()))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        if is_encrypted(&text) {
            return unusable(path, "the key is encrypted, and `serve` knows no passphrase for it")
                .hint("`(umask 077; openssl pkey -in FILE -out NEW)` writes the key without its passphrase");
        }
        unusable(path, &told(error))
    })
}

/// Returns whether the text has an encrypted key, as PKCS #8 (RFC 7468, section 11) or as OpenSSL wrote keys
/// before that (RFC 1421, section 4.6.1.1).
fn is_encrypted(text: &[u8]) -> bool {
    ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| memchr::memmem::find(text, mark.as_bytes()).is_some())
}

fn of_another_certificate(files: &Files) -> Diagnostic {
    let why = format!("the key in {} is not that of the first certificate", files.key.display());
    unusable(&files.certificate, &why).hint(
        "for a pair `openssl pkey -pubout -in KEY` and `openssl x509 -noout -pubkey -in FILE` print the same",
    )
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Diagnostic> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unusable(path, &told(error)))?;
    if certificates.is_empty() {
        return Err(unusable(path, "it holds no certificate"));
    }
    Ok(certificates)
}

/// Says what is wrong with a file, without quoting from it.
fn told(error: pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "it holds no private key".to_owned(),
        _ => "it is not PEM".to_owned(),
    }
}

fn unusable(path: &Path, why: &str) -> Diagnostic {
    Diagnostic::new(&UNUSABLE, "TLS cannot be set up").at(path.display().to_string()).because(why).hint(
        "`openssl x509 -noout -text -in FILE` shows a certificate; the key must belong to the first one",
    )
}

const LONGEST_HANDSHAKE: Duration = Duration::from_secs(10);

/// I11: a certificate or key that cannot be used.
pub static UNUSABLE: Code = Code {
    id: "I11",
    title: "TLS cannot be set up",
    text: "\
What it means
  oubliette could not read the certificate, its key or the root of the clients' certificates, or
  they do not belong together.

Why it matters
  On their way here, log lines hold their identifiers in clear. If you ask for TLS and it does not
  work, `serve` takes nothing. If it runs already, it keeps the certificates that it had.

Example
  key = \"log.pem\"          with the certificate in it instead of the key

What to do
  1. Look at the certificate: `openssl x509 -noout -text -in FILE`
  2. Check the key: `openssl pkey -noout -check -in FILE`
  3. If the key has a passphrase, write it without: `(umask 077; openssl pkey -in FILE -out NEW)`
  4. Let `serve` read the key. With systemd, use `LoadCredential=` in the unit and
     `key = \"credential:NAME\"` in the configuration.

References
  RFC 5425; RFC 7468; systemd.exec(5), LoadCredential",
};

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, KeyPair};

    #[test]
    fn an_unusable_key_is_told_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let CertifiedKey { cert, .. } =
            rcgen::generate_simple_self_signed(["web.example".to_owned()]).unwrap();
        fs::write(at("certificate.pem"), cert.pem()).unwrap();
        let other = KeyPair::generate().unwrap().serialize_pem();
        let named = other.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let headed =
            other.replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0\n\n");
        for (text, place, why, hint) in [
            (named, "key.pem", "the key is encrypted", "openssl pkey -in FILE -out NEW"),
            (headed, "key.pem", "the key is encrypted", "openssl pkey -in FILE -out NEW"),
            (cert.pem(), "key.pem", "it holds no private key", "must belong to the first one"),
            (other, "certificate.pem", "key.pem is not that of the first certificate", "-noout -pubkey"),
        ] {
            fs::write(at("key.pem"), text).unwrap();
            let (certificate, key) = (at("certificate.pem"), at("key.pem"));
            let files = Files { certificate, key, client_ca: None, clients: Vec::new() };
            let refused = Tls::load(&files).unwrap_err();
            assert_eq!(refused.place, Some(at(place).display().to_string()));
            assert!(refused.why.unwrap().contains(why) && refused.hint.unwrap().contains(hint), "{why}");
        }
    }
}
