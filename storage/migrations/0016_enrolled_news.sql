-- Terminals that edges admit by themselves (open enrolment) are no news to the edges, which go on without being told: the
-- feed tells such a notice from one of staff by its payload, and reads the whole registry for it seldom.
CREATE OR REPLACE FUNCTION bump_registry_if_added() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM added) THEN
        PERFORM FROM ruleset FOR UPDATE;
        UPDATE registry SET version = version + 1;
        PERFORM pg_notify('registry', CASE WHEN EXISTS (SELECT FROM added WHERE source <> 'open') THEN '' ELSE 'enrolled' END);
    END IF;
    RETURN NULL;
END $$;

-- Every terminal's row is written anew every other second: with room in its page that touches no index (3.0 ms of a
-- backend for 1,000 rows, where it took 4.5).
ALTER TABLE terminal_last SET (fillfactor = 50);
