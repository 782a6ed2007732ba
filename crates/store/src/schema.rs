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
        max_age_seconds -> BigInt,
        retry_kind -> Nullable<Text>,
        retry_initial_ms -> BigInt,
        retry_multiplier -> Double,
        retry_max_ms -> BigInt,
        retry_schedule_ms -> Nullable<Array<BigInt>>,
        retry_jitter -> Double,
        final_statuses -> Nullable<Array<Text>>,
        connect_timeout_ms -> Nullable<Integer>,
        timeout_ms -> Nullable<Integer>,
        dead_letter_expired -> Bool,
        max_concurrency -> Nullable<Integer>,
        rate_per_second -> Nullable<Double>,
        rate_burst -> Nullable<Integer>,
        max_backlog -> Nullable<Integer>,
        event_queue_id -> Nullable<BigInt>,
        spread -> Integer,
        gathered_at -> Nullable<Timestamptz>,
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
        schedule -> Nullable<Text>,
        time_zone -> Text,
        body -> Nullable<Text>,
        headers -> Nullable<Jsonb>,
        paused_at -> Nullable<Timestamptz>,
        next_fire_at -> Nullable<Timestamptz>,
        next_message_id -> Nullable<BigInt>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        every_us -> Nullable<BigInt>,
        at -> Nullable<Timestamptz>,
        start_at -> Nullable<Timestamptz>,
        end_at -> Nullable<Timestamptz>,
        jitter_us -> BigInt,
        method -> Nullable<Text>,
        missed -> Text,
        tolerance_us -> BigInt,
        overlap -> Text,
        resumed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Keys that applications use the API with.
    posthaste.api_keys (id) {
        id -> BigInt,
        name -> Text,
        hash -> Bytea,
        prefix -> Text,
        scopes -> Array<Text>,
        queue_ids -> Nullable<Array<BigInt>>,
        rate_limit -> Nullable<Integer>,
        expires_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        last_used_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// Who changed what.
    posthaste.audit_log (id) {
        id -> BigInt,
        at -> Timestamptz,
        actor -> Text,
        action -> Text,
        entity -> Text,
        entity_id -> Nullable<BigInt>,
        detail -> Nullable<Jsonb>,
    }
}

diesel::joinable!(crons -> queues (queue_id));
diesel::allow_tables_to_appear_in_same_query!(queues, crons);
