UPDATE posthaste.schema_info SET version = 3;
DROP TABLE posthaste.queue_credentials, posthaste.queue_secrets;
DROP FUNCTION posthaste.revise_queue_of_secret();
