-- What a verdict was made from, kept longer than tracks: the fixes around every visit that alarms, and what zones,
-- machines, bindings and exemptions said before they were changed.

-- A visit that alarms, and how far its fixes are copied.
CREATE TABLE evidence (
    visit       text PRIMARY KEY REFERENCES visit,
    first_epoch bigint NOT NULL,               -- of the rules that opened it; visit.epoch is that of its last change
    changes     bigint NOT NULL DEFAULT 0,     -- of the visit; who copies lets a newer one win
    due_at      timestamptz,                   -- when to copy (again); null: not before the visit changes
    copied_at   timestamptz                    -- when all was copied; null: not since its last change
);
CREATE INDEX evidence_due ON evidence (due_at) WHERE due_at IS NOT NULL;

-- The stretches of track that it stands on, one of each terminal of the visit; both ends are in it.
CREATE TABLE evidence_span (
    visit    text NOT NULL REFERENCES evidence ON DELETE CASCADE,
    terminal bigint NOT NULL,
    since    timestamptz NOT NULL,
    until    timestamptz NOT NULL,
    PRIMARY KEY (visit, terminal)
);
CREATE INDEX evidence_span_terminal ON evidence_span (terminal, until);

-- The reports themselves, each once, whichever visits it belongs to: so a visit that late data moved, joined or withdrew
-- loses none. A column that `position` gets is to be added here too.
CREATE TABLE evidence_fix (LIKE position INCLUDING DEFAULTS, PRIMARY KEY (terminal, time, fingerprint));

CREATE FUNCTION want_evidence() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO evidence AS e (visit, first_epoch, due_at) VALUES (NEW.id, NEW.epoch, now())
    ON CONFLICT (visit) DO UPDATE SET changes = e.changes + 1, due_at = now(), copied_at = NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER visit_evidence AFTER INSERT OR UPDATE ON visit
    FOR EACH ROW WHEN (NEW.alarming) EXECUTE FUNCTION want_evidence();

INSERT INTO evidence (visit, first_epoch, due_at) SELECT id, epoch, now() FROM visit WHERE alarming;

-- A row of what verdicts are made from, as it was from epoch `changed` until epoch `ended`. With the rows of today this
-- is what was known at any epoch (0008: a reader of epoch n has every row that is marked n or lower).
CREATE TABLE superseded (
    relation text NOT NULL,
    subject  bigint NOT NULL,                  -- its machine (machine_version), device (binding), zone, or exemption
    changed  bigint NOT NULL,
    ended    bigint NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    content  jsonb NOT NULL                    -- the row; of a zone's version without its shapes, which never change
);
CREATE INDEX superseded_subject ON superseded (relation, subject);

CREATE FUNCTION keep_superseded() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    epoch CONSTANT bigint := current_setting('lezgate.epoch')::bigint;
    old   CONSTANT jsonb := to_jsonb(OLD) - '{geometry,source}'::text[];
BEGIN
    IF OLD.changed < epoch THEN  -- else nobody has read it
        INSERT INTO superseded (relation, subject, changed, ended, content)
            VALUES (TG_TABLE_NAME, (old ->> TG_ARGV[0])::bigint, OLD.changed, epoch, old);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER machine_version_past AFTER UPDATE OR DELETE ON machine_version
    FOR EACH ROW EXECUTE FUNCTION keep_superseded('machine');
CREATE TRIGGER binding_past AFTER UPDATE OR DELETE ON binding
    FOR EACH ROW EXECUTE FUNCTION keep_superseded('device');
CREATE TRIGGER exemption_past AFTER UPDATE OR DELETE ON exemption
    FOR EACH ROW EXECUTE FUNCTION keep_superseded('id');
CREATE TRIGGER zone_version_past AFTER UPDATE ON zone_version
    FOR EACH ROW WHEN (OLD.published_at IS NOT NULL) EXECUTE FUNCTION keep_superseded('zone');
