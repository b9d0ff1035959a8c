//! Error messages of a store, without what must not be repeated.

/// Returns a message of the client without the body of the store's answer: if a store rejects a signature, it
/// answers with everything that was signed, including the session token.
pub(super) fn without_body(message: &str) -> String {
    // `403 Forbidden: <?xml ...`, or the body alone.
    let (before, answer, status) = match (message.split_once(STATUS), message.split_once(BODY)) {
        (Some((before, answer)), _) => (before, answer, answer.split(':').next()),
        (None, Some((before, answer))) => (before, answer, None),
        (None, None) => return message.to_owned(),
    };
    let code = answer.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let code = code.map(|(code, _)| code).filter(|code| is_code(code));
    let answer = [status, code].into_iter().flatten().collect::<Vec<_>>().join(", ");
    format!("{before}the store answers {}", if answer.is_empty() { "with an error" } else { &answer })
}

/// Returns whether the text is a word like `SignatureDoesNotMatch` (Amazon S3 API reference, "Error
/// responses").
fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// How `object_store` introduces a quoted answer, with its status and without.
const STATUS: &str = "Server returned non-2xx status code: ";
const BODY: &str = "Server returned error response: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_left_out() {
        let before = "Generic S3 error: Error performing GET http://host/b in 2ms - ";
        for (answer, shown) in [
            (
                "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?><Error>\
                 <Code>SignatureDoesNotMatch</Code><CanonicalRequest>x-amz-security-token:hunter2",
                "the store answers 403 Forbidden, SignatureDoesNotMatch",
            ),
            (
                "Server returned non-2xx status code: 502 Bad Gateway: hunter2",
                "the store answers 502 Bad Gateway",
            ),
            (
                "Server returned error response: <Error><Code>hunter2</Code>",
                "the store answers with an error",
            ),
            ("Server returned error response: hunter2", "the store answers with an error"),
            ("connection refused", "connection refused"),
        ] {
            assert_eq!(without_body(&format!("{before}{answer}")), format!("{before}{shown}"));
        }
    }
}
