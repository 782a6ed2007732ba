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

UPDATE posthaste.schema_info SET version = 3;
