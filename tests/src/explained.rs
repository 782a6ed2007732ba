//! Plans, as they were executed and logged by a server with `auto_explain` and `log_line_prefix = '%a|'`.

use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use serde_json::Value;

use crate::postgres::Server;
use crate::wait;

/// Within this a plan is logged. More than it takes, for busy machines.
const SOON: Duration = Duration::from_secs(30);

/// Reads the plans of one application from where it left off.
pub struct Log {
    server: &'static Server,
    application: String,
    offset: u64,
}

/// An executed statement.
#[derive(Debug)]
pub struct Explained {
    pub text: String,
    pub scans: Vec<Scan>,
    /// The pages that it looked at, if the server counts them.
    pub pages: f64,
}

/// A node that reads a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    pub kind: String,
    pub table: String,
    pub index: Option<String>,
    /// How often it was started; 0 for what the executor left out.
    pub loops: f64,
    /// The rows that it met: those that it gave on and those that it met in vain.
    pub rows: f64,
}

impl Log {
    /// Of the sessions with this `application_name`.
    pub fn of(server: &'static Server, application: &str) -> Self {
        Self { server, application: application.to_owned(), offset: 0 }
    }

    /// What was executed since the last call; waits until `enough` is among it.
    ///
    /// # Panics
    /// It is not logged in time.
    pub async fn next(&mut self, what: &str, mut enough: impl FnMut(&Explained) -> bool) -> Vec<Explained> {
        let mut all = Vec::new();
        wait::eventually(SOON, &format!("the plan of {what} is logged"), async || {
            all.extend(self.read());
            all.iter().any(&mut enough)
        })
        .await;
        all
    }

    /// What was executed since the last call, as far as it is written.
    fn read(&mut self) -> Vec<Explained> {
        let mut file = std::fs::File::open(self.server.folder().join("postgres.log")).expect("the server's log");
        file.seek(SeekFrom::Start(self.offset)).expect("the server's log");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("the server's log");
        let head = format!("{}|LOG:  duration: ", self.application);
        let mut found = Vec::new();
        let mut rest = text.as_str();
        // An entry ends where a line begins with something else than a tab; the last one may not be whole yet.
        while let Some(end) = end_of_entry(rest) {
            let entry = &rest[..end];
            rest = &rest[end..];
            if entry.starts_with(&head)
                && let Some((_, plan)) = entry.split_once("plan:\n")
            {
                found.push(explained(plan));
            }
            self.offset += u64::try_from(end).expect("a length");
        }
        found
    }
}

fn end_of_entry(text: &str) -> Option<usize> {
    let mut lines = text.split_inclusive('\n');
    let mut end = lines.next().filter(|line| line.ends_with('\n'))?.len();
    for line in lines {
        if !line.starts_with('\t') {
            return Some(end);
        }
        end += line.len();
    }
    // A plan ends with a brace alone; nothing else is so long that it could be half written.
    (!text.contains("plan:\n") || text.ends_with("\n\t}\n")).then_some(end)
}

fn explained(plan: &str) -> Explained {
    let plan: Value = serde_json::from_str(plan).unwrap_or_else(|error| panic!("{error} in {plan}"));
    let mut scans = Vec::new();
    collect(&plan["Plan"], &mut scans);
    let number = |name: &str| plan["Plan"][name].as_f64().unwrap_or_default();
    let pages = number("Shared Hit Blocks") + number("Shared Read Blocks");
    Explained { text: plan["Query Text"].as_str().unwrap_or_default().to_owned(), scans, pages }
}

fn collect(node: &Value, scans: &mut Vec<Scan>) {
    let text = |name: &str| node[name].as_str().map(str::to_owned);
    let number = |name: &str| node[name].as_f64().unwrap_or_default();
    let kind = text("Node Type").unwrap_or_default();
    if let Some(table) = text("Relation Name").filter(|_| kind.ends_with("Scan")) {
        let met = number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
        scans.push(Scan {
            kind,
            table,
            index: text("Index Name"),
            loops: number("Actual Loops"),
            rows: met * number("Actual Loops"),
        });
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        collect(child, scans);
    }
}

impl Explained {
    /// Asserts that every table that grows was read by an index.
    ///
    /// # Panics
    /// One was.
    pub fn assert_by_index(&self) {
        for scan in &self.scans {
            let grows = ["pending", "messages", "attempts"].iter().any(|table| scan.table.starts_with(table));
            let by_index = matches!(scan.kind.as_str(), "Index Scan" | "Index Only Scan");
            assert!(by_index || !grows, "{scan:?} in {}", self.text);
        }
    }

    /// Asserts that no table that grows was read without an index.
    ///
    /// # Panics
    /// One was.
    pub fn assert_no_table_is_read_whole(&self, question: &str) {
        for scan in &self.scans {
            let grows = ["pending", "messages", "attempts"].iter().any(|table| scan.table.starts_with(table));
            assert!(!grows || scan.loops == 0.0 || scan.kind != "Seq Scan", "{question}: {scan:?} in {}", self.text);
        }
    }

    /// The rows that were met in a table or its partitions, the times that it was looked into, and by which indexes.
    pub fn of(&self, table: &str) -> (f64, f64, Vec<String>) {
        let scans: Vec<_> = self.scans.iter().filter(|scan| scan.table.starts_with(table)).collect();
        let mut indexes: Vec<_> = scans.iter().filter_map(|scan| scan.index.clone()).collect();
        indexes.sort();
        indexes.dedup();
        (scans.iter().map(|scan| scan.rows).sum(), scans.iter().map(|scan| scan.loops).sum(), indexes)
    }
}
