//! TLS as clients see it: which clients are accepted, and certificates that are exchanged at run time.

use crate::sidecar::{Sidecar, line};
use crate::{ids, once};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A root certificate that signs identities.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn identity(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { certificate: certificate.der().clone(), pem: certificate.pem(), key }
    }

    fn write(&self, path: &Path) {
        fs::write(path, self.0.pem()).unwrap();
    }
}

impl Identity {
    fn write(&self, folder: &Path) {
        fs::write(folder.join("certificate.pem"), &self.pem).unwrap();
        fs::write(folder.join("key.pem"), self.key.serialize_pem()).unwrap();
    }

    fn fingerprint(&self) -> String {
        let digits =
            Sha256::digest(&self.certificate).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("sha-256:{digits}")
    }
}

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// Connects with the certificate of `client` to a server that `authority` vouches for as `web.example`.
fn connect(sidecar: &Sidecar, authority: &Authority, client: Option<&Identity>) -> Connection {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(rustls::DEFAULT_VERSIONS);
    let builder = builder.unwrap().with_root_certificates(roots);
    let config = match client {
        Some(client) => {
            let key = PrivateKeyDer::try_from(client.key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![client.certificate.clone()], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from("web.example").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(sidecar.address("tls")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    StreamOwned::new(session, stream)
}

/// Sends a line and the end of the session. The archive shows whether it was accepted.
fn send(mut connection: Connection, id: &str) {
    let text = line(id);
    let sent = connection.write_all(format!("{} {text}", text.len()).as_bytes());
    connection.conn.send_close_notify();
    let flushed = connection.flush();
    if sent.and(flushed).is_ok() {
        // Wait until the other side has ended it too.
        let _ = connection.read(&mut [0]);
    }
}

fn config(clients: &str) -> String {
    format!(
        "[[serve.input]]\ntype = 'tls'\nlisten = '127.0.0.1:0'\ncertificate = 'certificate.pem'\nkey = 'key.pem'\n{clients}"
    )
}

#[test]
fn anybody_may_come_if_nobody_is_listed() {
    let authority = Authority::new();
    let sidecar =
        Sidecar::start_with(&config(""), &[], |folder| authority.identity("web.example").write(folder));
    for id in ids("open", 20) {
        send(connect(&sidecar, &authority, None), &id);
    }
    let ended = sidecar.stop();
    assert_eq!(ended.archived(), once(ids("open", 20)));
    ended.check_privacy();
}

/// RFC 5425, 4.4: "the transport receiver MUST reply with a close_notify".
#[test]
fn the_end_of_a_session_is_answered() {
    let authority = Authority::new();
    let sidecar =
        Sidecar::start_with(&config(""), &[], |folder| authority.identity("web.example").write(folder));
    let mut connection = connect(&sidecar, &authority, None);
    connection.write_all(format!("{}\n", line("last")).as_bytes()).unwrap();
    connection.conn.send_close_notify();
    connection.flush().unwrap();
    // Fails with an error if the connection closes without a close_notify.
    assert_eq!(connection.read(&mut [0]).unwrap(), 0);
    let ended = sidecar.stop();
    assert_eq!(ended.archived(), once(["last".to_owned()]));
}

#[test]
fn lines_may_end_with_nul() {
    let authority = Authority::new();
    let sidecar = Sidecar::start_with(&config("trailer = 'nul'\n"), &[], |folder| {
        authority.identity("web.example").write(folder);
    });
    let mut connection = connect(&sidecar, &authority, None);
    let (text, other) = (line("counted"), line("nul"));
    connection.write_all(format!("{other}\nfrom 203.0.113.9\0{} {text}", text.len()).as_bytes()).unwrap();
    connection.conn.send_close_notify();
    connection.flush().unwrap();
    let _ = connection.read(&mut [0]);
    let ended = sidecar.stop();
    assert_eq!(ended.archived(), once(["counted".to_owned(), "nul".to_owned()]));
    assert!(ended.lines().iter().any(|line| line.contains("#012from ip_")), "{:?}", ended.lines());
    ended.check_privacy();
}

#[test]
fn only_listed_clients_of_the_root_may_come() {
    let (authority, other) = (Authority::new(), Authority::new());
    let clients = "client_ca = 'ca.pem'\nclients = ['*.nodes.example']\n";
    let sidecar = Sidecar::start_with(&config(clients), &[], |folder| {
        authority.identity("web.example").write(folder);
        authority.write(&folder.join("ca.pem"));
    });
    send(connect(&sidecar, &authority, Some(&authority.identity("a.nodes.example"))), "listed");
    send(connect(&sidecar, &authority, Some(&authority.identity("a.others.example"))), "unlisted");
    send(connect(&sidecar, &authority, Some(&other.identity("b.nodes.example"))), "foreign");
    send(connect(&sidecar, &authority, None), "nobody");
    let ended = sidecar.stop();
    assert_eq!(ended.archived(), once(["listed".to_owned()]));
    assert!(ended.told.contains("the handshake failed"), "{}", ended.told);
    assert_eq!(ended.told.matches("sent no certificates").count(), 1, "{}", ended.told);
}

#[test]
fn a_private_key_that_others_can_read_is_used_and_warned_of() {
    let authority = Authority::new();
    let output = "[[serve.output]]\ntype = 'tls'\nname = 'o'\naddress = '127.0.0.1:9'\nca = 'ca.pem'\n\
                  certificate = 'certificate.pem'\nkey = 'shared.pem'\n[serve.limits]\ndrain = '100ms'\n";
    for (mode, warns) in [(0o600, false), (0o640, !rustix::process::geteuid().is_root()), (0o604, true)] {
        let sidecar = Sidecar::start_with(&(config("") + output), &[], |folder| {
            authority.identity("web.example").write(folder);
            authority.write(&folder.join("ca.pem"));
            fs::copy(folder.join("key.pem"), folder.join("shared.pem")).unwrap();
            for key in ["key.pem", "shared.pem"] {
                fs::set_permissions(folder.join(key), fs::Permissions::from_mode(mode)).unwrap();
            }
        });
        send(connect(&sidecar, &authority, None), "sent");
        sidecar.hang_up();
        sidecar.wait_for("loaded again");
        let ended = sidecar.stop();
        assert_eq!(ended.archived(), once(["sent".to_owned()]));
        // A warning for each of the two keys, at the start and at the reload.
        let expected = if warns { 4 } else { 0 };
        assert_eq!(ended.told.matches("warning[K02]").count(), expected, "{mode:o}: {}", ended.told);
    }
}

#[test]
fn a_fingerprint_is_enough() {
    let (authority, unknown) = (Authority::new(), Authority::new());
    let client = unknown.identity("whoever.example");
    let clients = format!("clients = ['{}']\n", client.fingerprint());
    let sidecar =
        Sidecar::start_with(&config(&clients), &[], |folder| authority.identity("web.example").write(folder));
    send(connect(&sidecar, &authority, Some(&client)), "known");
    send(connect(&sidecar, &authority, Some(&unknown.identity("whoever.example"))), "unknown");
    assert_eq!(sidecar.stop().archived(), once(["known".to_owned()]));
}

#[test]
fn certificates_are_exchanged_while_connections_last() {
    let (old, new) = (Authority::new(), Authority::new());
    let sidecar = Sidecar::start_with(&config(""), &[], |folder| old.identity("web.example").write(folder));
    let mut lasting = connect(&sidecar, &old, None);
    writeln!(lasting, "{}", line("before")).unwrap();
    fs::write(sidecar.folder().join("key.pem"), "no key").unwrap();
    sidecar.hang_up();
    sidecar.wait_for("stay in force");
    send(connect(&sidecar, &old, None), "still");
    new.identity("web.example").write(sidecar.folder());
    sidecar.hang_up();
    sidecar.wait_for("loaded again");
    send(connect(&sidecar, &new, None), "new");
    writeln!(lasting, "{}", line("after")).unwrap();
    send(lasting, "last");
    let ended = sidecar.stop();
    assert!(ended.told.contains("error[I11]"), "{}", ended.told);
    assert_eq!(ended.archived(), once(["before", "still", "new", "after", "last"].map(ToOwned::to_owned)));
}

/// The last check of a reload fails: the file of a socket whose mode is to change is gone.
#[test]
fn a_reload_that_is_refused_late_leaves_certificates_and_modes() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let sockets = ["first", "second"].map(|name| folder.path().join(name));
    let inputs = |mode: &str| {
        let unix = sockets.each_ref().map(|path| {
            format!("[[serve.input]]\ntype = 'unix'\npath = '{}'\nmode = '{mode}'\n", path.display())
        });
        config("") + &unix.concat()
    };
    let sidecar =
        Sidecar::start_with(&inputs("0600"), &[], |folder| old.identity("web.example").write(folder));
    new.identity("web.example").write(sidecar.folder());
    fs::remove_file(&sockets[1]).unwrap();
    sidecar.configure(&format!("escrow = 'none'\n{}", inputs("0666")));
    sidecar.hang_up();
    sidecar.wait_for("stay in force");
    send(connect(&sidecar, &new, None), "new");
    send(connect(&sidecar, &old, None), "old");
    let mode = fs::metadata(&sockets[0]).unwrap().permissions().mode();
    let ended = sidecar.stop();
    assert!(ended.told.contains("error[I10]"), "{}", ended.told);
    assert_eq!((ended.archived(), mode & 0o777), (once(["old".to_owned()]), 0o600), "{}", ended.told);
}

#[test]
fn the_key_may_be_a_credential_of_the_service() {
    let authority = Authority::new();
    let credentials = tempfile::tempdir().unwrap();
    let environment = [("CREDENTIALS_DIRECTORY", credentials.path().display().to_string())];
    let config = config("").replace("'key.pem'", "'credential:log.key'");
    let sidecar = Sidecar::start_in_environment(&config, &environment, |folder| {
        authority.identity("web.example").write(folder);
        fs::rename(folder.join("key.pem"), credentials.path().join("log.key")).unwrap();
    });
    send(connect(&sidecar, &authority, None), "sent");
    assert_eq!(sidecar.stop().archived(), once(["sent".to_owned()]));
}
