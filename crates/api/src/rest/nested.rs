//! Paths from one entity to another. The original has had two names for lists of messages; both are served.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use posthaste_core::entity::{CronField, MessageField, QueueField};

use super::entities::{children, parent};
use super::routes::{Place, Routes};
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::ops::{Crons, Messages, Queues};

/// Registers the paths.
pub fn register(routes: &mut Routes) {
    macro_rules! nested {
        ($($path:literal => $how:ident::<$from:ty, $to:ty>($field:expr);)*) => {$(
            routes.add(Place::at($path).get(
                async |app: Data<App>, caller: Caller, request: HttpRequest| -> Result<HttpResponse, ApiError> {
                    $how::<$from, $to>(&app, &caller, &request, $field).await
                },
            ));
        )*};
    }
    nested! {
        "/queues/{id}/messages" => children::<Queues, Messages>(MessageField::QueueId);
        "/queues/{id}/messageQueueId" => children::<Queues, Messages>(MessageField::QueueId);
        "/queues/{id}/crons" => children::<Queues, Crons>(CronField::QueueId);
        "/queues/{id}/queues" => children::<Queues, Queues>(QueueField::DeadLetterQueueId);
        "/queues/{id}/dead_letter_queue" => parent::<Queues, Queues>(QueueField::DeadLetterQueueId);
        "/messages/{id}/queue" => parent::<Messages, Queues>(MessageField::QueueId);
        "/messages/{id}/cron" => parent::<Messages, Crons>(MessageField::CronId);
        "/crons/{id}/messages" => children::<Crons, Messages>(MessageField::CronId);
        "/crons/{id}/messageCronId" => children::<Crons, Messages>(MessageField::CronId);
        "/crons/{id}/queue" => parent::<Crons, Queues>(CronField::QueueId);
        "/cron/{id}/messages" => children::<Crons, Messages>(MessageField::CronId);
        "/cron/{id}/queue" => parent::<Crons, Queues>(CronField::QueueId);
    }
}
