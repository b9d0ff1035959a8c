//! Lists and removes old versions of objects and delete markers, for which `object_store` has no call.
//!
//! Source: Amazon S3 API Reference, ListObjectVersions and DeleteObject. A bucket without versioning has one
//! version of each object, called `null`.

use super::s3::as_io;
use http::{Method, StatusCode};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpConnector as _, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::{ClientConfigKey, ClientOptions};
use serde::Deserialize;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

/// Access to the versions in a bucket.
pub(super) struct Versions {
    client: HttpClient,
    /// The URL of the bucket.
    url: String,
    region: String,
    credentials: AwsCredentialProvider,
}

/// A version of an object, or a delete marker.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Version {
    pub(super) key: String,
    #[serde(rename = "VersionId")]
    pub(super) id: String,
    /// Length in bytes; a delete marker has none.
    #[serde(default)]
    pub(super) size: u64,
}

/// The result of a listing.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) objects: Vec<Version>,
    pub(super) deletions: Vec<Version>,
    /// Common prefixes of keys, up to and including the delimiter.
    pub(super) directories: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_version_id_marker: Option<String>,
    #[serde(default, rename = "Version")]
    objects: Vec<Version>,
    #[serde(default, rename = "DeleteMarker")]
    deletions: Vec<Version>,
    #[serde(default)]
    common_prefixes: Vec<Prefix>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Prefix {
    prefix: String,
}

impl Versions {
    pub(super) fn of_bucket(
        builder: &AmazonS3Builder,
        bucket: &str,
        credentials: &AwsCredentialProvider,
    ) -> io::Result<Self> {
        let value = |key| builder.get_config_value(&key).filter(|value| !value.is_empty());
        let region = value(AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint));
        let virtual_host = value(AmazonS3ConfigKey::VirtualHostedStyleRequest).as_deref() == Some("true");
        let url = match endpoint {
            Some(endpoint) if virtual_host => endpoint,
            Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
            None => format!("https://s3.{region}.amazonaws.com/{bucket}"),
        };
        let allow_http =
            value(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp)).as_deref() == Some("true");
        let options = ClientOptions::default().with_allow_http(allow_http);
        let client = ReqwestConnector::default().connect(&options).map_err(as_io)?;
        Ok(Self { client, url, region, credentials: credentials.clone() })
    }

    /// Lists all versions of keys that begin with `prefix`, those of each key from newest to oldest. If there
    /// is a `delimiter`, keys that contain it after the prefix are grouped by common prefix.
    pub(super) async fn of(&self, prefix: &str, delimiter: &str) -> io::Result<Found> {
        let mut found = Found::default();
        let mut markers = String::new();
        loop {
            let (prefix, delimiter) = (encoded(prefix, ""), encoded(delimiter, ""));
            let query = format!("?delimiter={delimiter}{markers}&prefix={prefix}&versions=");
            let body = self.request(Method::GET, &query).await?;
            let text = str::from_utf8(&body).map_err(io::Error::other)?;
            let answer: Answer = quick_xml::de::from_str(text).map_err(io::Error::other)?;
            found.objects.extend(answer.objects);
            found.deletions.extend(answer.deletions);
            found.directories.extend(answer.common_prefixes.into_iter().map(|common| common.prefix));
            let Some(key) = answer.next_key_marker.filter(|_| answer.is_truncated) else { return Ok(found) };
            markers = format!("&key-marker={}", encoded(&key, ""));
            if let Some(id) = answer.next_version_id_marker {
                // Writing to a string cannot fail.
                let _ = write!(markers, "&version-id-marker={}", encoded(&id, ""));
            }
        }
    }

    /// Removes a version permanently.
    pub(super) async fn remove(&self, version: &Version) -> io::Result<()> {
        let (key, id) = (encoded(&version.key, "/"), encoded(&version.id, ""));
        self.request(Method::DELETE, &format!("/{key}?versionId={id}")).await.map(drop)
    }

    /// Sends a request, and retries as `object_store` does if the store is unavailable or overloaded. All
    /// requests here are safe to repeat.
    async fn request(&self, method: Method, rest: &str) -> io::Result<Vec<u8>> {
        let mut wait = FIRST_WAIT;
        loop {
            match self.request_once(method.clone(), rest).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted && wait <= LONGEST_WAIT => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                answered => return answered,
            }
        }
    }

    async fn request_once(&self, method: Method, rest: &str) -> io::Result<Vec<u8>> {
        let credential = self.credentials.get_credential().await.map_err(as_io)?;
        let request = http::Request::builder().method(method).uri(format!("{}{rest}", self.url));
        let mut request: HttpRequest = request.body(HttpRequestBody::empty()).map_err(io::Error::other)?;
        let authorizer = AwsAuthorizer::new(&credential, "s3", &self.region);
        authorizer.try_authorize(&mut request, None).map_err(as_io)?;
        let answer = self.client.execute(request).await.map_err(lost)?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(lost)?;
        if status.is_success() {
            return Ok(body.to_vec());
        }
        let kind = match status {
            StatusCode::NOT_FOUND => io::ErrorKind::NotFound,
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => io::ErrorKind::PermissionDenied,
            StatusCode::TOO_MANY_REQUESTS => io::ErrorKind::ConnectionAborted,
            status if status.is_server_error() => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::ConnectionRefused,
        };
        Err(io::Error::new(kind, format!("the store answers {status}")))
    }
}

const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Longest pause between two tries; that makes eight tries within 25 seconds.
const LONGEST_WAIT: Duration = Duration::from_millis(12_800);

fn lost(error: object_store::client::HttpError) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, error)
}

/// Percent-encodes as signatures require: all but the unreserved characters (RFC 3986, 2.3) and those in
/// `but`.
fn encoded(text: &str, but: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || but.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_both_kinds_in_any_order() {
        let answer: Answer = quick_xml::de::from_str(
            "<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>\
             <Version><Key>a&amp;b</Key><VersionId>1</VersionId><Size>7</Size></Version>\
             <DeleteMarker><Key>c</Key><VersionId>2</VersionId></DeleteMarker>\
             <Version><Key>d</Key><VersionId>null</VersionId><Size>0</Size></Version>\
             <CommonPrefixes><Prefix>e/</Prefix></CommonPrefixes></ListVersionsResult>",
        )
        .unwrap();
        let keys: Vec<_> =
            answer.objects.iter().map(|version| (version.key.as_str(), version.size)).collect();
        assert_eq!(keys, [("a&b", 7), ("d", 0)]);
        assert_eq!((answer.deletions[0].id.as_str(), answer.is_truncated), ("2", true));
        assert_eq!(answer.common_prefixes[0].prefix, "e/");
    }

    #[test]
    fn names_are_encoded_as_they_are_signed() {
        assert_eq!(encoded("expires=2027-11-24/a b", "/"), "expires%3D2027-11-24/a%20b");
        assert_eq!(encoded("a/\u{e9}", ""), "a%2F%C3%A9");
    }
}
