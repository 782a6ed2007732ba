-- Who goes next: limits, ordering keys, priorities, and what deliverers say about how it stands.
--
-- Columns may be null or have constant defaults, so nothing is rewritten. The reading order of `pending` is built anew and locks
-- writers out meanwhile (a second for a million waiting messages). A deliverer of the version before reads more slowly from then on:
-- replace them soon.

-- Queues ---------------------------------------------------------------------------------------------------------------

ALTER TABLE posthaste.queues
    -- When its messages were last gathered in one shard, because it was given a limit. Deliverers look for it, tell what they are
    -- still sending from other shards, and its owner waits a moment for that.
    ADD COLUMN gathered_at timestamptz;
CREATE INDEX queues_gathered_at ON posthaste.queues (gathered_at) WHERE gathered_at IS NOT NULL;

-- Up to when a queue's rate counts as used. Its owner stores that ahead of what it starts, so that a successor starts nothing twice.
CREATE TABLE posthaste.rate_reservations (
    queue_id bigint PRIMARY KEY,
    until timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- Messages -------------------------------------------------------------------------------------------------------------

-- Of what is due in a queue, the highest goes first. NULL: 0.
ALTER TABLE posthaste.messages ADD COLUMN priority smallint CHECK (priority BETWEEN -9 AND 9);
ALTER TABLE posthaste.pending ADD COLUMN priority smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN -9 AND 9);

-- The owner's reading order; see the first migration for the expression.
DROP INDEX posthaste.pending_reading_order;
CREATE INDEX pending_reading_order ON posthaste.pending (shard, queue_id, priority, due_at, (message_id + 0));
-- What is held, because its shard was handed over while it was being sent, or because its queue is limited or it has an ordering key:
-- for a new owner, and for others of its key.
CREATE INDEX pending_held ON posthaste.pending (shard, held_until) WHERE held_until IS NOT NULL;
CREATE INDEX pending_held_keys ON posthaste.pending (queue_id, key_hash, held_until) WHERE held_until IS NOT NULL;

-- How it stands ----------------------------------------------------------------------------------------------------------

-- What each worker of each deliverer says once a second about the queues that it delivers. Worth nothing after a crash.
CREATE UNLOGGED TABLE posthaste.flow_reports (
    -- Drawn by each process when it starts.
    instance bigint NOT NULL,
    worker integer NOT NULL,
    deliverer text NOT NULL,
    reported_at timestamptz NOT NULL,
    queue_ids bigint[] NOT NULL,
    in_flight integer[] NOT NULL,
    windows integer[] NOT NULL,
    allowed integer[] NOT NULL,
    breakers text[] NOT NULL,
    PRIMARY KEY (instance, worker)
) WITH (fillfactor = 50);

-- The SQL outbox -------------------------------------------------------------------------------------------------------

-- As before, and: `priority`, from -9 to 9. Both functions exist twice until the grants have moved.
CREATE FUNCTION posthaste.enqueue(
    queue bigint,
    body text DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    at timestamptz DEFAULT NULL,
    ordering_key text DEFAULT NULL,
    body_binary bytea DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL,
    timeout_ms integer DEFAULT NULL,
    traceparent text DEFAULT NULL,
    priority integer DEFAULT 0
) RETURNS bigint LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    spread integer;
    key_hash bigint := hashtextextended(enqueue.ordering_key, 0);
    due timestamptz := coalesce(enqueue.at, clock_timestamp());
    id bigint;
