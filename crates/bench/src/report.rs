//! What a run found, as a table for people and as JSON.

use std::io::Write;

use serde::Serialize;

use crate::server::Description;

/// All of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub postgres: Description,
    pub scenarios: Vec<Scenario>,
}

/// Where it ran.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub processor: String,
    pub memory_gib: f64,
    pub kernel: String,
    /// Figures of a debug build mean nothing.
    pub release_build: bool,
}

/// What one scenario found.
#[derive(Debug, Serialize)]
pub struct Scenario {
    pub name: String,
    /// In words: sizes, rates, numbers of processes.
    pub setting: String,
    pub figures: Vec<Figure>,
    /// Breaches of a promise: messages lost or doubled, errors. Any of them fails the run.
    pub faults: Vec<String>,
    /// Bounds on figures; they fail the run only where that was asked for.
    pub checks: Vec<Check>,
}

/// One measured value.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    /// The median over the rounds.
    pub value: f64,
    pub rounds: Vec<f64>,
}

/// A bound on a figure.
#[derive(Debug, Serialize)]
pub struct Check {
    pub figure: String,
    pub value: f64,
    pub bound: String,
    pub holds: bool,
}

impl Machine {
    pub fn this() -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim_start_matches([' ', '\t', ':']).to_owned()
        };
        let kibibytes = field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0.0);
        Machine {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: field(&read("/proc/cpuinfo"), "model name"),
            memory_gib: kibibytes / 1024.0 / 1024.0,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            release_build: !cfg!(debug_assertions),
        }
    }
}

impl Scenario {
    pub fn new(name: impl Into<String>, setting: impl Into<String>) -> Scenario {
        Scenario {
            name: name.into(),
            setting: setting.into(),
            figures: Vec::new(),
            faults: Vec::new(),
            checks: Vec::new(),
        }
    }

    pub fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        self.figures.push(Figure { name: name.to_owned(), unit, value, rounds: vec![value] });
    }

    /// Adds what could be measured.
    pub fn add_if(&mut self, name: &str, unit: &'static str, value: Option<f64>) {
        if let Some(value) = value {
            self.add(name, unit, value);
        }
    }

    /// Takes in another round of the same scenario: its figures become medians, its faults are kept.
    pub fn merge(&mut self, round: Scenario) {
        for figure in round.figures {
            match self.figures.iter_mut().find(|known| known.name == figure.name) {
                Some(known) => {
                    known.rounds.extend(figure.rounds);
                    known.value = median(&known.rounds);
                }
                None => self.figures.push(figure),
            }
        }
        self.faults.extend(round.faults);
    }

    /// Checks a figure, where it was measured.
    pub fn at_least(&mut self, name: &str, bound: f64) {
        self.check(name, format!("at least {bound}"), |value| value >= bound);
    }

    /// Checks a figure, where it was measured.
    pub fn at_most(&mut self, name: &str, bound: f64) {
        self.check(name, format!("at most {bound}"), |value| value <= bound);
    }

    fn check(&mut self, name: &str, bound: String, holds: impl Fn(f64) -> bool) {
        if let Some(figure) = self.figures.iter().find(|figure| figure.name == name) {
            let (value, holds) = (figure.value, holds(figure.value));
            self.checks.push(Check { figure: name.to_owned(), value, bound, holds });
        }
    }
}

impl Report {
    /// Whether every promise was kept and, if `checked`, every bound.
    pub fn is_good(&self, checked: bool) -> bool {
        self.scenarios
            .iter()
            .all(|scenario| scenario.faults.is_empty() && (!checked || scenario.checks.iter().all(|check| check.holds)))
    }

    /// Writes what stands above the scenarios.
    pub fn write_header(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Machine { cores, processor, memory_gib, kernel, release_build } = &self.machine;
        writeln!(out, "machine   {cores} cores, {processor}, {memory_gib:.1} GiB, Linux {kernel}")?;
        let settings: Vec<String> =
            self.postgres.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        writeln!(out, "postgres  {}: {}", self.postgres.version, settings.join(", "))?;
        if !release_build {
            writeln!(out, "DEBUG BUILD: these figures say nothing about speed")?;
        }
        Ok(())
    }
}

impl Scenario {
    pub fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "\n{}  ({})", self.name, self.setting)?;
        for Figure { name, unit, value, rounds } in &self.figures {
            let all = if rounds.len() > 1 {
                let all: Vec<String> = rounds.iter().map(|value| number(*value)).collect();
                format!("   [{}]", all.join("  "))
            } else {
                String::new()
            };
            writeln!(out, "  {name:<44} {:>10} {unit:<6}{all}", number(*value))?;
        }
        for Check { figure, value, bound, holds } in &self.checks {
            let verdict = if *holds { "holds" } else { "FAILS" };
            writeln!(out, "  check {verdict}: {figure} {} is to be {bound}", number(*value))?;
        }
        for fault in &self.faults {
            writeln!(out, "  FAULT: {fault}")?;
        }
        Ok(())
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (Some(upper), 1) => *upper,
        (Some(upper), _) => sorted.get(middle - 1).map_or(*upper, |lower| lower.midpoint(*upper)),
        (None, _) => f64::NAN,
    }
}

/// Three digits that count, and all of those before the point.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        small if small < 1.0 => 3,
        small if small < 10.0 => 2,
        small if small < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_easily() {
        let written = [0.0, 0.1234, 1.234, 56.78, 999.0, 31_234.5, 1_234_567.0, -1234.0].map(number);
        assert_eq!(written, ["0", "0.123", "1.23", "56.8", "999", "31,234", "1,234,567", "-1,234"]);
    }

    #[test]
    fn rounds_merge_into_their_median() {
        let round = |value: f64| {
            let mut scenario = Scenario::new("a", "b");
            scenario.add("speed", "/s", value);
            scenario
        };
        let mut merged = round(3.0);
        merged.merge(round(1.0));
        assert_eq!(merged.figures[0].value, 2.0);
        merged.merge(round(9.0));
        assert_eq!((merged.figures[0].value, merged.figures[0].rounds.len()), (3.0, 3));
    }

    #[test]
    fn faults_always_fail_a_run_and_bounds_only_when_checked() {
        let mut scenario = Scenario::new("a", "b");
        scenario.add("ratio", "", 0.5);
        scenario.at_least("ratio", 0.6);
        scenario.at_most("not measured", 1.0);
        assert_eq!(scenario.checks.len(), 1);
        let postgres = Description { version: String::new(), settings: Vec::new() };
        let mut report = Report { machine: Machine::this(), postgres, scenarios: vec![scenario] };
        assert!(report.is_good(false) && !report.is_good(true));
        report.scenarios[0].faults.push("lost".to_owned());
        assert!(!report.is_good(false));
    }
}
