//! Settings: what is wrong is named, secrets are not shown, and the README lists what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;

use actix_web::ResponseError;
use posthaste_api::error::{ApiError, ErrorCode, Limited};
use posthaste_core::address::Blocked;
use posthaste_service::environment::names;
use posthaste_service::metrics::{Kind, Metric};
use posthaste_tests::client::Api;
use posthaste_tests::database::Database;
use posthaste_tests::ports::Port;
use posthaste_tests::process::{Ended, Launch};
use posthaste_tests::receiver::Receiver;
use posthaste_tests::wait;
use serde_json::json;

const README: &str = include_str!("../../README.md");
const OPERATIONS: &str = include_str!("../../deploy/OPERATIONS.md");
const SOON: Duration = Duration::from_secs(15);

const API: &str = "posthaste-api";
const SCHEDULER: &str = "posthaste-scheduler";
const DELIVERER: &str = "posthaste-deliverer";
const SERVICES: [&str; 3] = [API, SCHEDULER, DELIVERER];

/// Nobody listens there; a configuration that is wrong is refused before anybody is asked.
const NOWHERE: &str = "postgres://me:hunter2@127.0.0.1:9/nowhere";

const UNKNOWN_ENTITY: &str = r#"[{"role": "user", "entity": "queu", "find": true}]"#;
const UNKNOWN_FIELD: &str = r#"[
    {"role": "user", "entity": "queue", "find": true},
    {"role": "other", "entity": "queue", "find": {"checks": {"nam": "X"}}}
]"#;

async fn run(program: &str, environment: &[(&str, &str)]) -> Ended {
    let launch = Launch::new(program).env("DATABASE_URL", NOWHERE).env("HOST", "127.0.0.1").env("PORT", "0");
    let with = |launch: Launch, (name, value): &(&str, &str)| launch.env(name, value);
    environment.iter().fold(launch, with).run(SOON).await
}

/// Ends with this status, says this about these variables, one line each and no other, and shows no secret.
fn assert_fails(program: &str, ended: &Ended, status: i32, faults: &[(&str, &str)]) {
    assert_eq!(ended.status.code(), Some(status), "{program}: {ended:?}");
    let start = format!("{program}: ");
    let told: Vec<_> = ended.stderr.lines().filter_map(|line| line.strip_prefix(&start)).collect();
    assert_eq!(told.len(), faults.len(), "{told:?}");
    for (line, (variable, says)) in told.iter().zip(faults) {
        let problem = line.strip_prefix(variable).and_then(|rest| rest.strip_prefix(": "));
        assert!(problem.is_some_and(|problem| problem.contains(says)), "{variable}: {says:?} in {line:?}");
    }
    assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
}

