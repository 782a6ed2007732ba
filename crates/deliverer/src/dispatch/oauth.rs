//! Tokens for receivers that want one of an OAuth2 server: fetched by the client credentials grant (RFC 6749 §4.4), used for as long
//! as they are good, and renewed a little earlier.
//!
//! Deliveries that need a token at the same time wait for the same request. One that the receiver refuses with 401 is not used
//! again. The token server is called under the same egress rules as receivers are, and its answer is bounded.

use std::cell::RefCell;
use std::fmt;
use std::time::{Duration, Instant};

use awc::Client;
use awc::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{LocalBoxFuture, Shared};
use futures_util::{FutureExt, StreamExt};
use posthaste_core::credentials::ClientAuthentication;
use posthaste_core::transition::ErrorClass;
use serde::Deserialize;
use url::form_urlencoded;

use super::classify::{Failure, classify};

/// For the whole exchange with the token server.
const TIMEOUT: Duration = Duration::from_secs(10);
/// No token server says more.
const LONGEST_ANSWER: usize = 64 * 1024;
/// Of a token whose life is not told.
const ASSUMED_LIFE: Duration = Duration::from_secs(300);
/// A token is renewed this long before its end, or when four fifths of its life are over, whichever is later.
const EARLY: Duration = Duration::from_secs(60);

/// What a client shows a token server.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) token_url: String,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) scope: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) authentication: ClientAuthentication,
}

/// Where a queue's tokens come from.
pub(super) struct Tokens {
    grant: Grant,
    state: RefCell<State>,
}

type Fetched = Result<Token, Failure>;

enum State {
    Nothing,
    Fetching(Shared<LocalBoxFuture<'static, Fetched>>),
    Good(Token),
}

/// A token as it is sent.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    renew_at: Instant,
}

impl Tokens {
    pub(super) fn new(grant: Grant) -> Tokens {
        Tokens { grant, state: RefCell::new(State::Nothing) }
    }

    /// A token that is good now.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn get(&self, client: impl FnOnce() -> Client) -> Fetched {
        let fetching = {
            let mut state = self.state.borrow_mut();
            match &*state {
                State::Good(token) if Instant::now() < token.renew_at => return Ok(token.clone()),
                State::Fetching(fetching) => fetching.clone(),
                State::Good(_) | State::Nothing => {
                    let fetching = fetch(client(), self.grant.clone()).boxed_local().shared();
                    *state = State::Fetching(fetching.clone());
                    fetching
                }
            }
        };
        let fetched = fetching.await;
        let mut state = self.state.borrow_mut();
        if matches!(&*state, State::Fetching(_)) {
            *state = fetched.clone().map_or(State::Nothing, State::Good);
        }
        fetched
    }

    /// The receiver does not take this token.
    pub(super) fn refused(&self, refused: &Token) {
        let mut state = self.state.borrow_mut();
        if matches!(&*state, State::Good(token) if token.header == refused.header) {
            *state = State::Nothing;
        }
    }
}

/// Nothing of it.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

fn failure(text: impl Into<String>) -> Failure {
    Failure(ErrorClass::Oauth, text.into())
}

async fn fetch(client: Client, grant: Grant) -> Fetched {
    let asked = Instant::now();
    let (status, body) = match tokio::time::timeout(TIMEOUT, ask(client, &grant)).await {
        Ok(answer) => answer?,
        Err(_) => return Err(failure(format!("no answer of the token server within {} s", TIMEOUT.as_secs()))),
    };
    if status != 200 {
        return Err(failure(match serde_json::from_slice::<Refusal>(&body) {
            Ok(Refusal { error }) => format!("the token server answered {status}: {}", error.escape_debug()),
            Err(_) => format!("the token server answered {status}"),
        }));
    }
    let granted: Granted =
        serde_json::from_slice(&body).map_err(|_| failure("the token server's answer has no access_token"))?;
    if !granted.token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(failure("the token server's token is no bearer token"));
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {}", granted.access_token))
        .map_err(|_| failure("the token server's token cannot be sent"))?;
    header.set_sensitive(true);
    let life = granted.expires_in.map_or(ASSUMED_LIFE, Duration::from_secs).min(Duration::from_secs(365 * 86_400));
    let used = life.saturating_sub(EARLY).max(life * 4 / 5);
    Ok(Token { header, renew_at: asked + used })
}

async fn ask(client: Client, grant: &Grant) -> Result<(u16, Vec<u8>), Failure> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    for (name, value) in [("scope", &grant.scope), ("audience", &grant.audience)] {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    let mut request = client
        .post(&grant.token_url)
        .no_decompress()
        .insert_header((ACCEPT, "application/json"))
        .insert_header((CONTENT_TYPE, "application/x-www-form-urlencoded"));
    match grant.authentication {
        ClientAuthentication::Basic => {
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", encoded(&grant.client_id), encoded(&grant.client_secret));
            request = request.insert_header((AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair))));
        }
        ClientAuthentication::Body => {
            form.append_pair("client_id", &grant.client_id);
            form.append_pair("client_secret", &grant.client_secret);
        }
    }
    let sent = request.send_body(form.finish()).await;
    let mut response = sent.map_err(|error| {
        let Failure(class, text) = classify(error);
        match class {
            // Who reads the log must learn that it is about an address, not about a token.
            ErrorClass::BlockedAddress => Failure(class, format!("the token server: {text}")),
            _ => failure(format!("the token server: {text}")),
        }
    })?;
    let mut body = Vec::new();
    while let Some(chunk) = response.next().await {
        let chunk = chunk.map_err(|_| failure("the token server's answer broke off"))?;
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST_ANSWER {
            return Err(failure("the token server's answer is too long"));
        }
    }
    Ok((response.status().as_u16(), body))
}

/// RFC 6749 §5.1.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<u64>,
}

/// RFC 6749 §5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}