BEGIN
    SELECT q.spread INTO spread FROM posthaste.queues q WHERE q.id = enqueue.queue;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'posthaste: there is no queue with id %', enqueue.queue USING ERRCODE = '42704';
    END IF;
    IF enqueue.body IS NOT NULL AND enqueue.body_binary IS NOT NULL THEN
        RAISE EXCEPTION 'posthaste: give body or body_binary, not both' USING ERRCODE = '22023';
    END IF;
    IF NOT isfinite(due) THEN
        RAISE EXCEPTION 'posthaste: at must be a finite time' USING ERRCODE = '22023';
    END IF;
    IF NOT isfinite(enqueue.expires_at) OR enqueue.expires_at <= greatest(due, clock_timestamp()) THEN
        RAISE EXCEPTION 'posthaste: expires_at must be a finite time, later than at and than now' USING ERRCODE = '22023';
    END IF;
    IF enqueue.timeout_ms NOT BETWEEN 1 AND 900000 THEN
        RAISE EXCEPTION 'posthaste: timeout_ms must be from 1 to 900000' USING ERRCODE = '22023';
    END IF;
    IF enqueue.priority IS NULL OR enqueue.priority NOT BETWEEN -9 AND 9 THEN
        RAISE EXCEPTION 'posthaste: priority must be from -9 to 9' USING ERRCODE = '22023';
    END IF;
    IF char_length(enqueue.ordering_key) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'posthaste: ordering_key must have 1 to 255 characters' USING ERRCODE = '22023';
    END IF;
    IF enqueue.traceparent !~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$' OR enqueue.traceparent ~ '^00-(0{32}-|[0-9a-f]{32}-0{16}-)' THEN
        RAISE EXCEPTION 'posthaste: traceparent must be one of W3C Trace Context, version 00' USING ERRCODE = '22023';
    END IF;
    IF enqueue.headers IS NOT NULL THEN
        IF jsonb_typeof(enqueue.headers) <> 'object' THEN
            RAISE EXCEPTION 'posthaste: headers must be a JSON object' USING ERRCODE = '22023';
        END IF;
        IF EXISTS (
            SELECT FROM jsonb_each(enqueue.headers) h
            WHERE h.key !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]+$'
               OR jsonb_typeof(h.value) NOT IN ('string', 'number', 'boolean')
               OR h.value #>> '{}' ~ '[\x01-\x08\x0a-\x1f\x7f]'
        ) THEN
            RAISE EXCEPTION 'posthaste: headers must map header names to strings, numbers or booleans' USING ERRCODE = '22023';
        END IF;
        IF EXISTS (
            SELECT FROM jsonb_object_keys(enqueue.headers) AS h(key)
            WHERE lower(h.key) LIKE 'posthaste-%' OR lower(h.key) IN (
                'webhook-id', 'webhook-signature', 'webhook-timestamp', 'connection', 'content-length', 'expect',
                'http2-settings', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te',
                'trailer', 'transfer-encoding', 'upgrade')
        ) THEN
            RAISE EXCEPTION 'posthaste: headers must not have names that only Posthaste or the connection sets, such as webhook-id'
                USING ERRCODE = '22023';
        END IF;
    END IF;
    id := nextval('posthaste.message_ids');
    IF id >= (SELECT max(p.end_id) FROM posthaste.partitions p) THEN
        PERFORM posthaste.ensure_partitions();
    END IF;
    INSERT INTO posthaste.messages (id, queue_id, body, body_binary, headers, scheduled_at, ordering_key, expires_at,
                                    timeout_ms, traceparent, priority)
    VALUES (id, enqueue.queue, enqueue.body, enqueue.body_binary, enqueue.headers, due, enqueue.ordering_key, enqueue.expires_at,
            enqueue.timeout_ms, enqueue.traceparent, nullif(enqueue.priority, 0));
    INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at, key_hash, priority)
    VALUES (id, enqueue.queue, posthaste.shard_of(enqueue.queue, id, key_hash, spread), due, key_hash, enqueue.priority);
    RETURN id;
END
$$;

CREATE FUNCTION posthaste.enqueue(
    queue text,
    body text DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    at timestamptz DEFAULT NULL,
    ordering_key text DEFAULT NULL,
    body_binary bytea DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL,
    timeout_ms integer DEFAULT NULL,
    traceparent text DEFAULT NULL,
    priority integer DEFAULT 0
) RETURNS bigint LANGUAGE plpgsql
AS $$
DECLARE
    ids bigint[];
BEGIN
    SELECT array_agg(q.id) INTO ids FROM posthaste.queues q WHERE q.name = enqueue.queue;
    IF ids IS NULL THEN
        RAISE EXCEPTION 'posthaste: there is no queue named %', quote_literal(enqueue.queue) USING ERRCODE = '42704';
    ELSIF cardinality(ids) > 1 THEN
        RAISE EXCEPTION 'posthaste: % queues are named %; use the id', cardinality(ids), quote_literal(enqueue.queue)
            USING ERRCODE = '42P09';
    END IF;
    RETURN posthaste.enqueue(ids[1], enqueue.body, enqueue.headers, enqueue.at, enqueue.ordering_key, enqueue.body_binary,
                             enqueue.expires_at, enqueue.timeout_ms, enqueue.traceparent, enqueue.priority);
END
$$;

-- Who could call them still can, and nobody else.
DO $$
DECLARE
    queue text;
    granted record;
BEGIN
    FOREACH queue IN ARRAY ARRAY['bigint', 'text'] LOOP
        FOR granted IN
            SELECT a.grantee, a.is_grantable
              FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
             WHERE p.oid = format('posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea, timestamptz, integer, text)', queue)::regprocedure AND a.grantee NOT IN (0, p.proowner)
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea, timestamptz, integer, text, integer) TO %s%s', queue,
                           granted.grantee::regrole, CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
        END LOOP;
        -- Without a list of grants everybody may.
        IF EXISTS (
            SELECT FROM pg_proc p
             WHERE p.oid = format('posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea, timestamptz, integer, text)', queue)::regprocedure AND p.proacl IS NOT NULL
               AND NOT EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0)
        ) THEN
            EXECUTE format('REVOKE EXECUTE ON FUNCTION posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea, timestamptz, integer, text, integer) FROM PUBLIC', queue);
        END IF;
        EXECUTE format('DROP FUNCTION posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea, timestamptz, integer, text)', queue);
    END LOOP;
END
$$;

UPDATE posthaste.schema_info SET version = 7;
