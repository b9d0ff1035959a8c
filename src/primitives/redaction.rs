//! Removes secrets that people put where a name belongs: an identity instead of its file, a private key
//! pasted into a configuration, the password in a URL.

/// Returns `text` without these secrets.
///
/// Only these kinds of secrets can be recognised. The author of each message must make sure that it quotes no
/// others.
#[must_use]
pub(super) fn redacted(text: String) -> String {
    let text = without_pem(text);
    let text = IDENTITIES.into_iter().fold(text, without_identities);
    without_passwords(text)
}

/// Prefixes of the secret keys of age, its own and those of plugins (age-encryption.org/v1, C2SP age-plugin).
const IDENTITIES: [&str; 2] = ["age-secret-key-", "age-plugin-"];

/// Messages name the prefix; anything this long is a key and not just a name.
const LEAST_IDENTITY_BYTES: usize = 40;

/// Hides a private key in PEM of any kind (RFC 7468), up to the end of the text: in a damaged text its end is
/// unknown.
fn without_pem(mut text: String) -> String {
    if let Some(begin) = text.find("-----BEGIN ")
        && text[begin..].contains("PRIVATE KEY")
    {
        let length = text.len() - begin;
        text.replace_range(begin.., &hidden(length));
    }
    text
}

fn without_identities(mut text: String, prefix: &str) -> String {
    let mut from = 0;
    while let Some(at) = text[from..].to_ascii_lowercase().find(prefix) {
        let begin = from + at;
        let is_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let length = text[begin..].bytes().take_while(|byte| is_key(*byte)).count();
        from = begin + length;
        if length >= LEAST_IDENTITY_BYTES {
            let hidden = hidden(length);
            from = begin + hidden.len();
            text.replace_range(begin..begin + length, &hidden);
        }
    }
    text
}

/// Hides user and password before the host of a URL (RFC 3986, 3.2.1).
fn without_passwords(mut text: String) -> String {
    let mut from = 0;
    while let Some(at) = text[from..].find("://") {
        from += at + "://".len();
        let authority = text[from..].find(['/', '?', '#', ' ', ')', '\n']).unwrap_or(text.len() - from);
        if let Some(length) = text[from..from + authority].rfind('@') {
            text.replace_range(from..from + length, &hidden(length));
        }
    }
    text
}

fn hidden(bytes: usize) -> String {
    format!("[{bytes} bytes redacted]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_nothing_else_is() {
        let key = "AGE-SECRET-KEY-1QQPQYP0HUNTER2HUNTER2HUNTER2";
        for (text, shown) in [
            (format!("cannot read {key}: gone"), "cannot read [44 bytes redacted]: gone"),
            (format!("{}/x, {key}", key.to_lowercase()), "[44 bytes redacted]/x, [44 bytes redacted]"),
            (format!("AGE-PLUGIN-YUBIKEY-1{}", "Q".repeat(30)), "[50 bytes redacted]"),
            ("a line `AGE-SECRET-KEY-1...`".to_owned(), "a line `AGE-SECRET-KEY-1...`"),
            (
                "/etc/-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END".to_owned(),
                "/etc/[48 bytes redacted]",
            ),
            ("-----BEGIN CERTIFICATE-----".to_owned(), "-----BEGIN CERTIFICATE-----"),
            (
                "GET http://me:hunter2@host:9000/b?x (http://host/@)".to_owned(),
                "GET http://[10 bytes redacted]@host:9000/b?x (http://host/@)",
            ),
            ("s3://bucket/a@b".to_owned(), "s3://bucket/a@b"),
            ("\u{e9} jean@example.fr ://".to_owned(), "\u{e9} jean@example.fr ://"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }
}
