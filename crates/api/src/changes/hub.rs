//! Looking for changes while somebody wants to know.

use std::collections::{BTreeSet, HashSet};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::Data;
use futures_util::FutureExt;
use posthaste_core::entity::Entity;
use posthaste_core::ids::MessageId;
use posthaste_store::change::{Change, Place, Timed, listen, look, news, present};
use posthaste_store::connect::{Connection, DatabaseUrl, Purpose, connect};
use posthaste_store::error::StoreError;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::channel::Channels;
use crate::app::App;
use crate::error::ApiError;

/// Between two looks without news.
const EVERY: Duration = Duration::from_secs(1);
/// Between two looks at least: news come in swarms.
const SHORTEST: Duration = Duration::from_millis(50);
/// A look takes at most one part of this many of the time.
const SHARE: u32 = 10;

/// Ends when it is dropped.
pub struct Hub {
    shared: Arc<Shared>,
    _running: DropGuard,
}

struct Shared {
    channels: Channels,
    begun: watch::Sender<bool>,
}

/// How far the hub has come.
struct Progress {
    place: Place,
    /// What the last look has found by its time, and the next may find again.
    seen: HashSet<Timed>,
}

/// Why a look failed; the next one begins where it began.
enum Failure {
    Store(StoreError),
    /// The changed rows could not be read.
    Rows(ApiError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Store(error) => error.fmt(f),
            Failure::Rows(error) => error.fmt(f),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        Failure::Rows(error)
    }
}

impl Hub {
    pub fn start(app: Data<App>, url: DatabaseUrl, runtime: &Handle, stop: &CancellationToken) -> Hub {
        let running = stop.child_token();
        let shared = Arc::new(Shared { channels: Channels::default(), begun: watch::Sender::new(false) });
        runtime.spawn({
            let (shared, running) = (Arc::clone(&shared), running.clone());
            async move {
                running.run_until_cancelled(shared.run(&app, &url)).await;
            }
        });
        Hub { shared, _running: running.drop_guard() }
    }

    pub fn channels(&self) -> &Channels {
        &self.shared.channels
    }

    /// Waits until changes are being looked for; `false` if that will never be.
    pub async fn begun(&self) -> bool {
        self.shared.begun.subscribe().wait_for(|begun| *begun).await.is_ok()
    }
}

impl Shared {
    async fn run(&self, app: &App, url: &DatabaseUrl) {
        let (mut progress, mut named) = (None, BTreeSet::new());
        loop {
            let Err(failure) = self.follow(app, url, &mut progress, &mut named).await;
            tracing::warn!(error = %failure, "subscriptions wait: changes cannot be looked for");
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Looks again and again, on a connection of its own.
    async fn follow(
        &self,
        app: &App,
        url: &DatabaseUrl,
        progress: &mut Option<Progress>,
        named: &mut BTreeSet<MessageId>,
    ) -> Result<Infallible, Failure> {
        let mut conn = connect(url, Purpose::Reading).await?;
        if let Err(error) = listen(&mut conn).await {
            tracing::info!(%error, "changes are found by polling alone");
        }
        loop {
            let began = Instant::now();
            match progress {
                Some(progress) => self.look(app, &mut conn, progress, named).await?,
                None => {
                    let place = present(&mut conn).await?;
                    let first = look(&mut conn, &place).await?;
                    *progress = Some(Progress { place: first.next, seen: first.timed.into_iter().collect() });
                    self.begun.send_replace(true);
                }
            }
            named.clear();
            let shortest = (began.elapsed() * SHARE).clamp(SHORTEST, EVERY);
            if let Ok(first) = tokio::time::timeout(EVERY, news(&mut conn)).await {
                named.extend(first?);
                tokio::time::sleep(shortest).await;
                while let Some(another) = news(&mut conn).now_or_never() {
                    named.extend(another?);
                }
            }
        }
    }

    async fn look(
        &self,
        app: &App,
        conn: &mut Connection,
        progress: &mut Progress,
        named: &BTreeSet<MessageId>,
    ) -> Result<(), Failure> {
        let found = look(conn, &progress.place).await?;
        if found.incomplete {
            tracing::warn!("changes were missed, after a restart of the database or a flood; subscriptions end");
            self.channels.cut();
        }
        let mut messages: BTreeSet<i64> = found.arrived.iter().chain(named).map(|id| id.0).collect();
        let (mut queues, mut crons, mut deleted) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for timed in found.timed.iter().filter(|timed| !progress.seen.contains(timed)) {
            match timed.change {
                Change::Saved(Entity::Message, id) => drop(messages.insert(id)),
                Change::Saved(Entity::Queue, id) => drop(queues.insert(id)),
                Change::Saved(Entity::Cron, id) => drop(crons.insert(id)),
                Change::Deleted { entity, id, queue_id } => deleted.push((entity, id, queue_id)),
            }
        }
        let list = |ids: BTreeSet<i64>| ids.into_iter().collect::<Vec<_>>();
        self.channels.queues.saved(app, &list(queues)).await?;
        self.channels.crons.saved(app, &list(crons)).await?;
        self.channels.messages.saved(app, &list(messages)).await?;
        for (entity, id, queue_id) in deleted {
            match entity {
                Entity::Queue => self.channels.queues.deleted(id, queue_id),
                Entity::Message => self.channels.messages.deleted(id, queue_id),
                Entity::Cron => self.channels.crons.deleted(id, queue_id),
            }
        }
        *progress = Progress { place: found.next, seen: found.timed.into_iter().collect() };
        Ok(())
    }
}