#[actix_rt::test]
async fn a_setting_that_cannot_be_used_is_named_with_what_it_takes() {
    let port = "takes a port number from 0 (any free one) to 65535";
    let shards = "takes a whole number from 1 to 1024";
    let url = "takes postgres://USER:PASSWORD@HOST:PORT/DATABASE";
    let of_all = [
        ("DATABASE_URL", "mysql://me:hunter2@db/app", url),
        ("DATABASE_URL", "postgres://me:hunt@er2@db/app", "%40"),
        ("DATABASE_URL", "postgres://me:hunter2@db", "names no database"),
        ("DATABASE_URL", "postgres://me:hunter2@db/app?sslmode=maybe", "sslmode takes"),
        ("DATABASE_URL", "", "is required"),
        ("HOST", "http://here", "takes an IP address or a host name"),
        ("PORT", "x", port),
        ("PORT", "65536", port),
        ("SHARDS", "5000", shards),
        ("SHARDS", "0", shards),
        ("LOG", "nonsense", "takes off, error, warn, info, debug, trace or TARGET=LEVEL"),
        ("LOG", "posthaste_api=loud", "takes off, error"),
        ("LOG_FORMAT", "xml", "takes json or pretty"),
    ];
    let of_some: [(&[&str], &str, &str, &str); 29] = [
        (&[SCHEDULER, DELIVERER], "LOCK_DATABASE_URL", "db:5432/app", url),
        (&[API], "ALLOW_ANONYMOUS", "maybe", "takes true or false"),
        (&[API], "POOL_SIZE", "0", "takes a whole number from 1"),
        (&[API], "POOL_SIZE", "ten", "takes a whole number from 1"),
        (&[API], "MAX_BODY_BYTES", "1k", "takes a whole number from 1"),
        (&[API], "AUTH_RULES", "hunter2", "is not JSON"),
        (&[API], "AUTH_RULES", UNKNOWN_ENTITY, "Unknown entity 'queu' in authorization rule 0. Did you mean 'queue'?"),
        (&[API], "AUTH_RULES", UNKNOWN_FIELD, "Unknown field 'nam' of entity 'queue' in authorization rule 1."),
        (&[API], "AUTH_RULES_FILE", "/nowhere/rules.json", "takes a file that can be read"),
        (&[API], "JWT_PUBLIC_KEY", "hunter2", "takes a public key in PEM"),
        (&[API], "JWT_JWKS_URL", "hunter2", "takes a URL such as"),
        (&[API], "JWT_ISSUER", "hunter2", "there is no JWT_SECRET"),
        (&[API], "AUTH_WEBHOOK_URL", "https://me:hunter2@id.example", "takes a URL such as"),
        (&[API], "AUTH_WEBHOOK_CACHE_SECONDS", "x", "takes a whole number from 0 to 86400"),
        (&[API], "KEEP_ALIVE_SECONDS", "0", "takes a whole number from 1 to 3600"),
        (&[API], "CORS_ORIGINS", "app.example.com", "takes origins such as https://app.example.com"),
        (&[API], "CORS_ORIGINS", "https://app.example.com/path", "takes origins such as"),
        (&[API], "CORS_ORIGINS", "https://app.example.com,*", "or * alone"),
        (&[DELIVERER], "WORKERS", "0", "takes a whole number from 1 to 256"),
        (&[DELIVERER], "WORKERS", "-1", "takes a whole number from 1 to 256"),
        (&[API, DELIVERER], "EGRESS_ALLOW", "banana", "banana"),
        (&[API, DELIVERER], "EGRESS_ALLOW", "10.0.0.0/8,10.0.0.0/99", "10.0.0.0/99"),
        (&[API, DELIVERER], "EGRESS_DENY", "example.com", "example.com"),
        (&[API, DELIVERER], "EGRESS_DENY", "::1/x", "::1/x"),
        (&[API, DELIVERER], "EGRESS_ALLOW", "127.0.0.1:80", "127.0.0.1:80"),
        (&[API, DELIVERER], "EGRESS_PORTS", "80,65536", "\"65536\" is neither a port"),
        (&[API, DELIVERER], "EGRESS_SCHEMES", "ftp", "\"ftp\" is neither http nor https"),
        (&[DELIVERER], "RETRY_POLICY", "slow", "takes fast, standard, exponential:"),
        (&[DELIVERER], "RETRY_POLICY", "fixed:8d", "a wait must be from 1 ms to 7 days"),
    ];
    let for_all = of_all.iter().map(|&(variable, value, says)| (&SERVICES[..], variable, value, says));
    for (programs, variable, value, says) in for_all.chain(of_some) {
        for program in programs {
            let ended = run(program, &[(variable, value)]).await;
            assert_fails(program, &ended, 2, &[(variable, says)]);
        }
    }
}

#[actix_rt::test]
async fn all_faults_are_told_at_once() {
    let wrong = [("DATABASE_URL", ""), ("PORT", "x"), ("SHARDS", "5000"), ("LOG", "nonsense"), ("LOG_FORMAT", "xml")];
    let log = [("LOG", "takes"), ("LOG_FORMAT", "takes")];
    let common = [("DATABASE_URL", "is required"), ("PORT", "takes")];
    let faults = |more: &[(&'static str, &'static str)]| [&log[..], &common, more].concat();
    for (program, faults) in [
        (SCHEDULER, faults(&[("SHARDS", "takes")])),
        (
            API,
            faults(&[
                ("POOL_SIZE", "takes"),
                ("EGRESS_ALLOW", "banana"),
                ("SHARDS", "takes"),
                ("ADMIN_SECRET", "is required to listen on 0.0.0.0"),
            ]),
        ),
        (DELIVERER, faults(&[("EGRESS_ALLOW", "banana"), ("WORKERS", "takes"), ("SHARDS", "takes")])),
    ] {
        let more = [("HOST", "0.0.0.0"), ("POOL_SIZE", "x"), ("WORKERS", "x"), ("EGRESS_ALLOW", "banana")];
        let ended = run(program, &[&wrong[..], &more].concat()).await;
        assert_fails(program, &ended, 2, &faults);
    }
}

