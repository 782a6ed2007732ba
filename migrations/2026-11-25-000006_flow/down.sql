UPDATE posthaste.schema_info SET version = 6;
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
             WHERE p.oid = format('posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea, timestamptz, integer, text, integer)', queue)::regprocedure AND a.grantee NOT IN (0, p.proowner)
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea, timestamptz, integer, text) TO %s%s', queue,
                           granted.grantee::regrole, CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
        END LOOP;
        -- Without a list of grants everybody may.
        IF EXISTS (
            SELECT FROM pg_proc p
             WHERE p.oid = format('posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea, timestamptz, integer, text, integer)', queue)::regprocedure AND p.proacl IS NOT NULL
               AND NOT EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0)
        ) THEN
            EXECUTE format('REVOKE EXECUTE ON FUNCTION posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea, timestamptz, integer, text) FROM PUBLIC', queue);
        END IF;
        EXECUTE format('DROP FUNCTION posthaste.enqueue(%s, text, jsonb, timestamptz, text, bytea, timestamptz, integer, text, integer)', queue);
    END LOOP;
END
$$;

DROP TABLE posthaste.flow_reports;
DROP INDEX posthaste.pending_held, posthaste.pending_held_keys, posthaste.pending_reading_order;
ALTER TABLE posthaste.pending DROP COLUMN priority;
CREATE INDEX pending_reading_order ON posthaste.pending (shard, queue_id, due_at, (message_id + 0));
ALTER TABLE posthaste.messages DROP COLUMN priority;
DROP TABLE posthaste.rate_reservations;
ALTER TABLE posthaste.queues DROP COLUMN gathered_at;
