UPDATE posthaste.schema_info SET version = 5;
DROP FUNCTION posthaste.roll_partition(interval);
