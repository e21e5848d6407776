-- Enrolment: the queue of terminals that wait for a machine, whose word is taken, and who is held back for a while.

-- What a refused registration said (0x0100), and what it was answered (0x8100).
ALTER TABLE terminal_refused
    ADD COLUMN header_phone text,              -- hex of the header's phone field, as the terminal sent it
    ADD COLUMN province int,                   -- GB/T 2260: first two digits, last four digits
    ADD COLUMN city int,
    ADD COLUMN plate_colour smallint,          -- JT/T 697.7
    ADD COLUMN result smallint,                -- 1 vehicle registered, 2 no such vehicle, 3 terminal registered, 4 no such terminal
    ADD COLUMN dismissed_at timestamptz;       -- staff said that it is not ours; it stays known, and out of the queue
CREATE INDEX terminal_refused_last_seen ON terminal_refused (last_seen);

-- How many were dropped, oldest first, because the queue is bounded (storage/enrolment.py).
CREATE TABLE enrolment_queue (one boolean PRIMARY KEY DEFAULT true CHECK (one), dropped bigint NOT NULL DEFAULT 0);
INSERT INTO enrolment_queue DEFAULT VALUES;

-- strict: only our own code authenticates; legacy: any code does, and the positions are marked unverified.
CREATE TABLE maker_trust (
    maker      text PRIMARY KEY,               -- as 0x0100 names it
    trust      text NOT NULL CHECK (trust IN ('strict', 'legacy')),
    note       text,
    changed_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE terminal
    ADD COLUMN trust text CHECK (trust IN ('strict', 'legacy')),  -- null: as its maker's
    ADD COLUMN quarantined_until timestamptz,  -- several devices speak as this terminal: its reports decide nothing until then
    ADD COLUMN released_at timestamptz;        -- by staff; a quarantine that was seen before counts no more

-- When a binding was written down, which is not when it begins: tells two people who bind at the same moment.
ALTER TABLE binding ADD COLUMN made_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE binding ALTER COLUMN made_at SET DEFAULT clock_timestamp();

-- One order of locks: who takes both takes the rules' row first. Otherwise a new terminal (registry, then rules) and a
-- new binding (rules, then registry) would wait for each other.
CREATE OR REPLACE FUNCTION bump_registry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM ruleset FOR UPDATE;
    UPDATE registry SET version = version + 1;
    PERFORM pg_notify('registry', '');
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION bump_registry_if_added() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM added) THEN
        PERFORM FROM ruleset FOR UPDATE;
        UPDATE registry SET version = version + 1;
        PERFORM pg_notify('registry', '');
    END IF;
    RETURN NULL;
END $$;

-- A terminal that tells its maker at every registration is news only where the maker's trust makes a difference.
CREATE FUNCTION bump_registry_if_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (
        SELECT FROM before b FULL JOIN after a USING (device)
        WHERE (b.phone, b.generation, b.state, b.quarantined_until)
              IS DISTINCT FROM (a.phone, a.generation, a.state, a.quarantined_until)
           OR coalesce(b.trust, (SELECT trust FROM maker_trust WHERE maker = b.maker), 'strict')
              <> coalesce(a.trust, (SELECT trust FROM maker_trust WHERE maker = a.maker), 'strict')
    ) THEN
        PERFORM FROM ruleset FOR UPDATE;
        UPDATE registry SET version = version + 1;
        PERFORM pg_notify('registry', '');
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER terminal_changed ON terminal;
CREATE TRIGGER terminal_changed AFTER UPDATE ON terminal REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION bump_registry_if_changed();
CREATE TRIGGER terminal_removed AFTER DELETE ON terminal FOR EACH STATEMENT EXECUTE FUNCTION bump_registry();
CREATE TRIGGER maker_trust_registry AFTER INSERT OR UPDATE OR DELETE ON maker_trust FOR EACH STATEMENT EXECUTE FUNCTION bump_registry();
CREATE TRIGGER binding_registry AFTER INSERT OR UPDATE OR DELETE ON binding FOR EACH STATEMENT EXECUTE FUNCTION bump_registry();
CREATE TRIGGER machine_registry AFTER INSERT OR DELETE OR UPDATE OF registration_number ON machine
    FOR EACH STATEMENT EXECUTE FUNCTION bump_registry();

-- An edge's copy on disk may be of the old shape: with another version it asks for a new one.
UPDATE registry SET version = version + 1;