#[actix_rt::test]
async fn an_api_open_to_all_must_be_asked_for() {
    for host in ["0.0.0.0", "::", "192.0.2.1", ""] {
        let ended = run(API, &[("HOST", host)]).await;
        assert_fails(API, &ended, 2, &[("ADMIN_SECRET", "ALLOW_ANONYMOUS=true")]);
    }
    let (rules, secret) = (("AUTH_RULES", "[]"), ("JWT_SECRET", "hunter2"));
    for alone in [rules, secret, ("AUTH_WEBHOOK_URL", "http://127.0.0.1:9/")] {
        let ended = run(API, &[("HOST", "0.0.0.0"), alone]).await;
        assert_fails(API, &ended, 2, &[("ADMIN_SECRET", "AUTH_RULES with JWT_SECRET")]);
    }
    let database = Database::new().await;
    for (settings, status) in [
        (&[("ALLOW_ANONYMOUS", "true")][..], 200),
        (&[("ALLOW_ANONYMOUS", "true"), rules], 401),
        (&[("ADMIN_SECRET", "hunter2")], 401),
        (&[secret, rules], 401),
    ] {
        let launch = Launch::api(&database).env("HOST", "0.0.0.0");
        let process = settings.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start().await;
        assert_eq!(process.api().get("/queues").await.status, status, "{settings:?}");
    }
}

#[actix_rt::test]
async fn another_number_of_shards_than_the_databases_is_refused() {
    let database = Database::new().await;
    for program in SERVICES {
        let ended = run(program, &[("DATABASE_URL", database.url()), ("SHARDS", "63")]).await;
        assert_fails(program, &ended, 2, &[("SHARDS", "64")]);
    }
}

#[actix_rt::test]
async fn a_database_that_cannot_be_used_is_named() {
    let (database, nobody) = (Database::empty().await, Port::lease());
    let unreachable = format!("postgres://me:hunter2@{}/nowhere", nobody.address());
    let (_, place) = database.url().rsplit_once('@').unwrap();
    let stranger = format!("postgres://me:hunter2@{place}");
    let too_new = Database::new().await;
    too_new.execute("UPDATE posthaste.schema_info SET version = 99, compatible_from = 99").await;
    for (url, says) in [
        (unreachable.as_str(), nobody.address().to_string()),
        (database.url(), "run `posthaste migrate`".to_owned()),
        (too_new.url(), "schema version 99".to_owned()),
        (&stranger, "\"me\"".to_owned()),
    ] {
        for program in SERVICES {
            let ended = run(program, &[("DATABASE_URL", url)]).await;
            assert_fails(program, &ended, 1, &[("DATABASE_URL", &says)]);
        }
    }
}

#[actix_rt::test]
async fn a_port_in_use_is_named() {
    let database = Database::new().await;
    let port = Port::lease();
    let _taken = TcpListener::bind(port.address()).unwrap();
    for program in SERVICES {
        let number = port.number().to_string();
        let ended = run(program, &[("DATABASE_URL", database.url()), ("PORT", &number)]).await;
        assert_fails(program, &ended, 1, &[("PORT", &format!("{number} is in use on 127.0.0.1"))]);
    }
}

