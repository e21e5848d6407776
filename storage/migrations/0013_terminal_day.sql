-- What is left of tracks when they are gone: one row a terminal and day (Asia/Shanghai), kept by storage/daily.py; how much
-- was dropped of what is kept for a time (storage/retention.py); dead letters that were replayed (storage/dead_letters.py).

CREATE TABLE terminal_day (
    terminal    bigint NOT NULL,
    day         date   NOT NULL,               -- of the device's time, in Asia/Shanghai
    reports     int    NOT NULL,               -- good ones; the next two columns are of these
    first_at    timestamptz,
    last_at     timestamptz,
    moving_s    int    NOT NULL,               -- between reports of at most 5 min apart, where the later one moves (>= 1 km/h)
    quarantined int    NOT NULL,
    PRIMARY KEY (terminal, day)
);
CREATE INDEX terminal_day_day ON terminal_day (day, terminal);

-- Days that a commit added reports to when they were not the day of the moment: to be computed (again). Added to without
-- a look, so that no commit waits for whoever computes.
CREATE TABLE terminal_day_due (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    terminal bigint NOT NULL,
    day      date   NOT NULL
);
INSERT INTO terminal_day_due (terminal, day)
    SELECT DISTINCT terminal, (time AT TIME ZONE 'Asia/Shanghai')::date FROM position;

-- through: all days up to this one are computed, but for those that are due. A worker of the release before notes nothing
-- as due: the last days are computed again.
CREATE TABLE terminal_day_state (one boolean PRIMARY KEY DEFAULT true CHECK (one), through date NOT NULL);
INSERT INTO terminal_day_state (through) VALUES ((now() AT TIME ZONE 'Asia/Shanghai')::date - 3);

-- By kind (position, event, dead_letter, audit): how many rows were dropped for their age so far, up to when.
CREATE TABLE retention (
    kind    text PRIMARY KEY,
    dropped bigint NOT NULL DEFAULT 0,
    before  timestamptz NOT NULL DEFAULT '-infinity',  -- all older ones are gone, but for what came late
    at      timestamptz NOT NULL DEFAULT now()
);
INSERT INTO retention (kind) VALUES ('position'), ('event'), ('dead_letter'), ('audit');

ALTER TABLE dead_letter
    ADD COLUMN at           timestamptz NOT NULL DEFAULT now(),  -- stored; `received` may be unknown
    ADD COLUMN replayed_at  timestamptz,
    ADD COLUMN replayed_by  text,
    ADD COLUMN outcome      text;              -- of the last replay

-- Why the tracks before `until` cannot be dropped yet; null: they can.
CREATE FUNCTION tracks_wanted(until timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM evidence e JOIN visit v ON v.id = e.visit  -- evidence reaches 31 days back at most
                     WHERE e.copied_at IS NULL AND e.due_at IS NOT NULL AND v.entered_at - interval '31 days' < until)
            THEN 'evidence is not copied yet'
        WHEN EXISTS (SELECT FROM terminal_day_state WHERE through < (until AT TIME ZONE 'Asia/Shanghai')::date)
          OR EXISTS (SELECT FROM terminal_day_due d, retention r WHERE r.kind = 'position'
                     AND d.day <= (until AT TIME ZONE 'Asia/Shanghai')::date
                     AND (d.day::timestamp AT TIME ZONE 'Asia/Shanghai') >= r.before)
            THEN 'the daily statistics are not made yet'
    END
$$;

CREATE FUNCTION count_dropped(what text, rows bigint, until timestamptz) RETURNS void LANGUAGE sql AS $$
    UPDATE retention SET dropped = dropped + rows, before = greatest(before, until), at = now() WHERE kind = what
$$;

-- Drops the oldest rows of a table that has ids in the order of time, at most 10,000; how many. Who may call it cannot delete
-- otherwise, and the audit not before three years whatever is asked for (docs/storage.md).
CREATE FUNCTION drop_old_rows(what text, until timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    n bigint;
BEGIN
    IF what = 'event' THEN
        DELETE FROM event WHERE id IN (SELECT id FROM event ORDER BY id LIMIT 10000) AND at < until;
    ELSIF what = 'dead_letter' THEN
        -- What was acknowledged and not stored since stays until it is replayed.
        DELETE FROM dead_letter WHERE id IN (
            SELECT id FROM dead_letter WHERE at < until
            AND (replayed_at IS NOT NULL OR reason NOT IN ('unreadable_batch', 'failed', 'refused'))
            ORDER BY id LIMIT 10000);
    ELSIF what = 'audit' AND until <= now() - interval '1096 days' THEN
        DELETE FROM audit WHERE id IN (SELECT id FROM audit ORDER BY id LIMIT 10000) AND at < until;
    ELSE
        RAISE EXCEPTION '% is kept for longer', what;
    END IF;
    GET DIAGNOSTICS n = ROW_COUNT;
    PERFORM count_dropped(what, n, until);
    RETURN n;
END $$;
REVOKE EXECUTE ON FUNCTION drop_old_rows, count_dropped FROM PUBLIC;
