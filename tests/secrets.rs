//! Secrets in the place of a name: in options, in the environment, in the configuration, in a store's
//! response. No message repeats them.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot do")]

use rcgen::{CertificateParams, KeyPair};
use std::process::{Command, Stdio};

/// A part of each secret.
const TELLING: &str = "hunter2";

/// Prepares the program with these arguments, and no environment except the path of the test.
fn oubliette(arguments: &[&str], folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oubliette"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.args(arguments).arg("--state-dir").arg(folder.path().join("state")).stdin(Stdio::null());
    command
}

/// Asserts that the command is refused with this code, without showing the secret.
fn is_refused(command: &mut Command, code: &str) {
    let output = command.output().unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains(&format!("error[{code}]")), "{told}");
    assert!(!told.to_lowercase().contains(TELLING), "{told}");
}

fn identity() -> String {
    format!("AGE-SECRET-KEY-1{}", "HUNTER2QQ".repeat(6))
}

#[test]
fn keys_in_the_place_of_their_files_are_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let identity = identity();
    is_refused(&mut oubliette(&["filter", "--key-file", &identity], &folder), "K01");
    is_refused(oubliette(&["filter"], &folder).env("OUBLIETTE_KEY_FILE", &identity), "K01");
    is_refused(oubliette(&["filter"], &folder).env("OUBLIETTE_CONFIG", &identity), "C02");
    is_refused(&mut oubliette(&["filter", &identity], &folder), "C02");
    is_refused(&mut oubliette(&["filter", "--rules", &identity], &folder), "C02");
    is_refused(&mut oubliette(&["init", "--recipient", &identity], &folder), "K09");
    let hex = "00112233445566778899aabbccddeeff".repeat(2);
    for command in [
        &mut oubliette(&["filter", "--key-file", &hex], &folder),
        oubliette(&["filter"], &folder).env("OUBLIETTE_KEY_FILE", &hex),
    ] {
        let told = String::from_utf8(command.output().unwrap().stderr).unwrap();
        assert!(
            told.contains("error[K01]: a key was given where the path of a key file belongs")
                && !told.contains("0011"),
            "{told}"
        );
    }
}

#[test]
fn secrets_of_a_configuration_are_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.path().join("c.pem"), certificate.pem()).unwrap();
    let pem = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----";
    let tls = "escrow = 'none'\n[[serve.input]]\ntype = 'tls'\nlisten = '127.0.0.1:0'\ncertificate = 'c.pem'";
    for (text, code) in [
        ("hunter2 = 'x'".to_owned(), "C03"),
        ("\"password=hunter2\" = 'x'".to_owned(), "C03"),
        ("zone = 'hunter2'".to_owned(), "C03"),
        ("recipients = ['AGE-SECRET-KEY-1HUNTER2']".to_owned(), "K09"),
        (format!("{tls}\nkey = '''{pem}'''"), "I11"),
        (format!("{tls}\nkey = '{}'", identity()), "I11"),
    ] {
        std::fs::write(&config, text).unwrap();
        is_refused(&mut oubliette(&["serve", "--config", config.to_str().unwrap()], &folder), code);
    }
}

/// Like S3, the store answers a wrong signature with all that was signed.
#[cfg(feature = "s3")]
#[test]
fn what_a_store_repeats_is_not_repeated() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = vec![0; 64 << 10];
            let length = stream.read(&mut request).unwrap_or(0);
            let signed = String::from_utf8_lossy(&request[..length]).into_owned();
            let body = format!(
                "<Error><Code>SignatureDoesNotMatch</Code><CanonicalRequest>{signed}</CanonicalRequest></Error>"
            );
            let head = format!(
                "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    let folder = tempfile::tempdir().unwrap();
    // Create the ledger first.
    let purged =
        oubliette(&["purge", "--archive", folder.path().to_str().unwrap()], &folder).output().unwrap();
    assert_eq!(purged.status.code(), Some(0), "{}", String::from_utf8_lossy(&purged.stderr));
    for user in ["", "me:hunter2@"] {
        let mut command = oubliette(&["verify", "s3://bucket/prefix"], &folder);
        command.env("AWS_ENDPOINT_URL", format!("http://{user}{address}")).env("AWS_ALLOW_HTTP", "true");
        command.env("AWS_ACCESS_KEY_ID", "hunter2-id").env("AWS_SECRET_ACCESS_KEY", "hunter2-key");
        command.env("AWS_SESSION_TOKEN", "hunter2-token").env("AWS_REGION", "eu-west-3");
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("403 Forbidden, SignatureDoesNotMatch") && !told.contains(TELLING), "{told}");
    }
}

#[cfg(feature = "s3")]
#[test]
fn variables_for_a_store_are_named_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let purged =
        oubliette(&["purge", "--archive", folder.path().to_str().unwrap()], &folder).output().unwrap();
    assert_eq!(purged.status.code(), Some(0), "{}", String::from_utf8_lossy(&purged.stderr));
    for (name, value, told) in [
        ("AWS_ALLOW_HTTP", "hunter2", "AWS_"),
        ("AWS_ENDPOINT_URL", "hunter2", "AWS_ENDPOINT_URL"),
        ("AWS_ENDPOINT_URL_S3", "hunter2://", "AWS_ENDPOINT_URL_S3"),
        ("AWS_ACCESS_KEY_ID", "hunter2\n", "AWS_ACCESS_KEY_ID"),
        ("AWS_SESSION_TOKEN", "hunter2\n", "AWS_SESSION_TOKEN"),
    ] {
        let mut command = oubliette(&["verify", "s3://bucket/prefix"], &folder);
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1").env("AWS_ACCESS_KEY_ID", "id");
        command.env("AWS_SECRET_ACCESS_KEY", "key").env(name, value);
        is_refused(&mut command, "A01");
        let output = String::from_utf8(command.output().unwrap().stderr).unwrap();
        assert!(output.contains(told), "{output}");
    }
}
