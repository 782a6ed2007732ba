use super::*;

fn parse(text: &str) -> DatabaseUrl {
    text.parse().unwrap()
}

fn problem(text: &str) -> String {
    text.parse::<DatabaseUrl>().unwrap_err().to_string()
}

#[test]
fn nothing_shows_the_password() {
    let url = parse("postgres://me:hunter2@db.example:6000/app");
    assert_eq!(url.to_string(), "db.example:6000/app");
    assert_eq!(format!("{url:?}"), "DatabaseUrl(db.example:6000/app)");
    for text in [
        "postgre://me:hunter2@db/app",
        "me:hunter2@db/app?x=1",
        "postgres://me:p@hunter2@db/app",
        "postgres://me:hunter2@db:port/app",
        "postgres://me:hunter2@db/app?sslmode=hunter2",
        "postgres://me:hunter2@",
        "host=db password=hunter2",
    ] {
        assert!(!problem(text).contains("hunter2"), "{}", problem(text));
    }
}

#[test]
fn unix_sockets_are_hosts() {
    for text in ["postgres://me@%2Frun%2Fpg:6000/app", "postgres:///app?user=me&host=/run/pg&port=6000"] {
        let url = parse(text);
        assert_eq!(url.config.get_hosts(), [Host::Unix("/run/pg".into())]);
        assert_eq!(url.to_string(), "/run/pg:6000/app");
        assert!(url.tls.is_none());
    }
    assert!(parse("postgres://me@%2Frun%2Fpg/app?sslmode=require").tls.is_none());
}

#[test]
fn ssl_modes_mean_what_libpq_means() {
    let mode = |query: &str| {
        let url = parse(&format!("postgres://me@db/app{query}"));
        (url.config.get_ssl_mode(), url.tls.is_some())
    };
    assert_eq!(mode("?sslmode=disable"), (SslMode::Disable, false));
    assert_eq!(mode(""), (SslMode::Prefer, true));
    assert_eq!(mode("?sslmode=prefer"), (SslMode::Prefer, true));
    assert_eq!(mode("?sslmode=require"), (SslMode::Require, true));
    let check = |query: &str| Parameters::read(query).unwrap().check().unwrap();
    assert_eq!(check("sslmode=require"), Some(Check::Nothing));
    assert_eq!(check("sslmode=require&sslrootcert=%2Fca.pem"), Some(Check::Chain(Roots::File("/ca.pem".into()))));
    assert_eq!(check("sslmode=verify-ca"), Some(Check::Chain(Roots::System)));
    assert_eq!(check("sslmode=verify-ca&sslrootcert=system"), Some(Check::ChainAndName(Roots::System)));
    assert_eq!(
        check("sslmode=verify-full&sslrootcert=/ca.pem"),
        Some(Check::ChainAndName(Roots::File("/ca.pem".into())))
    );
    assert!(problem("postgres://me@db/app?sslmode=verify").contains("sslmode takes"));
}

#[test]
fn a_missing_root_is_told_while_parsing() {
    let problem = problem("postgres://me@db/app?sslmode=verify-full&sslrootcert=/no/such/file.pem");
    assert!(problem.contains("sslrootcert: /no/such/file.pem"), "{problem}");
}

#[test]
fn defaults_and_overrides() {
    let url = parse("postgres://me@db/app");
    assert_eq!(url.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(url.config.get_connect_timeout(), Some(&CONNECT_TIMEOUT));
    let url = parse(
        "postgres://me@db/app?connect_timeout=2&target_session_attrs=any&keepalives_idle=7&keepalives_count=9\
         &tcp_user_timeout=1500&application_name=mine",
    );
    assert_eq!(url.config.get_target_session_attrs(), TargetSessionAttrs::Any);
    assert_eq!(url.config.get_connect_timeout(), Some(&Duration::from_secs(2)));
    assert_eq!(url.config.get_keepalives_idle(), Duration::from_secs(7));
    assert_eq!(url.config.get_keepalives_retries(), Some(9));
    assert_eq!(url.config.get_tcp_user_timeout(), Some(&Duration::from_millis(1500)));
    assert_eq!(url.for_service("posthaste-api").config.get_application_name(), Some("mine"));
    let named = parse("postgres://me@db/app").for_service("posthaste-api");
    assert_eq!(named.config.get_application_name(), Some("posthaste-api"));
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    assert!(problem("postgres://me@db").contains("no database"));
    assert!(problem("postgres:///app").contains("no host"));
    assert!(problem("postgres://me@db/app?pgbouncer=true").contains("pgbouncer"));
    assert!(problem("postgres://me@db/app?target_session_attrs=read-only").contains("target_session_attrs"));
    assert!(problem("mysql://me@db/app").contains("postgres://"));
}

#[test]
fn a_pooled_role_is_given_the_settings_of_a_session() {
    let expected = BY_INDEX.map(|(name, value)| format!("{name} = {value};"));
    let guide = include_str!("../../../../deploy/OPERATIONS.md");
    let compose = include_str!("../../../../deploy/compose/roles.sql");
    for text in [guide, compose] {
        let set = text.lines().filter_map(|line| line.strip_prefix("ALTER ROLE posthaste_deliverer SET "));
        assert_eq!(set.collect::<Vec<_>>(), expected);
    }
}
