//! The pages as a person sees them: in a real Chromium that cannot reach the internet.
//!
//! Run by `cargo test -p posthaste-tests --features browser --test pages`; needs the Debian packages chromium and
//! chromium-driver. Pictures of what was seen are in the folder of built files, under `screenshots`.

use std::time::Duration;

use posthaste_tests::browser::Browser;
use posthaste_tests::database::Database;
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::wait;
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

struct Setup {
    browser: Browser,
    process: Process,
    _database: Database,
}

impl Setup {
    /// An API with one queue, and a browser.
    async fn new() -> Self {
        let database = Database::new().await;
        let process = Launch::api(&database).start().await;
        let queue = json!({"name": "orders", "callbackUrl": "https://shop.example/orders", "method": "POST"});
        process.api().create_queue(&queue).await;
        Self { browser: Browser::start().await, process, _database: database }
    }

    async fn open(&self, path: &str) -> &Browser {
        self.browser.open(&format!("http://{}{path}", self.process.address())).await;
        &self.browser
    }

    async fn assert_content(&self) {
        assert_eq!(self.browser.complaints().await, Vec::<String>::new());
    }
}

#[actix_rt::test]
async fn the_index_leads_to_both_pages() {
    let setup = Setup::new().await;
    let browser = setup.open("/").await;
    browser.screenshot("index").await;
    for (link, title) in [("/documentation/", "REST · Posthaste"), ("/graphiql", "GraphQL · Posthaste")] {
        setup.open("/").await;
        browser.click(&format!("nav a[href='{link}']")).await;
        browser.until("the page has opened", &format!("document.title === '{title}'")).await;
    }
}

#[actix_rt::test]
async fn the_documentation_is_shown_and_tried_out() {
    let setup = Setup::new().await;
    let browser = setup.open("/documentation/").await;
    browser.until("the document is shown", "document.querySelector('.swagger-ui .info .title')").await;
    browser.until("its routes are shown", "document.querySelectorAll('.opblock').length > 0").await;
    browser.screenshot("documentation").await;

    const LIST: &str = "[id$='listQueues']";
    browser.click(&format!("{LIST} .opblock-summary-control")).await;
    browser.until("the route is open", &format!("document.querySelector(\"{LIST} .execute\")")).await;
    browser.click(&format!("{LIST} .execute")).await;
    let answer = format!("document.querySelector(\"{LIST} .live-responses-table .response\")");
    browser.until("it is answered", &format!("{answer}?.innerText.includes('https://shop.example/orders')")).await;
    browser.until("with 200", &format!("{answer}.innerText.trim().startsWith('200')")).await;
    browser.run(&format!("{answer}.scrollIntoView();")).await;
    browser.screenshot("documentation-tried-out").await;
    setup.assert_content().await;
}

const RESULT: &str = "document.querySelector('.result-window .CodeMirror')?.CodeMirror.getValue()";

impl Setup {
    /// GraphiQL with this typed into its editor, and run.
    async fn graphiql(&self, query: &str) -> &Browser {
        const EDITOR: &str = "document.querySelector('.graphiql-query-editor .CodeMirror')";
        let browser = self.open("/graphiql").await;
        browser.until("the editor is shown", &format!("{EDITOR}?.CodeMirror")).await;
        let query = json!(query);
        browser.run(&format!("{EDITOR}.CodeMirror.setValue({query});")).await;
        // GraphiQL looks a moment later at what was typed; until then it runs the operation that was there before.
        let seen = format!("{EDITOR}.CodeMirror.documentAST?.loc.source.body === {query}");
        browser.until("the query is looked at", &seen).await;
        browser.click(".graphiql-execute-button").await;
        browser
    }
}

#[actix_rt::test]
async fn graphiql_runs_a_query() {
    let setup = Setup::new().await;
    let browser = setup.graphiql("{ queues { id name callbackUrl } }").await;
    browser.until("it is answered", &format!("{RESULT}?.includes('https://shop.example/orders')")).await;
    browser.screenshot("graphiql").await;
    setup.assert_content().await;
}

#[actix_rt::test]
async fn graphiql_shows_what_a_subscription_sees() {
    let setup = Setup::new().await;
    let browser = setup.graphiql("subscription { queueSaved { id name } }").await;
    // Nothing tells when the subscription has begun, so queues are made until one is seen.
    let queue = json!({"name": "seen", "callbackUrl": "https://shop.example/seen", "method": "POST"});
    wait::eventually(SOON, "a new queue is seen", async || {
        setup.process.api().create_queue(&queue).await;
        browser.run(&format!("return Boolean({RESULT}?.includes('seen'));")).await == true
    })
    .await;
    browser.screenshot("graphiql-subscription").await;
    setup.assert_content().await;
}
