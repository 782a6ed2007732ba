UPDATE posthaste.schema_info SET version = 4;
DROP TABLE posthaste.test_deliveries;
