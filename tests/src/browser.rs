//! A real Chromium that can reach nothing but this machine, driven by WebDriver (W3C) in plain HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::ports::Port;
use crate::{guard, wait};

/// A page has done what it is asked for well within this, also on a busy machine.
const SOON: Duration = Duration::from_secs(30);

const NEEDED: &str = "the browser tests need the Debian packages chromium and chromium-driver";

/// Without a sandbox, which root cannot have, and without the calls home that Chromium makes by itself. Every name but
/// our own address leads nowhere, so that a page that needs the internet fails.
const ARGUMENTS: [&str; 13] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1280,1000",
    "--force-device-scale-factor=1",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
];

/// One window of a browser with an empty profile.
pub struct Browser {
    driver: Child,
    port: Port,
    /// The path of the session.
    session: String,
    client: awc::Client,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    pub async fn start() -> Self {
        let port = Port::lease();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={}", port.number())).stdin(Stdio::null()).stdout(Stdio::null());
        let driver = command.stderr(Stdio::null()).spawn();
        let driver = driver.unwrap_or_else(|error| panic!("chromedriver: {error}; {NEEDED}"));
        guard::watch(driver.id());
        let profile = tempfile::Builder::new().prefix("posthaste-test-browser-").tempdir().expect("a folder");
        let client = awc::Client::builder().timeout(SOON).finish();
        let mut browser = Self { driver, port, session: String::new(), client, _profile: profile };
        wait::eventually(SOON, "chromedriver is ready", async || {
            browser.call("GET", "/status", None).await.is_ok_and(|status| status["ready"] == true)
        })
        .await;
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([profile.as_str()]).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let session = browser.call("POST", "/session", Some(&wanted)).await;
        let session = session.unwrap_or_else(|error| panic!("Chromium does not start: {error}; {NEEDED}"));
        browser.session = format!("/session/{}", session["sessionId"].as_str().expect("a session"));
        // What Chromium shows in a new window is not what is tested.
        browser.open("about:blank").await;
        browser.complaints().await;
        browser
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.command("POST", "/url", Some(&json!({"url": url}))).await;
    }

    /// Runs the body of a function in the page, and returns what it returns.
    pub async fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", Some(&json!({"script": script, "args": []}))).await
    }

    /// Waits until an expression in the page is true.
    ///
    /// # Panics
    /// It does not become so; shows the text of the page.
    pub async fn until(&self, what: &str, expression: &str) {
        let script = format!("return Boolean({expression});");
        let holds = wait::eventually(2 * SOON, what, async || self.run(&script).await == true);
        if tokio::time::timeout(SOON, holds).await.is_err() {
            let text = self.run("return document.body.innerText;").await;
            panic!("waited in vain: {what}\n{}", text.as_str().unwrap_or_default());
        }
    }

    /// Clicks the first element of a selector, as a person would: it must be visible.
    pub async fn click(&self, selector: &str) {
        let found = json!({"using": "css selector", "value": selector});
        let element = self.command("POST", "/element", Some(&found)).await;
        let element = element.as_object().and_then(|element| element.values().next()).expect("an element");
        let path = format!("/element/{}/click", element.as_str().expect("its id"));
        self.command("POST", &path, Some(&json!({}))).await;
    }

    /// A picture of the window in the folder of built files; returns its path.
    ///
    /// # Panics
    /// It cannot be stored.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let picture = self.command("GET", "/screenshot", None).await;
        let picture = BASE64_STANDARD.decode(picture.as_str().expect("a picture")).expect("base64");
        // target/PROFILE/deps/this-test
        let test = std::env::current_exe().expect("the path of this test");
        let folder = test.ancestors().nth(3).expect("the target folder").join("screenshots");
        std::fs::create_dir_all(&folder).expect("a folder for pictures");
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, picture).expect("a picture");
        path
    }

    /// What went wrong since the last call: errors on the console, and requests that failed, were refused, or were meant for
    /// another machine.
    pub async fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for entry in self.log("browser").await {
            if entry["level"] == "SEVERE" {
                complaints.push(format!("console: {}", entry["message"]));
            }
        }
        for entry in self.log("performance").await {
            let event: Value = serde_json::from_str(entry["message"].as_str().unwrap_or_default()).expect("an event");
            let (method, event) = (event["message"]["method"].clone(), &event["message"]["params"]);
            match method.as_str().unwrap_or_default() {
                "Network.requestWillBeSent" => {
                    let url = event["request"]["url"].as_str().unwrap_or_default();
                    let own = ["http://127.0.0.1:", "data:", "blob:"];
                    if !own.iter().any(|start| url.starts_with(start)) {
                        complaints.push(format!("it asks for {url}"));
                    }
                }
                "Network.responseReceived" if event["response"]["status"].as_u64().unwrap_or(0) >= 400 => {
                    complaints.push(format!("{}: {}", event["response"]["status"], event["response"]["url"]));
                }
                "Network.loadingFailed" if event["canceled"] != true => {
                    complaints.push(format!("{}: {}", event["errorText"], event["blockedReason"]));
                }
                _ => {}
            }
        }
        complaints
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        match self.command("POST", "/se/log", Some(&json!({"type": kind}))).await {
            Value::Array(entries) => entries,
            other => panic!("{other} is no log"),
        }
    }

    async fn command(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let path = format!("{}{path}", self.session);
        self.call(method, &path, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let method = awc::http::Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
        let request = self.client.request(method, format!("http://{}{path}", self.port.address()));
        let sent = match body {
            Some(body) => request.send_json(body).await,
            None => request.send().await,
        };
        let mut response = sent.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = response.body().limit(64 << 20).await.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let value = answer["value"].clone();
        if status.is_success() { Ok(value) } else { Err(value["message"].to_string()) }
    }

    /// Ends the session, so that the driver closes the browser. Blocking, because it is done while unwinding, too.
    fn quit(&self) -> std::io::Result<()> {
        let address = self.port.address();
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "DELETE {} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n", self.session)?;
        stream.read(&mut [0; 1024]).map(|_| ())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.quit();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        guard::release(self.driver.id());
    }
}
