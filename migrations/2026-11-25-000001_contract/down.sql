UPDATE posthaste.schema_info SET version = 1;
DROP TABLE posthaste.deletions, posthaste.audit_log, posthaste.api_keys, posthaste.queue_totals, posthaste.outcome_counts,
    posthaste.idempotency_keys;
DROP INDEX posthaste.attempts_retried_of_queue, posthaste.attempts_retried, posthaste.attempts_undelivered_of_queue,
    posthaste.attempts_undelivered, posthaste.attempts_finished_of_queue, posthaste.attempts_finished;
CREATE INDEX attempts_finished ON posthaste.attempts (finished_at, message_id) WHERE outcome <> 'retried';
CREATE INDEX attempts_failed ON posthaste.attempts (message_id) WHERE outcome = 'failed';
ALTER TABLE posthaste.attempts DROP COLUMN queue_id;
DROP INDEX posthaste.pending_retrying, posthaste.pending_due, posthaste.pending_queue, posthaste.messages_scheduled_at, posthaste.messages_created_at, posthaste.messages_cron,
    posthaste.messages_queue_created_at, posthaste.messages_queue;
ALTER TABLE posthaste.messages DROP COLUMN expires_at;
DROP INDEX posthaste.queues_paused, posthaste.crons_updated_at, posthaste.queues_updated_at;
