-- How a delivery is made: retry policies, timeouts, the trace that it belongs to, and a log of how its time was spent.
--
-- Every new column may be null or has a constant default, so nothing is rewritten and no writer waits for more than a moment.

-- Queues ---------------------------------------------------------------------------------------------------------------

-- Changes with every change of a queue, and with every change of what belongs to it. A deliverer reads a queue's settings once
-- and again when this differs. A sequence, so that no two states of any queue share one.
CREATE SEQUENCE posthaste.queue_revisions AS bigint CACHE 1;

ALTER TABLE posthaste.queues
    -- Its default is set below: as part of this statement it would rewrite the table.
    ADD COLUMN revision bigint NOT NULL DEFAULT 0,
    -- How the waits between attempts follow one another; NULL: as the deployment says (RETRY_POLICY).
    --   exponential: retry_initial_ms * retry_multiplier ^ n, at most retry_max_ms
    --   linear:      retry_initial_ms * (n + 1), at most retry_max_ms
    --   fixed:       retry_initial_ms
    --   schedule:    retry_schedule_ms[n], the last one again and again
    ADD COLUMN retry_kind text CHECK (retry_kind IN ('exponential', 'linear', 'fixed', 'schedule')),
    ADD COLUMN retry_schedule_ms bigint[]
        CHECK (cardinality(retry_schedule_ms) BETWEEN 1 AND 100 AND 1 <= ALL (retry_schedule_ms)
               AND 604800000 >= ALL (retry_schedule_ms)),
    -- By which part of itself a wait may be longer or shorter.
    ADD COLUMN retry_jitter double precision NOT NULL DEFAULT 0 CHECK (retry_jitter BETWEEN 0 AND 1),
    -- Answers after which there is no retry, such as {404,4xx}.
    ADD COLUMN final_statuses text[] CHECK (cardinality(final_statuses) <= 50),
    -- NULL: as the deployment says (CONNECT_TIMEOUT_MS, TIMEOUT_MS).
    ADD COLUMN connect_timeout_ms integer CHECK (connect_timeout_ms BETWEEN 1 AND 60000),
    ADD COLUMN timeout_ms integer CHECK (timeout_ms BETWEEN 1 AND 900000),
    -- Whether messages that expire go to the dead letter queue, too.
    ADD COLUMN dead_letter_expired boolean NOT NULL DEFAULT true,
    ADD CONSTRAINT queues_schedule_has_waits CHECK (retry_kind <> 'schedule' OR retry_schedule_ms IS NOT NULL),
    DROP CONSTRAINT queues_retry_initial_ms_check,
    DROP CONSTRAINT queues_retry_max_ms_check,
    ADD CONSTRAINT queues_retry_initial_ms_check CHECK (retry_initial_ms BETWEEN 1 AND 604800000),
    ADD CONSTRAINT queues_retry_max_ms_check CHECK (retry_max_ms BETWEEN 1 AND 604800000);
ALTER TABLE posthaste.queues ALTER COLUMN revision SET DEFAULT nextval('posthaste.queue_revisions');
-- Waits that somebody has set by SQL stay what they are.
UPDATE posthaste.queues
   SET retry_kind = 'exponential', revision = nextval('posthaste.queue_revisions')
 WHERE (retry_initial_ms, retry_multiplier, retry_max_ms) <> (100, 2, 86400000);
UPDATE posthaste.queues SET revision = nextval('posthaste.queue_revisions') WHERE revision = 0;

CREATE FUNCTION posthaste.revise_queue() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    NEW.revision := nextval('posthaste.queue_revisions');
    RETURN NEW;
END
$$;
CREATE TRIGGER revise BEFORE UPDATE ON posthaste.queues FOR EACH ROW EXECUTE FUNCTION posthaste.revise_queue();

-- Messages -------------------------------------------------------------------------------------------------------------

ALTER TABLE posthaste.messages
    -- NULL: as the queue says.
    ADD COLUMN connect_timeout_ms integer CHECK (connect_timeout_ms BETWEEN 1 AND 60000),
    ADD COLUMN timeout_ms integer CHECK (timeout_ms BETWEEN 1 AND 900000),
    -- The trace that the request belonged to that stored it (W3C Trace Context), to be carried on to the receiver.
    ADD COLUMN traceparent text CHECK (char_length(traceparent) <= 128),
    ADD COLUMN tracestate text CHECK (char_length(tracestate) <= 512);

-- Attempts -------------------------------------------------------------------------------------------------------------

-- How the time of an attempt was spent, in microseconds; NULL for what did not happen. The connection is one that was open
-- already where dns_us, connect_us and tls_us are NULL.
ALTER TABLE posthaste.attempts
    ADD COLUMN dns_us integer CHECK (dns_us >= 0),
    ADD COLUMN connect_us integer CHECK (connect_us >= 0),
    ADD COLUMN tls_us integer CHECK (tls_us >= 0),
    -- From the start of the attempt to the end of the answer's head.
    ADD COLUMN first_byte_us integer CHECK (first_byte_us >= 0);

-- The SQL outbox -------------------------------------------------------------------------------------------------------

-- As before, and: `expires_at`, from when on it is not sent any more; `timeout_ms`, how long an attempt may take; `traceparent`,
-- the trace that it belongs to. Raises `invalid_parameter_value` (22023) for what the API would refuse, also for headers that
-- only Posthaste or the connection sets. Both functions exist twice until the grants have moved.
CREATE FUNCTION posthaste.enqueue(
    queue bigint,
    body text DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    at timestamptz DEFAULT NULL,
    ordering_key text DEFAULT NULL,
    body_binary bytea DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL,
    timeout_ms integer DEFAULT NULL,
    traceparent text DEFAULT NULL
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
                                    timeout_ms, traceparent)
    VALUES (id, enqueue.queue, enqueue.body, enqueue.body_binary, enqueue.headers, due, enqueue.ordering_key, enqueue.expires_at,
            enqueue.timeout_ms, enqueue.traceparent);
    INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at, key_hash)
    VALUES (id, enqueue.queue, posthaste.shard_of(enqueue.queue, id, key_hash, spread), due, key_hash);
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
    traceparent text DEFAULT NULL
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
                             enqueue.expires_at, enqueue.timeout_ms, enqueue.traceparent);
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
             WHERE p.oid = format('posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea)', queue)::regprocedure AND a.grantee NOT IN (0, p.proowner)
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea, timestamptz, integer, text) TO %s%s', queue,
                           granted.grantee::regrole, CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
        END LOOP;
        -- Without a list of grants everybody may.
        IF EXISTS (
            SELECT FROM pg_proc p
             WHERE p.oid = format('posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea)', queue)::regprocedure AND p.proacl IS NOT NULL
               AND NOT EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0)
        ) THEN
            EXECUTE format('REVOKE EXECUTE ON FUNCTION posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea, timestamptz, integer, text) FROM PUBLIC', queue);
        END IF;
        EXECUTE format('DROP FUNCTION posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea)', queue);
    END LOOP;
END
$$;

UPDATE posthaste.schema_info SET version = 3;
