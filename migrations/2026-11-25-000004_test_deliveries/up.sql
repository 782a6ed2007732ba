-- Test deliveries: what somebody asks a deliverer to send once, to see what its receiver answers. They are no messages: nothing waits
-- for them, nothing counts them, and they are forgotten soon.

CREATE TABLE posthaste.test_deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue_id bigint NOT NULL,
    body text,
    body_binary bytea,
    headers jsonb CHECK (jsonb_typeof(headers) = 'object'),
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- By a deliverer, which then is the only one to send it.
    taken_at timestamptz,
    deliverer text,
    -- What came of it, as in `attempts`.
    started_at timestamptz,
    finished_at timestamptz,
    status smallint CHECK (status BETWEEN 100 AND 999),
    error_class text CHECK (error_class ~ '^[a-z_]{1,40}$'),
    error text,
    response_headers jsonb,
    response_body bytea,
    dns_us integer CHECK (dns_us >= 0),
    connect_us integer CHECK (connect_us >= 0),
    tls_us integer CHECK (tls_us >= 0),
    first_byte_us integer CHECK (first_byte_us >= 0),
    CONSTRAINT test_deliveries_one_body CHECK (body IS NULL OR body_binary IS NULL),
    CONSTRAINT test_deliveries_taken_by CHECK ((taken_at IS NULL) = (deliverer IS NULL)),
    CONSTRAINT test_deliveries_finished CHECK (finished_at IS NULL OR taken_at IS NOT NULL AND started_at IS NOT NULL)
);
CREATE INDEX test_deliveries_requested_at ON posthaste.test_deliveries (requested_at);

UPDATE posthaste.schema_info SET version = 5;
