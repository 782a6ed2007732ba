//! Services whose statements go through PgBouncer in transaction mode, in sessions that they share: everything works, nothing is lost or
//! doubled, also when the pooler itself is killed. Locks and LISTEN go past it.
//!
//! Run by `deploy/verify-pgbouncer`; needs PgBouncer 1.21 or later, which `PGBOUNCER` names.

use std::cell::Cell;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use posthaste_tests::cluster::Cluster;
use posthaste_tests::database::Database;
use posthaste_tests::ledger::Ledger;
use posthaste_tests::ports::Port;
use posthaste_tests::posting::post_until;
use posthaste_tests::process::{Launch, Process};
use posthaste_tests::{guard, ticks, wait};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(60);
/// Fewer sessions than the services open connections, so that each statement finds another's session.
const POOL: usize = 8;

/// PgBouncer before the server of a database.
struct Bouncer {
    port: Port,
    database: String,
    folder: TempDir,
    process: Child,
}

impl Bouncer {
    async fn start(database: &Database) -> Self {
        let server: tokio_postgres::Config = database.url().parse().unwrap();
        let [tokio_postgres::config::Host::Tcp(host)] = server.get_hosts() else { panic!("{}", database.url()) };
        let (port, folder) = (Port::lease(), tempfile::tempdir().unwrap());
        let password = server.get_password().map(String::from_utf8_lossy).unwrap_or_default();
        // Whoever comes is let in as the server's user.
        let settings = format!(
            "[databases]\n\
             {name} = host={host} port={} user={} password={password}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\nmax_prepared_statements = 500\nserver_login_retry = 1\n\
             default_pool_size = {POOL}\nmax_client_conn = 500\n",
            server.get_ports()[0],
            server.get_user().unwrap(),
            port.number(),
            name = database.name(),
        );
        std::fs::write(folder.path().join("pgbouncer.ini"), settings).unwrap();
        let process = Self::spawn(&folder);
        let bouncer = Self { port, database: database.name().to_owned(), folder, process };
        bouncer.wait_until_ready().await;
        bouncer
    }

    fn spawn(folder: &TempDir) -> Child {
        let program = std::env::var("PGBOUNCER").expect("PGBOUNCER: run deploy/verify-pgbouncer");
        let mut command = Command::new(program);
        if rustix::process::geteuid().is_root() {
            command.args(["--user", "nobody"]);
        }
        let log = std::fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
        command.arg(folder.path().join("pgbouncer.ini")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().unwrap();
        guard::watch(process.id());
        process
    }

    async fn wait_until_ready(&self) {
        let address = self.port.address();
        wait::eventually(LONG, "PgBouncer listens", async || tokio::net::TcpStream::connect(address).await.is_ok())
            .await;
    }

    /// As a crash would; then it is there again.
    async fn crash(&mut self) {
        self.kill();
        self.process = Self::spawn(&self.folder);
        self.wait_until_ready().await;
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        guard::release(self.process.id());
    }

    fn url(&self) -> String {
        format!("postgres://anybody@{}/{}", self.port.address(), self.database)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// A service whose statements go through it.
    async fn before(&self, launch: Launch, database: &Database) -> Process {
        launch.env("DATABASE_URL", &self.url()).env("LOCK_DATABASE_URL", database.url()).start().await
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().filter(|line| !line.contains("closing because: client")).collect();
            eprintln!("PgBouncer: {}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

#[actix_rt::test]
async fn everything_works_in_sessions_that_are_shared() {
    let database = Database::new().await;
    let mut bouncer = Bouncer::start(&database).await;
    let ledger = Ledger::start(Duration::from_millis(20));
    let cluster = Cluster::on(&database).await;
    let mut services = Vec::new();
    for launch in [Launch::api, Launch::api, Launch::scheduler, Launch::deliverer, Launch::deliverer] {
        services.push(bouncer.before(launch(&database), &database).await);
    }
    cluster.wait_until_shared(LONG, 2).await;
    let apis = [services[0].api(), services[1].api()];
    let queue = json!({"name": "q", "callbackUrl": ledger.url(), "method": "POST"});
    let queue = apis[0].create_queue(&queue).await;
    let cron = json!({"queueId": queue, "schedule": "* * * * * *", "body": "x"});
    let cron: i64 = apis[0].create_cron(&cron).await.parse().unwrap();

    let (enough, under_way) = (CancellationToken::new(), Cell::new(0));
    let breaking = async {
        let _enough = enough.clone().drop_guard();
        ledger.wait_for(LONG, 1000).await;
        // Lists set what holds for their transaction only.
        let list =
            apis[0].get("/messages?where.status.eq=delivered&orderby.sentAt=desc&limit=20&totalCount=true").await;
        assert_eq!((list.status, list.json.as_array().unwrap().len()), (200, 20));
        let query = json!({"query": "{ queues { name messages(limit: 5) { status attempts { outcome } } crons { schedule } } }"});
        let answer = apis[1].post("/graphql", &query).await;
        assert!(answer.json["errors"].is_null(), "{}", answer.json);
        let batch = vec![json!({"queueId": queue, "body": "one of many"}); 50];
        assert_eq!(apis[1].post("/messages/batch", &json!(batch)).await.json["accepted"], 50);

        bouncer.crash().await;
        for service in &mut services {
            service.wait_until_ready(LONG).await;
        }
        ledger.wait_for(LONG, ledger.distinct() + 1000).await;
        let mut leaving = services.pop().unwrap();
        leaving.sigterm();
        assert!(leaving.wait(LONG).await.success());
        services.push(bouncer.before(Launch::deliverer(&database), &database).await);
        cluster.wait_until_shared(LONG, 2).await;
        ledger.wait_for(LONG, ledger.distinct() + 1000).await;
    };
    let ((), posted) = tokio::join!(breaking, post_until(&apis, &queue, &under_way, &enough));
    ledger.wait_for_all(LONG, &posted.accepted).await;
    ticks::check_each_second(&cluster, &ledger, cron).await;
    let paused = apis[0].post(&format!("/crons/{cron}/pause"), &json!({})).await;
    assert_eq!(paused.status, 200, "{}", paused.text);
    cluster.wait_until_finished(LONG).await;
    cluster.check_each_recorded_once(LONG, &ledger).await;
    // The locks went past it: whoever owned a shard knew what it had in flight.
    assert!(ledger.repeated().is_empty(), "{:?}", ledger.repeated());
    // Besides those past it: of the deliverers, and of the scheduler, which are named alike.
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND application_name LIKE 'posthaste-%' AND application_name NOT LIKE '% locks'";
    let sessions = cluster.number(sessions).await;
    assert!(sessions <= i64::try_from(POOL).unwrap() + 1, "{sessions} sessions");
    for service in &mut services {
        assert!(service.is_running());
        let log = service.stderr();
        assert!(!log.contains("prepared statement"), "{log}");
    }
    eprintln!(
        "through PgBouncer: {} posts accepted, {} refused or cut while it was away; {} messages arrived, each once",
        posted.accepted.len(),
        posted.refused,
        ledger.distinct()
    );
}
