UPDATE posthaste.schema_info SET version = 7;
DROP TABLE posthaste.jobs;
DROP TABLE posthaste.subscriptions;
DROP TABLE posthaste.breaker_events;
DROP FUNCTION posthaste.emit_event(bigint, text, jsonb);
ALTER TABLE posthaste.messages DROP COLUMN origin, DROP COLUMN replay_of, DROP COLUMN event_type;
ALTER TABLE posthaste.queues DROP COLUMN event_queue_id, DROP COLUMN max_backlog;
