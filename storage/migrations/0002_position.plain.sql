-- Plain PostgreSQL: one partition a day (UTC), and a default one for days that none was made for.

-- The table of 0001 is empty: it becomes its own default partition, so that its columns are written down once.
ALTER TABLE position RENAME TO position_default;
ALTER TABLE position_default RENAME CONSTRAINT position_pkey TO position_default_pkey;
CREATE TABLE position (LIKE position_default INCLUDING ALL) PARTITION BY RANGE (time);
ALTER TABLE position ATTACH PARTITION position_default DEFAULT;

-- Makes the missing partitions of [first, last] and returns the days whose rows are in the default partition already:
-- those days stay there. Attaching locks the default partition only; creating in place would lock every reader out.
-- A worker may call it: it runs as the schema's owner.
CREATE FUNCTION ensure_partitions(first date, last date) RETURNS SETOF date
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
    day  date;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(808, -1);
    FOR day IN SELECT generate_series(first, last, interval '1 day')::date LOOP
        name := to_char(day, '"position_"YYYYMMDD');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE TABLE %I (LIKE position INCLUDING ALL)', name);
            EXECUTE format('ALTER TABLE %I ADD CHECK (time >= %L AND time < %L)',
                           name, day::timestamptz, (day + 1)::timestamptz);
            EXECUTE format('ALTER TABLE position ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                           name, day::timestamptz, (day + 1)::timestamptz);
        EXCEPTION WHEN check_violation THEN
            RETURN NEXT day;
        END;
    END LOOP;
END $$;
