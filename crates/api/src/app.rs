//! What the handlers of all threads share.

use async_graphql::dynamic::Schema;
use futures_util::FutureExt;
use posthaste_core::address::Egress;
use posthaste_core::entity::Entity;
use posthaste_core::seal::Keys;
use posthaste_service::traces::Traces;
use posthaste_store::audit::{Entry, record};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::auth::{Auth, Caller};
use crate::backlog::Backlogs;
use crate::batcher::Batcher;
use crate::changes::Changes;
use crate::database::Database;
use crate::drain::Drain;
use crate::memory::Memory;
use crate::metrics::ApiMetrics;
use crate::waker::Waker;
use crate::wire::output::IdStyle;

/// The parts of a running API. It keeps nothing that another API would need: any number of them run side by side.
#[derive(Debug)]
pub struct App {
    pub database: Database,
    pub batcher: Batcher,
    /// For bodies of requests and answers.
    pub memory: Memory,
    /// Whether queues have room for more messages.
    pub backlogs: Backlogs,
    pub waker: Waker,
    pub drain: Drain,
    pub auth: Auth,
    /// What GraphQL's subscriptions are told.
    pub changes: Changes,
    /// GraphQL's.
    pub schema: Schema,
    /// The largest request body, and the largest message of a batch, in bytes.
    pub max_body_bytes: usize,
    /// The largest request body of a batch, in bytes.
    pub max_batch_bytes: usize,
    /// What secrets and credentials are sealed with; `None`: there can be none.
    pub secrets: Option<Keys>,
    /// Places for test deliveries.
    pub tests: Semaphore,
    /// How ids are written.
    pub ids: IdStyle,
    pub metrics: ApiMetrics,
    pub traces: Traces,
    /// Where callbacks may go.
    pub egress: Egress,
}

impl App {
    /// Records an administrative change that has been made. Messages are no such thing.
    ///
    /// A failure is logged and changes nothing: what was done is done.
    pub async fn audit(&self, caller: &Caller, entity: Entity, action: &str, ids: &[i64], fields: Option<Vec<String>>) {
        if entity == Entity::Message {
            return;
        }
        let entry = |id: &i64| Entry {
            actor: caller.actor().to_owned(),
            action: format!("{entity}.{action}"),
            entity: entity.name(),
            entity_id: Some(*id),
            detail: fields.as_ref().map(|fields| json!({"fields": fields})),
        };
        let entries: Vec<Entry> = ids.iter().map(entry).collect();
        let recorded = self.database.write(move |conn| {
            async move {
                for entry in &entries {
                    record(conn, entry).await?;
                }
                Ok(())
            }
            .boxed()
        });
        if let Err(error) = recorded.await {
            tracing::error!(%error, %entity, action, "a change is missing in the audit log");
        }
    }
}
