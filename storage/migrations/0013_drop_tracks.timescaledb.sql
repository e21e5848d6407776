-- TimescaleDB: a day's tracks go with its chunk.

-- Drops what is oldest before `until`; how many rows, null: nothing is left. It raises where something still wants them
-- (55000).
CREATE FUNCTION drop_tracks(until timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    oldest record;
    n      bigint;
    wanted text;
BEGIN
    SELECT format('%I.%I', chunk_schema, chunk_name) AS name, range_start, range_end INTO oldest
        FROM timescaledb_information.chunks
        WHERE hypertable_schema = current_schema AND hypertable_name = 'position' AND range_end <= until
        ORDER BY range_end LIMIT 1;
    IF oldest IS NULL THEN
        RETURN NULL;
    END IF;
    wanted := tracks_wanted(oldest.range_end);
    IF wanted IS NOT NULL THEN
        RAISE EXCEPTION 'tracks before % are kept: %', oldest.range_end, wanted
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    EXECUTE format('LOCK TABLE %s IN SHARE MODE', oldest.name);
    EXECUTE format('SELECT count(*) FROM %s', oldest.name) INTO n;
    PERFORM drop_chunks('position', older_than => oldest.range_end, newer_than => oldest.range_start);
    PERFORM count_dropped('position', n, oldest.range_end);
    RETURN n;
END $$;
REVOKE EXECUTE ON FUNCTION drop_tracks FROM PUBLIC;
