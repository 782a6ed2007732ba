-- What the whole HTTP contract needs: indexes for every list that a person asks for, message lifetimes, idempotency keys,
-- cheap counts, API keys, an audit log, and what subscriptions are told of deletions.
--
-- Indexes of messages and attempts are built here and lock writers out meanwhile, so on a database that has many messages
-- already, migrate in a quiet hour.

-- Queues and crons ---------------------------------------------------------------------------------------------------

-- What has changed since, for subscriptions.
CREATE INDEX queues_updated_at ON posthaste.queues (updated_at);
CREATE INDEX crons_updated_at ON posthaste.crons (updated_at);
-- The few that the deliverers must not start. Only this index has its order, so that no other can be read for them.
CREATE INDEX queues_paused ON posthaste.queues (paused_at, id) WHERE paused_at IS NOT NULL;

-- Messages -----------------------------------------------------------------------------------------------------------

-- From here on it is not sent but recorded as expired. NULL: the queue's maximum age alone counts.
ALTER TABLE posthaste.messages ADD COLUMN expires_at timestamptz;
CREATE INDEX messages_queue ON posthaste.messages (queue_id, id);
CREATE INDEX messages_queue_created_at ON posthaste.messages (queue_id, created_at, id);
CREATE INDEX messages_cron ON posthaste.messages (cron_id, id) WHERE cron_id IS NOT NULL;
CREATE INDEX messages_created_at ON posthaste.messages (created_at, id);
CREATE INDEX messages_scheduled_at ON posthaste.messages (scheduled_at, id);

-- What is pending of a queue, by id. The id is an expression as in the reading order, and for the same reason.
CREATE INDEX pending_queue ON posthaste.pending (queue_id, (message_id + 0));
-- What is retrying: few, and only a retry has to write to it.
CREATE INDEX pending_retrying ON posthaste.pending ((message_id + 0)) WHERE attempt > 0;
-- What is due next.
CREATE INDEX pending_due ON posthaste.pending (due_at, (message_id + 0));

-- Attempts -----------------------------------------------------------------------------------------------------------

-- The message's queue, so that what failed in a queue is found without its messages. NULL only in what a deliverer of the
-- version before records after this.
ALTER TABLE posthaste.attempts ADD COLUMN queue_id bigint;
UPDATE posthaste.attempts a SET queue_id = m.queue_id FROM posthaste.messages m WHERE m.id = a.message_id;
DROP INDEX posthaste.attempts_failed, posthaste.attempts_finished;
-- What ended how, by when. A list reads each outcome for itself.
CREATE INDEX attempts_finished ON posthaste.attempts (outcome, finished_at, message_id) WHERE outcome <> 'retried';
CREATE INDEX attempts_finished_of_queue ON posthaste.attempts (queue_id, outcome, finished_at, message_id)
    WHERE outcome <> 'retried';
-- What was not delivered, and what was retried, by id: few, so that the many cost nothing.
CREATE INDEX attempts_undelivered ON posthaste.attempts (outcome, message_id)
    WHERE outcome IN ('failed', 'cancelled', 'expired');
CREATE INDEX attempts_undelivered_of_queue ON posthaste.attempts (queue_id, outcome, message_id)
    WHERE outcome IN ('failed', 'cancelled', 'expired');
CREATE INDEX attempts_retried ON posthaste.attempts (outcome, message_id) WHERE outcome <> 'retried' AND number - 1 > 0;
CREATE INDEX attempts_retried_of_queue ON posthaste.attempts (queue_id, outcome, message_id)
    WHERE outcome <> 'retried' AND number - 1 > 0;

-- Idempotency keys ---------------------------------------------------------------------------------------------------

-- A table of its own: a partitioned one cannot carry the unique constraint that makes "once" a fact.
CREATE TABLE posthaste.idempotency_keys (
    queue_id bigint NOT NULL,
    key text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
    -- SHA-256 over everything that the request asked for.
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    -- What was answered first.
    message_id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    scheduled_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (queue_id, key)
);
CREATE INDEX idempotency_keys_expires_at ON posthaste.idempotency_keys (expires_at);

-- Counts -------------------------------------------------------------------------------------------------------------

-- How many attempts ended how, one row per queue and outcome batch. Rows are only added and, once they are counted in
-- `queue_totals`, deleted: a row that is updated over and over is slow while an old transaction keeps its versions alive.
CREATE TABLE posthaste.outcome_counts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue_id bigint NOT NULL,
    delivered integer NOT NULL,
    failed integer NOT NULL,
    retried integer NOT NULL,
    cancelled integer NOT NULL,
    expired integer NOT NULL,
    dead_lettered integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
        vacuum_truncate = false);

-- The sums over everything that was ever counted.
CREATE TABLE posthaste.queue_totals (
    queue_id bigint PRIMARY KEY,
    delivered bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    retried bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0,
    dead_lettered bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Who may use the API, and who changed what --------------------------------------------------------------------------

CREATE TABLE posthaste.api_keys (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 255),
    -- SHA-256 of the key, which has 256 bits of chance: nothing slower is needed, and nothing else is stored.
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    -- The first characters, by which a person tells keys apart.
    prefix text NOT NULL,
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
    -- The queues that it may touch; NULL: all.
    queue_ids bigint[],
    -- Requests per second and API process; NULL: as many as come.
    rate_limit integer CHECK (rate_limit > 0),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE posthaste.audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    -- Such as `admin`, `key:7`, `user:42`, `anonymous`.
    actor text NOT NULL,
    -- Such as `queue.delete`.
    action text NOT NULL,
    entity text NOT NULL,
    entity_id bigint,
    -- Names of changed fields and the like; never a secret and no body.
    detail jsonb
);
CREATE INDEX audit_log_at ON posthaste.audit_log (at);

-- What subscriptions are told of deletions ---------------------------------------------------------------------------

CREATE TABLE posthaste.deletions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    entity text NOT NULL CHECK (entity IN ('queue', 'message', 'cron')),
    entity_id bigint NOT NULL,
    -- What decides who may hear of it.
    queue_id bigint
);
CREATE INDEX deletions_at ON posthaste.deletions (at);

UPDATE posthaste.schema_info SET version = 2;
