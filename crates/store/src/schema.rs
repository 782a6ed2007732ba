//! The tables that are read and written with diesel's query DSL. Those of the hot path are not among them: their
//! statements have a fixed text, see `statement`.

diesel::table! {
    /// Where messages go, and how.
    posthaste.queues (id) {
        id -> BigInt,
        name -> Text,
        callback_url -> Text,
        method -> Text,
        headers -> Nullable<Jsonb>,
        dead_letter_queue_id -> Nullable<BigInt>,
        max_retries -> Nullable<Integer>,
        paused_at -> Nullable<Timestamptz>,
        paused_reason -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// Schedules that put messages in queues.
    posthaste.crons (id) {
        id -> BigInt,
        queue_id -> BigInt,
        schedule -> Text,
        time_zone -> Text,
        body -> Nullable<Text>,
        headers -> Nullable<Jsonb>,
        next_fire_at -> Nullable<Timestamptz>,
        next_message_id -> Nullable<BigInt>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::joinable!(crons -> queues (queue_id));
diesel::allow_tables_to_appear_in_same_query!(queues, crons);
