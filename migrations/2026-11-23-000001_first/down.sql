-- Everything but the migration runner's own table goes; the schema itself stays, as it was there before.
DROP FUNCTION posthaste.enqueue(text, text, jsonb, timestamptz, text, bytea);
DROP FUNCTION posthaste.enqueue(bigint, text, jsonb, timestamptz, text, bytea);
DROP FUNCTION posthaste.ensure_partitions(integer, bigint);
DROP TABLE posthaste.partitions;
DROP TABLE posthaste.shard_floors;
DROP TABLE posthaste.shards;
DROP TABLE posthaste.attempts;
DROP TABLE posthaste.pending;
DROP TABLE posthaste.messages;
DROP TABLE posthaste.cron_ticks;
DROP TABLE posthaste.crons;
DROP TABLE posthaste.queues;
DROP FUNCTION posthaste.shard_of(bigint, bigint, bigint, integer);
DROP FUNCTION posthaste.shards();
DROP TABLE posthaste.schema_info;
