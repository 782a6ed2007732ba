UPDATE posthaste.schema_info SET version = 8;
DROP FUNCTION posthaste.cron_headers(jsonb, timestamptz, bigint);
ALTER TABLE posthaste.messages DROP COLUMN method;
DELETE FROM posthaste.cron_ticks WHERE message_id IS NULL;
DROP INDEX posthaste.cron_ticks_last;
ALTER TABLE posthaste.cron_ticks
    DROP COLUMN outcome, DROP COLUMN reason, DROP COLUMN number, DROP COLUMN until, DROP COLUMN count,
    ALTER COLUMN message_id SET NOT NULL;
CREATE INDEX cron_ticks_tick ON posthaste.cron_ticks (tick);
-- What an earlier version cannot read ends, and what it has to store is for it to store.
DELETE FROM posthaste.crons WHERE schedule IS NULL;
UPDATE posthaste.crons SET next_fire_at = NULL WHERE next_message_id IS NULL;
DROP INDEX posthaste.crons_next_fire_at;
ALTER TABLE posthaste.crons
    DROP COLUMN every_us, DROP COLUMN at, DROP COLUMN start_at, DROP COLUMN end_at, DROP COLUMN jitter_us, DROP COLUMN method,
    DROP COLUMN missed, DROP COLUMN tolerance_us, DROP COLUMN overlap, DROP COLUMN firings, DROP COLUMN last_message_id,
    DROP COLUMN resumed_at,
    DROP CONSTRAINT crons_message_has_tick,
    ADD CONSTRAINT crons_tick_has_message CHECK ((next_fire_at IS NULL) = (next_message_id IS NULL)),
    ALTER COLUMN schedule SET NOT NULL;
CREATE INDEX crons_next_fire_at ON posthaste.crons (next_fire_at) WHERE next_fire_at IS NOT NULL;
