use proptest::prelude::*;

use super::*;

#[test]
fn callable_urls_are_kept_as_they_are() {
    let longest = format!("http://example.com/{}", "x".repeat(CallbackUrl::LONGEST - 19));
    for text in [
        "http://example.com",
        "https://example.com/",
        "HTTPS://Example.COM/Hook",
        "http://localhost:3000/hook?a=1&b=%20",
        "http://127.0.0.1:65535/",
        "http://127.0.0.1:1",
        "https://example.com:443/default-port",
        "http://[::1]:8080/hook",
        "http://[2001:DB8:0:0:0:0:0:1]/",
        "http://example.com.",
        "http://under_score.example/",
        "http://xn--mnchen-3ya.example/",
        "http://host?query=only",
        "http://example.com/a;b=c,d/(e)/~f/%7Bg%7D/{h}/\"i\"|j",
        "http://example.com/?a[]={b}|c^d",
        "http://example.com/@not-user-info:in-path",
        longest.as_str(),
    ] {
        let url = CallbackUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(url.as_str(), text);
        assert!(url.uri().host().is_some() && url.uri().scheme().is_some(), "{text}");
    }
}

#[test]
fn other_urls_are_refused_for_what_is_wrong_with_them() {
    let too_long = format!("http://example.com/{}", "x".repeat(CallbackUrl::LONGEST - 18));
    let character = |character| UrlError::Character { character };
    let scheme = |given: &str| UrlError::Scheme { given: given.to_owned() };
    for (text, error) in [
        ("", UrlError::Empty),
        (&too_long, UrlError::TooLong { length: 2049 }),
        (" http://example.com", character(' ')),
        ("http://example.com/a b", character(' ')),
        ("http://example.com/\n", character('\n')),
        ("http://exa\tmple.com/", character('\t')),
        ("http://example.com/\0", character('\0')),
        ("http://example.com/\u{7f}", character('\u{7f}')),
        ("http://münchen.example/", character('ü')),
        ("http://example.com/ü", character('ü')),
        ("http://example.com\\@127.0.0.1/", character('\\')),
        ("http://example.com/#top", UrlError::Fragment),
        ("http://example.com#", UrlError::Fragment),
        ("/hook", UrlError::NotAbsolute),
        ("example.com/hook", UrlError::NotAbsolute),
        ("//example.com/hook", UrlError::NotAbsolute),
        ("hook", UrlError::NotAbsolute),
        ("http:example.com", UrlError::NotAbsolute),
        ("http:/example.com", UrlError::NotAbsolute),
        ("localhost:3000/hook", scheme("localhost")),
        ("ftp://example.com/", scheme("ftp")),
        ("file:///etc/passwd", scheme("file")),
        ("javascript:alert(1)", scheme("javascript")),
        ("wss://example.com/", scheme("wss")),
        ("http://user:secret@example.com/", UrlError::UserInfo),
        ("http://user@example.com/", UrlError::UserInfo),
        ("http://:secret@example.com/", UrlError::UserInfo),
        ("http://@example.com/", UrlError::UserInfo),
        ("http://example.com@127.0.0.1/", UrlError::UserInfo),
        ("http://", UrlError::Host),
        ("http:///hook", UrlError::Host),
        ("http:///example.com/hook", UrlError::Host),
        ("http://?a=b", UrlError::Host),
        ("http://:80/", UrlError::Host),
        ("http://[::1/", UrlError::Host),
        ("http://[::g]/", UrlError::Host),
        ("http://256.1.1.1/", UrlError::Host),
        ("http://exa<mple.com/", UrlError::Host),
        ("http://2130706433/", UrlError::Host),
        ("http://0x7f.0.0.1/", UrlError::Host),
        ("http://0177.0.0.1/", UrlError::Host),
        ("http://127.1/", UrlError::Host),
        ("http://example.com:/", UrlError::Port),
        ("http://example.com:0/", UrlError::Port),
        ("http://example.com:65536/", UrlError::Port),
        ("http://example.com:http/", UrlError::Port),
        ("http://example.com:-1/", UrlError::Port),
        ("http://exa%6dple.com/", UrlError::NotEncoded),
        ("http://example.com/<a>", UrlError::NotEncoded),
        ("http://example.com/`a`", UrlError::NotEncoded),
        ("http://example.com/?\"a\"", UrlError::NotEncoded),
    ] {
        assert_eq!(CallbackUrl::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn errors_are_for_people_and_keep_secrets() {
    for secret in ["http://user:hunter2@example.com/", "hunter2", "http://example.com/hunter2 ", "hunter2 ://x"] {
        let error = CallbackUrl::parse(secret).unwrap_err().to_string();
        assert!(error.contains("the callback URL") && !error.contains("hunter2"), "{error}");
    }
    assert_eq!(
        CallbackUrl::parse("ftp://example.com").unwrap_err().to_string(),
        "the callback URL must begin with http:// or https://, not \"ftp:\""
    );
    assert_eq!(
        CallbackUrl::parse("http://a b").unwrap_err().to_string(),
        "the callback URL must not contain the character ' ': percent-encode it, or write an international host name in \
         its ASCII form (xn--…)"
    );
}

proptest! {
    #[test]
    fn is_total(text: String) {
        let _ = CallbackUrl::parse(&text);
    }

    /// Whatever is accepted is called where it says.
    #[test]
    fn accepted_urls_mean_the_same_to_both_parsers(rest in "[a-zA-Z0-9.:@/?%\\[\\]_~-]{1,40}") {
        let text = format!("http://{rest}");
        if let Ok(url) = CallbackUrl::parse(&text) {
            let meant = Url::parse(&text).unwrap();
            prop_assert!(is_same_host(&meant.host().unwrap(), url.uri().host().unwrap()));
            prop_assert_eq!(meant.port(), url.uri().port_u16().filter(|&port| port != 80));
            prop_assert_eq!(meant.username(), "");
        }
    }
}
