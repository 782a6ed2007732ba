-- The deliverers' own role, with the settings of their sessions: behind PgBouncer these must come with the role (deploy/OPERATIONS.md).
CREATE ROLE posthaste_deliverer LOGIN PASSWORD 'development' IN ROLE posthaste;
ALTER ROLE posthaste_deliverer SET jit = off;
ALTER ROLE posthaste_deliverer SET enable_seqscan = off;
ALTER ROLE posthaste_deliverer SET enable_bitmapscan = off;
ALTER ROLE posthaste_deliverer SET enable_hashjoin = off;
ALTER ROLE posthaste_deliverer SET enable_mergejoin = off;
ALTER ROLE posthaste_deliverer SET enable_sort = off;
ALTER ROLE posthaste_deliverer SET enable_incremental_sort = off;
ALTER ROLE posthaste_deliverer SET max_parallel_workers_per_gather = 0;
ALTER ROLE posthaste_deliverer SET plan_cache_mode = force_generic_plan;
