use std::time::{Duration, Instant};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use posthaste_core::ids::Shard;
use posthaste_store::connect::*;
use posthaste_store::error::StoreError;
use posthaste_store::migrations::*;
use posthaste_store::session::*;
use posthaste_store::wakeup::*;

async fn fresh(name: &str) -> DatabaseUrl {
    let admin: DatabaseUrl = "postgres://postgres@127.0.0.1:55432/postgres".parse().unwrap();
    let mut conn = connect(&admin, Purpose::Pool).await.unwrap();
    conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
    conn.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    format!("postgres://postgres@127.0.0.1:55432/{name}").parse().unwrap()
}

#[tokio::test]
async fn migrating() {
    let url = fresh("h_mig").await;
    {
        let mut c = connect(&url, Purpose::Reading).await.unwrap();
        assert_eq!(check_schema(&mut c).await.unwrap_err(), SchemaError::Missing);
    }
    let (a, b) = tokio::join!(migrate(&url, Some(16)), migrate(&url, Some(16)));
    println!("{a:?}\n{b:?}");
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.applied.len() + b.applied.len(), 1);
    let e = migrate(&url, Some(a.schema.shards + 1)).await.unwrap_err();
    println!("{e}");
    println!("{:?}", revert_all(&url).await.unwrap());
    let mut c = connect(&url, Purpose::Writing).await.unwrap();
    assert_eq!(check_schema(&mut c).await.unwrap_err(), SchemaError::Missing);
    let m = migrate(&url, Some(8)).await.unwrap();
    assert_eq!(m.schema.shards, 8);
    c.batch_execute("update posthaste.schema_info set version = 9, compatible_from = 5").await.unwrap();
    println!("{}", check_schema(&mut c).await.unwrap_err());
    println!("{}", migrate(&url, None).await.unwrap_err());
    c.batch_execute("update posthaste.schema_info set version = 0, compatible_from = 0").await.unwrap();
    println!("{}", check_schema(&mut c).await.unwrap_err());
    // data errors
    c.batch_execute("update posthaste.schema_info set version = 1, compatible_from = 1").await.unwrap();
    let e: StoreError = c.batch_execute("insert into posthaste.messages (id, queue_id, scheduled_at) values (900000000000, 1, now())").await.unwrap_err().into();
    assert_eq!(e, StoreError::MissingPartition);
    let e: StoreError = c.batch_execute("insert into posthaste.queues (name, callback_url, method) values ('', 'x', 'GET')").await.unwrap_err().into();
    println!("{e} {e:?}");
    let e: StoreError = diesel::sql_query("select $1::text").bind::<diesel::sql_types::Text, _>("a\0b").execute(&mut c).await.unwrap_err().into();
    println!("{e:?}");
    // closed under us
    let mut d = connect(&url, Purpose::Pool).await.unwrap();
    let pid = { #[derive(diesel::QueryableByName)] struct P { #[diesel(sql_type = diesel::sql_types::Integer)] p: i32 } let p: P = diesel::sql_query("select pg_backend_pid() as p").get_result(&mut d).await.unwrap(); p.p };
    c.batch_execute(&format!("select pg_terminate_backend({pid})")).await.unwrap();
    for _ in 0..3 {
        let e: StoreError = d.batch_execute("select 1").await.unwrap_err().into();
        println!("{e:?}");
        assert!(matches!(e, StoreError::Unavailable(_)));
    }
    // read only
    c.batch_execute("alter database h_mig set default_transaction_read_only = on").await.unwrap();
    println!("{:?}", connect(&url, Purpose::Pool).await.err());
    let u: DatabaseUrl = "postgres://postgres@127.0.0.1:55432/no_such".parse().unwrap();
    println!("{:?}", connect(&u, Purpose::Pool).await.err());
    let u: DatabaseUrl = "postgres://postgres@127.0.0.1:55433/no_such".parse().unwrap();
    println!("{:?}", connect(&u, Purpose::Pool).await.err());
    let u: DatabaseUrl = "postgres://postgres@%2Ftmp%2Fpg:55432/postgres".parse().unwrap();
    println!("{u} {:?}", connect(&u, Purpose::Pool).await.err());
    let u: DatabaseUrl = "postgres://postgres@127.0.0.1:55432/postgres?sslmode=require".parse().unwrap();
    println!("{u} {:?}", connect(&u, Purpose::Pool).await.err());
}

#[tokio::test]
async fn pooling() {
    let url = fresh("h_pool").await;
    let pool = posthaste_store::pool::pool(&url, 3, Purpose::Pool).await.unwrap();
    { let _a = pool.get().await.unwrap(); let _b = pool.get().await.unwrap(); let _c = pool.get().await.unwrap();
      let started = Instant::now();
      let e: StoreError = pool.get().await.err().unwrap().into();
      println!("{e:?} {:?}", started.elapsed()); }
    let mut c = connect(&url, Purpose::Pool).await.unwrap();
    c.batch_execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'h_pool' and pid <> pg_backend_pid()").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..5 { pool.get().await.unwrap().batch_execute("select 1").await.unwrap(); }
}

