use super::*;

/// The lines that come of these chunks; `None` for one of more than 5 bytes.
fn lines(chunks: &[&str]) -> Vec<Option<String>> {
    let (mut line, mut lines) = (Line::default(), Vec::new());
    let mut add = |complete: Option<&[u8]>| {
        lines.push(complete.map(|line| String::from_utf8(line.to_vec()).unwrap()));
        Ok(())
    };
    for chunk in chunks {
        line.take(chunk.as_bytes(), 5, &mut add).unwrap();
    }
    line.end(&mut add).unwrap();
    lines
}

fn some(lines: &[&str]) -> Vec<Option<String>> {
    lines.iter().map(|line| (*line != "…").then(|| (*line).to_owned())).collect()
}

#[test]
fn lines_are_the_same_however_they_come() {
    let text = "ab\n\ncdefg\nhijklm\nno";
    let expected = some(&["ab", "", "cdefg", "…", "no"]);
    assert_eq!(lines(&[text]), expected);
    let bytes: Vec<String> = text.chars().map(String::from).collect();
    assert_eq!(lines(&bytes.iter().map(String::as_str).collect::<Vec<_>>()), expected);
    for at in 0..text.len() {
        let (first, second) = text.split_at(at);
        assert_eq!(lines(&[first, second]), expected, "{at}");
    }
}

#[test]
fn what_is_too_long_is_told_once() {
    assert_eq!(lines(&["abcdef", "ghijkl", "mnopqr\nst\n"]), some(&["…", "st"]));
    assert_eq!(lines(&["abcdef"]), some(&["…"]));
    assert_eq!(lines(&["abcdef\nabcdef\n"]), some(&["…", "…"]));
    assert_eq!(lines(&["abcde", "\n"]), some(&["abcde"]));
    assert_eq!(lines(&[]), some(&[]));
}
