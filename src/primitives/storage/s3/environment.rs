//! Checks the environment variables of a bucket before the client reads them: some values would panic the
//! client, and it quotes others. Messages name variables, never their values.

use http::Uri;
use object_store::Error;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key};
use std::io;

/// Rejects values that the client cannot handle.
///
/// # Errors
/// Names the variable.
pub(super) fn check(builder: &AmazonS3Builder) -> io::Result<()> {
    for (key, name) in IN_HEADERS {
        if builder
            .get_config_value(&key)
            .is_some_and(|value| !value.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(invalid(format!(
                "{name} holds a character that cannot be in it, such as a line end"
            )));
        }
    }
    for (key, name) in URLS {
        if builder.get_config_value(&key).is_some_and(|value| !value.is_empty() && !is_url(&value)) {
            return Err(invalid(format!("{name} is no URL such as https://s3.example.net")));
        }
    }
    Ok(())
}

/// Returns why no client could be made. The client's own message about a value that it does not understand
/// quotes it.
pub(super) fn refused(error: Error) -> io::Error {
    match error {
        Error::Generic { store: "Config", .. } => {
            invalid("a variable that begins with AWS_ has a value of the wrong form".to_owned())
        }
        error => super::as_io(error),
    }
}

fn is_url(text: &str) -> bool {
    let has_host = |uri: Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    };
    text.parse().is_ok_and(has_host)
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Variables that end up in request headers.
const IN_HEADERS: [(Key, &str); 3] =
    [(Key::AccessKeyId, "AWS_ACCESS_KEY_ID"), (Key::Token, "AWS_SESSION_TOKEN"), (Key::Region, "AWS_REGION")];

const URLS: [(Key, &str); 2] =
    [(Key::Endpoint, "AWS_ENDPOINT_URL"), (Key::S3Endpoint, "AWS_ENDPOINT_URL_S3")];
