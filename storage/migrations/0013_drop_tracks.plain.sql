-- Plain PostgreSQL: a day's tracks go with its partition; of what is in the default one at most 10,000 rows a call.

-- Drops what is oldest before `until` (midnight UTC); how many rows, null: nothing is left. It raises where something still
-- wants them (55000). Inserts into that day wait while it counts, everybody else for a moment at its end.
CREATE FUNCTION drop_tracks(until timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    oldest text;
    next   timestamptz;
    n      bigint;
    wanted text;
BEGIN
    SELECT relname INTO oldest FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
        WHERE inhparent = 'position'::regclass AND relname ~ '^position_\d{8}$'
            AND to_date(right(relname, 8), 'YYYYMMDD')::timestamptz < until
        ORDER BY relname LIMIT 1;
    next := CASE WHEN oldest IS NULL THEN until ELSE least(until, to_date(right(oldest, 8), 'YYYYMMDD') + 1) END;
    IF oldest IS NULL AND NOT EXISTS (SELECT FROM position_default WHERE time < until) THEN
        RETURN NULL;
    END IF;
    wanted := tracks_wanted(next);
    IF wanted IS NOT NULL THEN
        RAISE EXCEPTION 'tracks before % are kept: %', next, wanted USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF oldest IS NULL THEN
        DELETE FROM position_default WHERE ctid IN (SELECT ctid FROM position_default WHERE time < until LIMIT 10000);
        GET DIAGNOSTICS n = ROW_COUNT;
    ELSE
        EXECUTE format('LOCK TABLE %I IN SHARE MODE', oldest);
        EXECUTE format('SELECT count(*) FROM %I', oldest) INTO n;
        EXECUTE format('DROP TABLE %I', oldest);
    END IF;
    PERFORM count_dropped('position', n, next);
    RETURN n;
END $$;
REVOKE EXECUTE ON FUNCTION drop_tracks FROM PUBLIC;
