//! What a benchmark message says: its number and when it was sent, padded to a fixed size.
//!
//! Numbers rise from 0 within a run, so a receiver needs one bit per message to find losses and duplicates. Times are the
//! machine's monotonic clock, which all its processes share: sender and receiver must be on one machine.

use rustix::time::{ClockId, clock_gettime};

/// The smallest size, in bytes, that holds any number and time.
pub const SMALLEST: usize = 64;

/// Nanoseconds on the clock that all processes of this machine share.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The body of message `number`, sent at `sent` (see [`now`]), padded to `size` bytes.
pub fn encode(number: u64, sent: u64, size: usize) -> String {
    let mut body = format!(r#"{{"n":{number},"t":{sent},"p":""#);
    let padding = size.saturating_sub(body.len() + 2);
    body.extend(std::iter::repeat_n('x', padding));
    body.push_str("\"}");
    body
}

/// The same body as an SQL expression, for messages that are stored by the thousand: the arguments are SQL for the number,
/// the time and the size.
pub fn encode_in_sql(number: &str, sent: &str, size: &str) -> String {
    format!(r#"rpad(format('{{"n":%s,"t":%s,"p":"', {number}, {sent}), {size} - 2, 'x') || '"}}'"#)
}

/// Number and send time of a body made by [`encode`]; `None` for any other.
pub fn decode(body: &[u8]) -> Option<(u64, u64)> {
    let (number, rest) = digits(body.strip_prefix(br#"{"n":"#)?)?;
    let (sent, _) = digits(rest.strip_prefix(br#","t":"#)?)?;
    Some((number, sent))
}

fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_its_number_and_time_in_the_size_asked_for() {
        for number in [0, 7, 123_456, u64::from(u32::MAX)] {
            let body = encode(number, u64::MAX, 200);
            assert_eq!(body.len(), 200);
            assert_eq!(decode(body.as_bytes()), Some((number, u64::MAX)));
            serde_json::from_str::<serde_json::Value>(&body).unwrap();
        }
        assert!(encode(u64::MAX, u64::MAX, 0).len() <= SMALLEST);
    }

    #[test]
    fn any_other_body_is_not_taken_for_one() {
        for body in ["", "{}", r#"{"n":,"t":1}"#, r#"{"n":1}"#, r#"{"n":99999999999999999999,"t":1}"#, "n1"] {
            assert_eq!(decode(body.as_bytes()), None, "{body}");
        }
    }
}
