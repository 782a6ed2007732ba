//! Quoting what a user gave back to the user, in an error message.

/// The text with control characters escaped, cut to 40 characters: long input must not make a long answer.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut characters = text.chars();
    let start: String = characters.by_ref().take(LONGEST).collect();
    let dots = if characters.next().is_some() { "…" } else { "" };
    format!("{}{dots}", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn keeps_short_text_and_cuts_long_text() {
        assert_eq!(excerpt("post"), "post");
        assert_eq!(excerpt("a\r\n\"b\""), "a\\r\\n\\\"b\\\"");
        assert_eq!(excerpt(&"ä".repeat(40)), "ä".repeat(40));
        assert_eq!(excerpt(&"ä".repeat(41)), format!("{}…", "ä".repeat(40)));
    }
}