#[actix_rt::test]
async fn secrets_are_not_logged_however_much_is() {
    const SECRET: &str = "hunter2-of-the-admin";
    let database = Database::new().await;
    let (start, place) = database.url().rsplit_once('@').unwrap();
    // A server that trusts everybody takes any password.
    let url = match start.strip_prefix("postgres://").unwrap().split_once(':') {
        Some(_) => database.url().to_owned(),
        None => format!("{start}:hunter2-of-the-database@{place}"),
    };
    let (start, _) = url.rsplit_once('@').unwrap();
    let password = start.rsplit_once(':').unwrap().1;
    let receiver = Receiver::start();
    for (format, level) in [("json", r#""level":"TRACE""#), ("pretty", "TRACE")] {
        let launch = Launch::all_in_one(&database).env("DATABASE_URL", &url).env("ADMIN_SECRET", SECRET);
        // Nor in spans, whose receiver is here the same as that of callbacks.
        let launch = launch.env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", receiver.address()));
        let mut process = launch.env("LOG", "trace").env("LOG_FORMAT", format).start().await;
        let admin = Api::with_secret(process.address(), SECRET);
        let stranger = Api::with_secret(process.address(), "hunter2-of-a-stranger");
        let queue = json!({
            "name": "q", "callbackUrl": receiver.url("/q"), "method": "POST",
            "headers": {"authorization": "hunter2-of-the-queue"}
        });
        let queue = admin.create_queue(&queue).await;
        let message =
            json!({"queueId": queue, "body": "hunter2-of-the-message", "headers": {"x": "hunter2-of-a-header"}});
        let message = admin.create_message(&message).await;
        assert_eq!(stranger.get("/queues").await.status, 401);
        let path = format!("/messages/{message}");
        wait::eventually(SOON, "it is sent", async || admin.get(&path).await.json["sentAt"].is_string()).await;
        process.sigterm();
        assert_eq!(process.wait(SOON).await.code(), Some(0));

        let shown = format!("{}{}", process.stdout(), process.stderr());
        assert!(shown.contains(level), "{format}: nothing at the lowest level in {shown}");
        for id in ["message_id", "queue_id", "outcome", "stored", "attempted"] {
            assert!(shown.contains(id), "{format}: {id}");
        }
        let spans = receiver.requests_to("/v1/traces");
        assert!(!spans.is_empty());
        for span in spans {
            let told = String::from_utf8_lossy(&span.body).into_owned();
            assert!(!told.contains("hunter2") && !told.contains(SECRET) && !told.contains(password), "{told}");
        }
        for secret in [SECRET, "hunter2", password] {
            let line = shown.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{format}");
        }
    }
}

/// The rows of the README's table between two markers, each cell without its backquotes.
fn table(marker: &str) -> Vec<Vec<String>> {
    let (_, rest) = README.split_once(&format!("<!-- {marker} -->\n")).expect("where it begins");
    let (table, _) = rest.split_once(&format!("<!-- /{marker} -->")).expect("where it ends");
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>();
    let rows = table.lines().skip(2).map(cells);
    rows.map(|row| row[1..row.len() - 1].to_vec()).collect()
}

#[test]
fn the_readme_lists_every_setting_and_who_reads_it() {
    let mut log = names::<posthaste_service::telemetry::LogVariables>();
    log.extend(names::<posthaste_service::traces::TraceVariables>());
    let mut api = names::<posthaste_api::config::ConfigVariables>();
    api.extend(names::<posthaste_api::config::AuthorizationVariables>());
    let scheduler = names::<posthaste_scheduler::config::ConfigVariables>();
    let deliverer = names::<posthaste_deliverer::config::ConfigVariables>();
    let dev = names::<posthaste_standalone::dev::ConfigVariables>();
    let mut readers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (reader, names) in [("API", &api), ("scheduler", &scheduler), ("deliverer", &deliverer)] {
        for name in names.iter().chain(&log) {
            readers.entry(name).or_default().insert(reader);
        }
    }
    for name in dev.iter().filter(|name| ![&api, &scheduler, &deliverer].iter().any(|names| names.contains(name))) {
        readers.entry(name).or_default().insert("dev");
    }
    let all = BTreeSet::from(["API", "scheduler", "deliverer"]);
    let mut listed = BTreeMap::new();
    for row in table("settings") {
        let used_by = if row[1] == "all" { all.iter().map(ToString::to_string).collect() } else { split(&row[1]) };
        assert!(listed.insert(row[0].clone(), used_by).is_none(), "{} twice", row[0]);
        assert!(!row[2].is_empty() && !row[3].is_empty(), "{row:?}");
    }
    let read = readers
        .into_iter()
        .map(|(name, readers)| (name.to_owned(), readers.into_iter().map(str::to_owned).collect::<BTreeSet<_>>()));
    assert_eq!(listed, read.collect());
    for name in names::<posthaste_standalone::migrate::ConfigVariables>() {
        assert!(listed.contains_key(&name), "{name}");
    }
}

#[test]
fn the_readme_lists_every_metric() {
    let listed: BTreeMap<_, _> = table("metrics").into_iter().map(|row| (row[0].clone(), row[1..].to_vec())).collect();
    let all = BTreeSet::from(["api", "scheduler", "deliverer"].map(str::to_owned));
    assert_eq!(listed.len(), Metric::ALL.len());
    for metric in Metric::ALL {
        let [kind, services, labels, meaning] = &listed[metric.name()][..] else { panic!("{}", metric.name()) };
        let given = match metric.kind() {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Durations | Kind::Sizes => "histogram",
        };
        assert_eq!((kind.as_str(), meaning.as_str()), (given, metric.help()), "{}", metric.name());
        let services = if services == "all" { all.clone() } else { split(&services.replace("API", "api")) };
        assert_eq!(services, metric.services().iter().map(ToString::to_string).collect(), "{}", metric.name());
        let labels = if labels == "–" { BTreeSet::new() } else { split(labels) };
        assert_eq!(labels, metric.labels().iter().map(ToString::to_string).collect(), "{}", metric.name());
    }
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    const ALERTS: &str = include_str!("../../deploy/alerts/posthaste.rules.yaml");
    const TESTED: &str = include_str!("../../deploy/alerts/posthaste.test.yaml");
    const DASHBOARD: &str = include_str!("../../deploy/grafana/posthaste.json");
    let mut shown = BTreeSet::new();
    for text in [ALERTS, TESTED, DASHBOARD] {
        for asked in text.match_indices("posthaste_").map(|(start, _)| {
            let rest = &text[start..];
            &rest[..rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len())]
        }) {
            let ends = ["", "_bucket", "_sum", "_count"];
            let metric =
                Metric::ALL.iter().find(|metric| ends.iter().any(|end| asked == format!("{}{end}", metric.name())));
            let metric = metric.unwrap_or_else(|| panic!("there is no {asked}"));
            if std::ptr::eq(text, DASHBOARD) {
                shown.insert(metric.name());
            }
        }
    }
    assert_eq!(shown, Metric::ALL.iter().map(|metric| metric.name()).collect(), "the dashboard shows all");
    // Each has its runbook.
    for alert in ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(OPERATIONS.contains(&format!("### {alert}\n")), "{alert}");
        assert!(TESTED.contains(&format!("- name: {alert}\n")), "{alert}");
    }
}