#[tokio::test]
async fn locking() {
    let url = fresh("h_lock").await;
    println!("{:?}", LockSession::open(&url, "x").await.err());
    migrate(&url, None).await.unwrap();
    let a = LockSession::open(&url, "posthaste-a").await.unwrap();
    let b = LockSession::open(&url, "posthaste-b").await.unwrap();
    assert!(!a.lease().is_live());
    println!("{:?}", a.ping().await.unwrap());
    assert!(a.lease().is_live());
    let all: Vec<Shard> = (0..8).map(Shard).collect();
    let (x, y) = tokio::join!(a.try_lock_many(&all), b.try_lock_many(&all));
    let (x, y) = (x.unwrap(), y.unwrap());
    println!("{x:?} {y:?}");
    assert_eq!(x.len() + y.len(), 8);
    assert_eq!(a.try_lock_many(&all).await.unwrap(), x);
    assert_eq!(a.unlock_many(&all).await.unwrap(), x);
    assert_eq!(b.try_lock_many(&all).await.unwrap(), all);
    assert!(b.try_lock(LockKey::Leader).await.unwrap());
    assert!(!a.try_lock(LockKey::Leader).await.unwrap());
    a.join_members().await.unwrap();
    b.join_members().await.unwrap();
    let mut both = vec![a.pid(), b.pid()]; both.sort();
    assert_eq!(a.members().await.unwrap(), both);
    a.leave_members().await.unwrap();
    assert_eq!(a.members().await.unwrap(), vec![b.pid()]);
    a.join_members().await.unwrap();
    // notify
    a.listen(PENDING).await.unwrap(); a.listen(CRONS).await.unwrap();
    let mut c = connect(&url, Purpose::Pool).await.unwrap();
    notify_pending(&mut c, &[Shard(3), Shard(1)]).await.unwrap();
    notify_crons(&mut c).await.unwrap();
    c.batch_execute("select pg_notify('posthaste_pending', 'x')").await.unwrap();
    assert_eq!(a.wakeup().await, Some(Wakeup::Shards(vec![Shard(1), Shard(3)])));
    assert_eq!(a.wakeup().await, Some(Wakeup::Crons));
    assert_eq!(a.wakeup().await, Some(Wakeup::EveryShard));
    // killed
    b.ping().await.unwrap();
    let lease = b.lease();
    let t = Instant::now();
    c.batch_execute(&format!("select pg_terminate_backend({})", b.pid())).await.unwrap();
    println!("closed: {} after {:?}", b.closed().await, t.elapsed());
    assert!(!lease.is_live());
    assert!(b.ping().await.is_err());
    assert_eq!(b.wakeup().await, None);
    assert_eq!(a.try_lock_many(&all).await.unwrap(), all);
    // dropped half-way
    {
        let f = a.ping();
        let _ = tokio::time::timeout(Duration::from_micros(1), f).await;
    }
    println!("closed: {}", a.closed().await);
    let d = LockSession::open(&url, "posthaste-d").await.unwrap();
    let t = Instant::now();
    while d.try_lock_many(&all).await.unwrap().len() < 8 { tokio::time::sleep(Duration::from_millis(1)).await; }
    println!("taken over after {:?}", t.elapsed());
    drop(d);
    // idle
    let e = LockSession::open(&url, "posthaste-e").await.unwrap();
    e.ping().await.unwrap();
    let t = Instant::now();
    println!("closed: {} after {:?}", e.closed().await, t.elapsed());
}

#[tokio::test]
async fn frozen_client() {
    let url = fresh("h_frozen").await;
    migrate(&url, None).await.unwrap();
    let me = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new(me).args(["child_holds", "--ignored", "--exact"]).spawn().unwrap();
    let s = LockSession::open(&url, "posthaste-w").await.unwrap();
    while s.members().await.unwrap().is_empty() { tokio::time::sleep(Duration::from_millis(20)).await; }
    s.try_lock(LockKey::Shard(Shard(1))).await.unwrap();
    assert!(!s.try_lock(LockKey::Leader).await.unwrap());
    std::process::Command::new("kill").args(["-STOP", &child.id().to_string()]).status().unwrap();
    let t = Instant::now();
    while !s.try_lock(LockKey::Leader).await.unwrap() { tokio::time::sleep(Duration::from_millis(100)).await; s.ping().await.unwrap(); }
    println!("frozen one replaced after {:?}", t.elapsed());
    std::process::Command::new("kill").args(["-CONT", &child.id().to_string()]).status().unwrap();
    println!("child: {}", child.wait().unwrap());
}

#[tokio::test]
#[ignore]
async fn child_holds() {
    let url: DatabaseUrl = "postgres://postgres@127.0.0.1:55432/h_frozen".parse().unwrap();
    let s = LockSession::open(&url, "posthaste-child").await.unwrap();
    assert!(s.try_lock(LockKey::Leader).await.unwrap());
    s.join_members().await.unwrap();
    let lease = s.lease();
    let mut last = Instant::now();
    loop {
        let live = lease.is_live();
        if last.elapsed() > Duration::from_secs(3) { println!("child thawed after {:?}: live {live}", last.elapsed()); assert!(!live); }
        last = Instant::now();
        if s.ping().await.is_err() { println!("child ended: {}", s.closed().await); return; }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn locked_out() {
    let url = fresh("h_locked").await;
    let mut c = connect(&url, Purpose::Pool).await.unwrap();
    c.batch_execute(&format!("select pg_advisory_lock({})", 0x706f_7374_6861_7374_i64)).await.unwrap();
    println!("{}", migrate(&url, None).await.unwrap_err());
}
