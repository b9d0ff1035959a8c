//! The clients that may connect, by the fingerprint of their certificate or the names in it (RFC 5425, 5.1
//! and 5.2).

use crate::primitives::hex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use sha2::{Digest as _, Sha256};
use webpki::EndEntityCert;

/// A client that may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// The SHA-256 fingerprint of its certificate.
    Fingerprint([u8; 32]),
    /// A DNS name among the subject alternative names. `*.` stands for one label.
    Name(String),
}

impl Client {
    /// Parses `sha-256:` and 64 hex digits, with or without colons, or a DNS name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(digits) = text.strip_prefix("sha-256:") {
            return hex::decode_any_case(digits.replace(':', "").as_bytes()).map(Self::Fingerprint);
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        name.split('.').all(is_label).then(|| Self::Name(text.to_ascii_lowercase()))
    }

    fn is(&self, fingerprint: &[u8; 32], names: &[String]) -> bool {
        match self {
            Self::Fingerprint(listed) => listed == fingerprint,
            Self::Name(listed) => names.iter().any(|name| matches(listed, name)),
        }
    }
}

/// Returns whether one of `clients` has this certificate.
pub(super) fn any_is(clients: &[Client], certificate: &CertificateDer<'_>) -> bool {
    let fingerprint = Sha256::digest(certificate.as_ref()).into();
    let parsed = EndEntityCert::try_from(certificate);
    let names: Vec<String> =
        parsed.iter().flat_map(|parsed| parsed.valid_dns_names()).map(str::to_ascii_lowercase).collect();
    clients.iter().any(|client| client.is(&fingerprint, &names))
}

fn matches(listed: &str, name: &str) -> bool {
    match listed.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(_, of_name)| of_name == parent),
        None => listed == name,
    }
}

/// Accepts certificates only by fingerprint, whoever signed them. Names are not trusted: anybody can put them
/// into a certificate of his own.
#[derive(Debug)]
pub(super) struct Pinned {
    clients: Vec<Client>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    pub(super) fn new(clients: Vec<Client>, provider: &CryptoProvider) -> Self {
        let is_fingerprint = |client: &Client| matches!(client, Client::Fingerprint(_));
        let clients = clients.into_iter().filter(is_fingerprint).collect();
        Self { clients, algorithms: provider.signature_verification_algorithms }
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if any_is(&self.clients, certificate) {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_written_as_fingerprints_or_names() {
        let digits = "AB".repeat(32);
        let colons = vec!["ab"; 32].join(":");
        let fingerprint = Some(Client::Fingerprint([0xab; 32]));
        assert_eq!(Client::parse(&format!("sha-256:{digits}")), fingerprint);
        assert_eq!(Client::parse(&format!("sha-256:{colons}")), fingerprint);
        assert_eq!(Client::parse("Web1.Example.org"), Some(Client::Name("web1.example.org".to_owned())));
        assert!(Client::parse("*.example.org").is_some());
        for text in ["", "sha-256:", "sha-256:abc", "sha-1:aa", "*", "a..b", "a b", "*.*.org", "w*.org"] {
            assert_eq!(Client::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_star_stands_for_one_label() {
        for (listed, name, same) in [
            ("web1.example.org", "web1.example.org", true),
            ("web1.example.org", "web2.example.org", false),
            ("*.example.org", "web2.example.org", true),
            ("*.example.org", "a.web2.example.org", false),
            ("*.example.org", "example.org", false),
        ] {
            assert_eq!(matches(listed, name), same, "{listed} {name}");
        }
    }
}
