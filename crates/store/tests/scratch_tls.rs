use posthaste_store::connect::*;
use diesel_async::SimpleAsyncConnection;
#[tokio::test]
async fn tls() {
    for (host, q) in [("localhost",""),("localhost","?sslmode=disable"),("localhost","?sslmode=require"),("localhost","?sslmode=verify-full&sslrootcert=/tmp/pgtls/ca.pem"),
        ("127.0.0.1","?sslmode=verify-full&sslrootcert=/tmp/pgtls/ca.pem"),("127.0.0.1","?sslmode=verify-ca&sslrootcert=/tmp/pgtls/ca.pem"),
        ("localhost","?sslmode=verify-ca&sslrootcert=/tmp/pgtls/self.pem"),("localhost","?sslmode=verify-full"),("localhost", "?sslmode=require&channel_binding=require"),
        ("localhost","?sslmode=verify-full&sslrootcert=/tmp/pgtls/server.pem")] {
        let u: DatabaseUrl = match format!("postgres://postgres:hunter2@{host}:55499/postgres{q}").parse() { Ok(u) => u, Err(e) => { println!("{host}{q}: {e}"); continue } };
        match connect(&u, Purpose::Pool).await {
            Ok(mut c) => { let r = c.batch_execute("do $$ begin if not (select ssl from pg_stat_ssl where pid = pg_backend_pid()) then raise 'plain'; end if; end $$").await; println!("{host}{q}: ok, tls {r:?}") }
            Err(e) => println!("{host}{q}: {e}"),
        }
    }
    let u: DatabaseUrl = "postgres://postgres:wrong@localhost:55499/postgres".parse().unwrap();
    println!("{:?}", connect(&u, Purpose::Pool).await.err());
    let u: DatabaseUrl = "postgres://postgres@localhost:55499/postgres".parse().unwrap();
    println!("{:?}", connect(&u, Purpose::Pool).await.err());
    let u: DatabaseUrl = "postgres://postgres:hunter2@localhost:55499/postgres?sslmode=verify-full&sslrootcert=/tmp/pgtls/ca.pem".parse().unwrap();
    let s = posthaste_store::session::LockSession::open(&u, "x").await;
    println!("{:?}", s.err());
}