fn split(list: &str) -> BTreeSet<String> {
    list.split(", ").map(str::to_owned).collect()
}

/// One error of each kind that has a code.
fn errors() -> Vec<ApiError> {
    let text = String::new;
    vec![
        ApiError::Validation(text()),
        ApiError::InvalidJson,
        ApiError::EmptyJson,
        ApiError::MediaType,
        ApiError::BodyTooLarge,
        ApiError::RequestTimeout,
        ApiError::Malformed,
        ApiError::Limit { of: Limited::Target, problem: text() },
        ApiError::Limit { of: Limited::Head, problem: text() },
        ApiError::Limit { of: Limited::Value, problem: text() },
        ApiError::CorsRefused(text()),
        ApiError::UnknownField(text()),
        ApiError::UnknownParameter(text()),
        ApiError::ReadOnlyField { field: "id", instead: "leave it out" },
        ApiError::InvalidValue { field: "when", problem: text() },
        ApiError::BlockedAddress(Blocked::Denied),
        ApiError::LimitTooLarge(101),
        ApiError::LimitNegative(-1),
        ApiError::OffsetNegative(-1),
        ApiError::UnknownFilterField(text()),
        ApiError::CursorWithoutId,
        ApiError::MissingWhere,
        ApiError::Unauthorized,
        ApiError::Forbidden,
        ApiError::FieldForbidden("callback_url"),
        ApiError::RateLimited { retry_after: 1 },
        ApiError::BacklogFull { queue: None },
        ApiError::StillPending,
        ApiError::Unfinished,
        ApiError::UnknownQueue { field: "queueId", id: 1 },
        ApiError::IdempotencyConflict,
        ApiError::BatchTooLarge,
        ApiError::BatchRefused { failed: 1, count: 2 },
        ApiError::InUse,
        ApiError::SecretsKeyMissing,
        ApiError::NoDeliverer { taken: false },
        ApiError::NotPending,
        ApiError::InFlight,
        ApiError::NoSuchRow { entity: posthaste_core::entity::Entity::Queue, id: 1 },
        ApiError::ChangesMissed,
        ApiError::TooExpensive,
        ApiError::AnswerTooLarge,
        ApiError::Refused,
        ApiError::Overloaded,
        ApiError::Unavailable,
        ApiError::OutcomeUnknown,
        ApiError::Internal,
    ]
}

#[test]
fn the_readme_lists_every_error_code_and_its_status() {
    let listed: Vec<_> = table("error-codes").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let unique: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(unique.len(), listed.len(), "{listed:?}");
    let answered = errors().into_iter().map(|error| {
        let code = error.code().map_or("none", ErrorCode::as_str);
        (error.status_code().as_u16().to_string(), code.to_owned())
    });
    let mut answered: BTreeSet<_> = answered.collect();
    for code in ErrorCode::ALL {
        assert!(answered.iter().any(|(_, known)| known == code.as_str()), "{code:?}");
    }
    answered.insert(("404".to_owned(), "none".to_owned()));
    assert_eq!(unique, answered);
}
