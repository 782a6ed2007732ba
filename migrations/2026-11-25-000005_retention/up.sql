-- Retention: partitions are dropped when everything in them is old. One that never fills up must not keep its messages for ever, so
-- after a while the ids go on in the next one.

-- Lets the ids go on in the next partition if the first message of the present one is older than `age`. Returns whether it did.
--
-- Without a lock, which would have to wait for every open transaction that has taken an id, with everybody else behind it: an id
-- that is given between the look and the jump lies before it, unless the rest of the partition were used up in that moment. Where
-- so little is left, the partition fills up by itself. Runs with the rights of the schema's owner, so its argument is bounded.
CREATE FUNCTION posthaste.roll_partition(age interval) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    newest bigint;
    present posthaste.partitions;
    began timestamptz;
BEGIN
    IF age IS NULL OR age < interval '1 hour' THEN
        RAISE EXCEPTION 'posthaste: roll_partition takes an age of an hour or more' USING ERRCODE = '22023';
    END IF;
    SELECT last_value INTO newest FROM posthaste.message_ids;
    SELECT p.* INTO present FROM posthaste.partitions p WHERE p.first_id <= newest AND newest < p.end_id - 100000;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT m.created_at INTO began FROM posthaste.messages m
     WHERE m.id >= present.first_id AND m.id < present.end_id ORDER BY m.id LIMIT 1;
    IF began IS NULL OR began > clock_timestamp() - age
       OR NOT EXISTS (SELECT FROM posthaste.partitions p WHERE p.first_id = present.end_id) THEN
        RETURN false;
    END IF;
    PERFORM setval('posthaste.message_ids', present.end_id, false);
    RETURN true;
END
$$;

UPDATE posthaste.schema_info SET version = 6;
