//! Reads a file of settings for librdkafka in the form of librdkafka's own tools.

use super::files;
use crate::jobs::collect::KAFKA;
use crate::primitives::diag::Diagnostic;
use std::collections::BTreeMap;
use std::path::Path;

/// Parses one `key=value` per line of a file, or of a credential (`credential:NAME`); skips empty lines and
/// those that begin with `#`.
///
/// # Errors
/// If the file cannot be read, or if a line has another form.
pub(crate) fn settings(path: &Path) -> Result<BTreeMap<String, String>, Diagnostic> {
    let credential = files::credential(path);
    let path = credential.as_deref().unwrap_or(path);
    let text = files::read_text(path, "the settings of Kafka")?;
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let setting = |(index, line): (usize, &str)| {
        let (key, value) = line.split_once('=').ok_or_else(|| {
            // The line is not quoted, because it may hold a password.
            Diagnostic::new(&KAFKA, "a setting of Kafka is not understood")
                .at(format!("{}, line {}", path.display(), index + 1))
                .because("it is not of the form key=value")
                .hint("CONFIGURATION.md of librdkafka lists the keys")
        })?;
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    };
    lines.map(setting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "# TLS\n\nsecurity.protocol=ssl\n sasl.password = a=b \n").unwrap();
        let read = settings(file.path()).map_err(|diagnostic| diagnostic.code.id).unwrap();
        let expected = [("sasl.password", "a=b"), ("security.protocol", "ssl")];
        assert_eq!(read, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        std::fs::write(&file, "hunter2\n").unwrap();
        let refused = settings(file.path()).unwrap_err();
        assert_eq!((refused.code.id, refused.to_string().contains("hunter2")), ("F05", false));
        // Nothing has loaded a credential of that name for this process.
        let missing = settings(Path::new("credential:oubliette-none.conf")).unwrap_err().to_string();
        assert!(missing.contains("oubliette-none.conf") && !missing.contains("credential:"), "{missing}");
    }
}
