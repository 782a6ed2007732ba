-- Crons that say what becomes of missed and overlapping ticks, fire at a distance or once, and tell what became of each tick.
--
-- Columns have constant defaults, so nothing is rewritten; crons and their ticks are small tables.

-- Crons ----------------------------------------------------------------------------------------------------------------

ALTER TABLE posthaste.crons
    ALTER COLUMN schedule DROP NOT NULL,
    -- Instead of a schedule: a distance in microseconds, or one time.
    ADD COLUMN every_us bigint CHECK (every_us >= 1000000),
    ADD COLUMN at timestamptz,
    ADD COLUMN start_at timestamptz,
    ADD COLUMN end_at timestamptz,
    -- By how much a tick's message may be due later than the tick.
    ADD COLUMN jitter_us bigint NOT NULL DEFAULT 0 CHECK (jitter_us BETWEEN 0 AND 86400000000),
    -- NULL: the queue's.
    ADD COLUMN method text CHECK (char_length(method) BETWEEN 1 AND 32),
    ADD COLUMN missed text NOT NULL DEFAULT 'one' CHECK (missed IN ('skip', 'one', 'all')),
    ADD COLUMN tolerance_us bigint NOT NULL DEFAULT 86400000000 CHECK (tolerance_us >= 0),
    ADD COLUMN overlap text NOT NULL DEFAULT 'allow' CHECK (overlap IN ('allow', 'skip')),
    -- The number of the last tick whose message is stored.
    ADD COLUMN firings bigint NOT NULL DEFAULT 0,
    -- The message of the last firing that has come.
    ADD COLUMN last_message_id bigint,
    ADD COLUMN resumed_at timestamptz,
    -- A tick's message may be stored when the tick comes, and not ahead.
    DROP CONSTRAINT crons_tick_has_message,
    ADD CONSTRAINT crons_message_has_tick CHECK (next_message_id IS NULL OR next_fire_at IS NOT NULL),
    ADD CONSTRAINT crons_one_timing CHECK (num_nonnulls(schedule, every_us, at) = 1);

-- A scheduler looks for what is due; what is paused must not be in its way.
DROP INDEX posthaste.crons_next_fire_at;
CREATE INDEX crons_next_fire_at ON posthaste.crons (next_fire_at) WHERE next_fire_at IS NOT NULL AND paused_at IS NULL;

-- Ticks ----------------------------------------------------------------------------------------------------------------

ALTER TABLE posthaste.cron_ticks
    -- NULL: skipped.
    ALTER COLUMN message_id DROP NOT NULL,
    ADD COLUMN outcome text NOT NULL DEFAULT 'fired' CHECK (outcome IN ('fired', 'caught_up', 'triggered', 'skipped')),
    -- Why it was skipped.
    ADD COLUMN reason text CHECK (reason IN ('missed', 'paused', 'overlap')),
    ADD COLUMN number bigint,
    -- Of ticks that were skipped together: the last, and how many; NULL: too many to be counted.
    ADD COLUMN until timestamptz,
    ADD COLUMN count integer,
    ADD CONSTRAINT cron_ticks_skipped CHECK ((outcome = 'skipped') = (message_id IS NULL)),
    ADD CONSTRAINT cron_ticks_reason CHECK ((outcome = 'skipped') = (reason IS NOT NULL));

-- How old a row is; see retention.
DROP INDEX posthaste.cron_ticks_tick;
CREATE INDEX cron_ticks_last ON posthaste.cron_ticks ((coalesce(until, tick)));

-- Messages -------------------------------------------------------------------------------------------------------------

ALTER TABLE posthaste.messages
    -- NULL: the queue's.
    ADD COLUMN method text;

-- A cron's headers for one of its ticks. Neither a time nor a number has a character that JSON would have to escape.
CREATE FUNCTION posthaste.cron_headers(headers jsonb, tick timestamptz, number bigint) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN headers::text LIKE '%{{%' THEN
        replace(replace(headers::text,
            '{{scheduledTime}}', to_char(tick AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')),
            '{{tick}}', coalesce(number::text, 'manual'))::jsonb
    ELSE headers END
$$;

-- Events tell the time as everything else does.
CREATE OR REPLACE FUNCTION posthaste.emit_event(queue bigint, type text, data jsonb) RETURNS bigint LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    target record;
    id bigint;
BEGIN
    SELECT e.id, e.spread, q.name INTO target
      FROM posthaste.queues q JOIN posthaste.queues e ON e.id = q.event_queue_id
     WHERE q.id = emit_event.queue;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    id := nextval('posthaste.message_ids');
    IF id >= (SELECT max(p.end_id) FROM posthaste.partitions p) THEN
        PERFORM posthaste.ensure_partitions();
    END IF;
    INSERT INTO posthaste.messages (id, queue_id, body, headers, scheduled_at, event_type)
    VALUES (id, target.id,
            jsonb_build_object('type', emit_event.type,
                'timestamp', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                'data', jsonb_build_object('queueId', emit_event.queue::text, 'queueName', target.name) || emit_event.data)::text,
            '{"content-type": "application/json"}', clock_timestamp(), emit_event.type);
    INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at)
    VALUES (id, target.id, posthaste.shard_of(target.id, id, NULL, target.spread), clock_timestamp());
    RETURN id;
END
$$;

UPDATE posthaste.schema_info SET version = 9;
