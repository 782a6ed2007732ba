UPDATE posthaste.schema_info SET version = 2;
ALTER TABLE posthaste.attempts
    DROP COLUMN first_byte_us, DROP COLUMN tls_us, DROP COLUMN connect_us, DROP COLUMN dns_us;
ALTER TABLE posthaste.messages
    DROP COLUMN tracestate, DROP COLUMN traceparent, DROP COLUMN timeout_ms, DROP COLUMN connect_timeout_ms;
DROP TRIGGER revise ON posthaste.queues;
DROP FUNCTION posthaste.revise_queue();
-- What the version before cannot hold becomes the longest that it can.
UPDATE posthaste.queues
   SET retry_initial_ms = least(retry_initial_ms, 86400000), retry_max_ms = least(retry_max_ms, 86400000);
ALTER TABLE posthaste.queues
    DROP CONSTRAINT queues_retry_initial_ms_check,
    DROP CONSTRAINT queues_retry_max_ms_check,
    ADD CONSTRAINT queues_retry_initial_ms_check CHECK (retry_initial_ms BETWEEN 1 AND 86400000),
    ADD CONSTRAINT queues_retry_max_ms_check CHECK (retry_max_ms BETWEEN 1 AND 86400000),
    DROP CONSTRAINT queues_schedule_has_waits,
    DROP COLUMN dead_letter_expired, DROP COLUMN timeout_ms, DROP COLUMN connect_timeout_ms, DROP COLUMN final_statuses,
    DROP COLUMN retry_jitter, DROP COLUMN retry_schedule_ms, DROP COLUMN retry_kind, DROP COLUMN revision;
DROP SEQUENCE posthaste.queue_revisions;
