//! What a service tells at `/metrics`.

use std::collections::BTreeMap;

use crate::client::Api;

/// The series of one scrape.
#[derive(Clone, Debug)]
pub struct Scrape(Vec<Series>);

/// One line.
#[derive(Clone, Debug)]
pub struct Series {
    /// With `_bucket`, `_sum` or `_count` at its end where it is of a histogram.
    pub name: String,
    /// All but `le` for buckets.
    pub labels: BTreeMap<String, String>,
    /// What it says now.
    pub value: f64,
}

impl Scrape {
    /// Asks for it.
    ///
    /// # Panics
    /// The answer is none, or not in the text format.
    pub async fn of(service: &Api) -> Self {
        let answer = service.get("/metrics").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let kind = answer.headers.get("content-type").and_then(|kind| kind.to_str().ok());
        assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
        let lines = answer.text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.map(|line| series(line).unwrap_or_else(|| panic!("{line}"))).collect())
    }

    /// All series.
    pub fn series(&self) -> &[Series] {
        &self.0
    }

    /// The sum of all series with this name and these labels; `None` where there is none.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |series: &Series| {
            labels.iter().all(|(label, value)| series.labels.get(*label).is_some_and(|it| it == value))
        };
        let found: Vec<f64> = self.0.iter().filter(|it| it.name == name && has(it)).map(|it| it.value).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// As [`Scrape::get`], 0 where there is none.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.get(name, labels).unwrap_or(0.0)
    }
}

fn series(line: &str) -> Option<Series> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) = head.strip_suffix('}')?.split_once('{')?;
    let mut pairs = BTreeMap::new();
    for pair in labels.split(',') {
        let (label, value) = pair.split_once('=')?;
        pairs.insert(label.to_owned(), value.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    }
    Some(Series { name: name.to_owned(), labels: pairs, value: value.parse().ok()? })
}
