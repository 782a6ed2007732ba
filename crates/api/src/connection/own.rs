//! What the HTTP server answers by itself, before any of our code sees a request: 400 for what is no HTTP, 408 for a head
//! that does not come, 431 for one that is too large, all without a body. They are given the JSON of every other error.

use std::str;

use crate::error::{ApiError, Limited};
use crate::json::CONTENT_TYPE;

const START: &[u8] = b"HTTP/1.1 ";
const END: &[u8] = b"\r\n\r\n";
const NO_BODY: &str = "content-length: 0\r\n";
/// No such answer is longer.
const LONGEST: usize = 300;

/// What to write instead of `written`, if that ends with such an answer; it is then the last of its connection.
///
/// Ours never look like one: each has a body in JSON, which has no line breaks.
pub fn with_json(written: &[u8]) -> Option<Vec<u8>> {
    if !written.ends_with(END) {
        return None;
    }
    let tail = written.len().saturating_sub(LONGEST);
    let start = tail + written.get(tail..)?.windows(START.len()).rposition(|window| window == START)?;
    let (before, head) = (written.get(..start)?, str::from_utf8(written.get(start..)?).ok()?);
    let error = match head.get(START.len()..START.len() + 3)? {
        "400" => ApiError::Malformed,
        "408" => ApiError::RequestTimeout,
        "431" => ApiError::Limit {
            of: Limited::Head,
            problem: "the request may have at most 96 headers and 128 KiB before its body".to_owned(),
        },
        _ => return None,
    };
    let (status, headers) = head.split_once(NO_BODY)?;
    let headers = headers.replace("connection: close\r\n", "");
    let (json, kind) = (error.json(), CONTENT_TYPE.to_str().ok()?.to_owned());
    let length = json.len();
    let head = format!("{status}content-length: {length}\r\ncontent-type: {kind}\r\nconnection: close\r\n{headers}");
    Some([before, head.as_bytes(), &json].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodiless_answers_of_the_server_get_one() {
        let ours = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        for (status, code) in [
            ("400 Bad Request", "PH_MALFORMED_REQUEST"),
            ("408 Request Timeout", "PH_REQUEST_TIMEOUT"),
            ("431 Request Header Fields Too Large", "PH_LIMIT_EXCEEDED"),
        ] {
            for before in ["", ours] {
                for connection in ["", "connection: close\r\n"] {
                    let rest = "date: Mon, 23 Nov 2026 13:15:54 GMT\r\n\r\n";
                    let written = format!("{before}HTTP/1.1 {status}\r\ncontent-length: 0\r\n{connection}{rest}");
                    let answer = String::from_utf8(with_json(written.as_bytes()).unwrap()).unwrap();
                    let answer = answer.strip_prefix(before).unwrap();
                    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
                    assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
                    assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
                    assert_eq!(head.matches("connection: close").count(), 1, "{head}");
                    assert!(body.contains(code), "{body}");
                }
            }
        }
    }

    #[test]
    fn other_answers_stay() {
        for written in [
            "",
            "\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 17\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 4",
        ] {
            assert_eq!(with_json(written.as_bytes()), None, "{written}");
        }
        assert_eq!(with_json(&[0xff; 1000]), None);
    }
}
