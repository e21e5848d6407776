-- Machines as they were at every time, exemptions, and marks that let a worker read only what has changed.

-- An epoch begins with the first statement of a transaction that writes what verdicts are made from, and holds the
-- rules' row until the commit: whoever reads epoch n in a snapshot has every row that is marked n or lower. Rows are
-- locked after the rules' row, so two editors never wait for each other here.
ALTER TABLE ruleset ADD COLUMN whole_from bigint NOT NULL DEFAULT 0;  -- a reader of an older epoch reads everything again

CREATE FUNCTION begin_epoch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    begun bigint;
BEGIN
    IF coalesce(current_setting('lezgate.epoch', true), '') = '' THEN
        UPDATE ruleset SET epoch = epoch + 1 RETURNING epoch INTO begun;
        PERFORM set_config('lezgate.epoch', begun::text, true);  -- until the end of the transaction, or of its savepoint
        PERFORM pg_notify('ruleset', '');
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION mark_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed := current_setting('lezgate.epoch')::bigint;
    RETURN NEW;
END $$;

-- A version's shape is read once, when it becomes law: a published version keeps it (0007).
CREATE FUNCTION mark_zone_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed := current_setting('lezgate.epoch')::bigint;
    IF NEW.published_at IS NOT NULL AND (TG_OP = 'INSERT' OR OLD.published_at IS NULL) THEN
        NEW.drawn := NEW.changed;
    END IF;
    RETURN NEW;
END $$;

-- What is gone has no row that could say so. (Of zones only drafts go, which no worker has read: 0007.)
CREATE FUNCTION forget_marks() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM gone) THEN
        UPDATE ruleset SET whole_from = epoch;
    END IF;
    RETURN NULL;
END $$;

-- ---- machines ----------------------------------------------------------------------------------------------------

ALTER TABLE machine
    ADD COLUMN smoke_class text NOT NULL DEFAULT 'unknown' CHECK (smoke_class IN ('1', '2', '3', 'none', 'unknown')),
    ADD COLUMN smoke_tested_on date,           -- of the test that the class is from (GB 36886)
    ADD COLUMN project text,                   -- the works that it is on
    ADD COLUMN purpose text,                   -- 用途, for example 应急抢险
    ADD COLUMN status text NOT NULL DEFAULT 'in_use' CHECK (status IN ('in_use', 'cancelled'));

-- What a machine was from `valid_from` until its next version: the truth that verdicts are made from. `machine` holds
-- what is so now, for lists. The first version counts from ever. Written by the functions below only.
CREATE TABLE machine_version (
    machine             bigint NOT NULL REFERENCES machine,
    valid_from          timestamptz NOT NULL,
    registration_number text,
    machine_type        text NOT NULL,
    registration_type   text NOT NULL CHECK (registration_type IN ('machinery', 'in_plant')),
    emission_stage      text NOT NULL
                        CHECK (emission_stage IN ('pre', '1', '2', '3', '4', 'x', 'electric', 'unknown')),
    power_kw            real,
    energy              text,
    smoke_class         text NOT NULL CHECK (smoke_class IN ('1', '2', '3', 'none', 'unknown')),
    owner_name          text,
    project             text,
    purpose             text,
    district            text,
    status              text NOT NULL CHECK (status IN ('in_use', 'cancelled')),
    sets                text[] NOT NULL DEFAULT '{}',  -- what this version changed; the rest goes on from the one before
    source              text NOT NULL CHECK (source IN ('declared', 'label', 'engine_change', 'verified', 'import')),
    recorded_by         text NOT NULL,
    recorded_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed             bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (machine, valid_from)
);
CREATE INDEX machine_version_changed ON machine_version (changed);
CREATE INDEX machine_version_dated ON machine_version (valid_from) WHERE valid_from > '-infinity';

INSERT INTO machine_version (machine, valid_from, registration_number, machine_type, registration_type, emission_stage,
    power_kw, energy, smoke_class, owner_name, project, purpose, district, status, source, recorded_by)
SELECT id, '-infinity', registration_number, machine_type, registration_type, emission_stage,
    power_kw, energy, smoke_class, owner_name, project, purpose, district, status, 'declared', 'migration 0008'
FROM machine;

-- Who writes, and on what ground: the transaction's settings lezgate.actor and lezgate.source.
CREATE FUNCTION recorder() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT coalesce(nullif(current_setting('lezgate.actor', true), ''), session_user::text) $$;
CREATE FUNCTION recorded_source() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT coalesce(nullif(current_setting('lezgate.source', true), ''), 'declared') $$;

-- Writes a version, a new one or one that is there.
CREATE FUNCTION put_machine_version(put machine_version) RETURNS void LANGUAGE sql AS $$
    INSERT INTO machine_version SELECT (put).*
    ON CONFLICT (machine, valid_from) DO UPDATE SET
        registration_number = excluded.registration_number, machine_type = excluded.machine_type,
        registration_type = excluded.registration_type, emission_stage = excluded.emission_stage,
        power_kw = excluded.power_kw, energy = excluded.energy, smoke_class = excluded.smoke_class,
        owner_name = excluded.owner_name, project = excluded.project, purpose = excluded.purpose,
        district = excluded.district, status = excluded.status, sets = excluded.sets, source = excluded.source,
        recorded_by = excluded.recorded_by, recorded_at = excluded.recorded_at
$$;

-- Sets attributes ({"emission_stage": "3"}) from a moment on (null: now), until a version that changed them itself.
-- False where they are so already; `always` writes that down all the same: it was verified. `machine` stays as it is.
-- The caller holds the machine's row.
CREATE FUNCTION record_machine(which bigint, fields jsonb, effective timestamptz DEFAULT NULL, always boolean DEFAULT false)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    since   timestamptz := coalesce(effective, clock_timestamp());
    base    machine_version;
    later   machine_version;
    was     jsonb;
    typed   jsonb;
    carried jsonb;
    stated  text[];
BEGIN
    SELECT * INTO STRICT base FROM machine_version v
        WHERE v.machine = which AND v.valid_from <= since ORDER BY v.valid_from DESC LIMIT 1;
    was := to_jsonb(base);
    typed := to_jsonb(jsonb_populate_record(base, fields));  -- as the columns' types hold it: a power is a real
    SELECT coalesce(jsonb_object_agg(f.key, typed -> f.key) FILTER (WHERE always OR typed -> f.key <> was -> f.key), '{}')
        INTO carried FROM jsonb_each(fields) f;
    IF carried = '{}' THEN
        RETURN false;
    END IF;
    stated := ARRAY(SELECT jsonb_object_keys(carried));
    IF base.valid_from = since THEN
        stated := ARRAY(SELECT unnest(stated) UNION SELECT unnest(base.sets) ORDER BY 1);
    END IF;
    PERFORM put_machine_version(jsonb_populate_record(base, carried || jsonb_build_object(
        'valid_from', since, 'sets', stated, 'source', recorded_source(), 'recorded_by', recorder(),
        'recorded_at', clock_timestamp()
    )));
    FOR later IN SELECT * FROM machine_version v WHERE v.machine = which AND v.valid_from > since ORDER BY v.valid_from LOOP
        carried := carried - later.sets;
        EXIT WHEN carried = '{}';
        PERFORM put_machine_version(jsonb_populate_record(later, carried));
    END LOOP;
    RETURN true;
END $$;

-- Makes `machine` say what is so now, of these machines or of all; answers with the number that said something else.
-- A change of a later date needs it when its date has come.
CREATE FUNCTION settle_machines(which bigint[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    moved bigint[];
BEGIN
    SELECT array_agg(m.id ORDER BY m.id) INTO moved
    FROM (
        SELECT DISTINCT ON (machine) * FROM machine_version
        WHERE valid_from <= clock_timestamp() AND machine IN (
            SELECT machine FROM machine_version WHERE valid_from > '-infinity' AND valid_from <= clock_timestamp()
            UNION ALL SELECT unnest(which)
        ) AND (which IS NULL OR machine = ANY (which))
        ORDER BY machine, valid_from DESC
    ) v JOIN machine m ON m.id = v.machine
    WHERE (m.registration_number, m.machine_type, m.registration_type, m.emission_stage, m.power_kw, m.energy,
           m.smoke_class, m.owner_name, m.project, m.purpose, m.district, m.status)
        IS DISTINCT FROM
          (v.registration_number, v.machine_type, v.registration_type, v.emission_stage, v.power_kw, v.energy,
           v.smoke_class, v.owner_name, v.project, v.purpose, v.district, v.status);
    IF moved IS NULL THEN
        RETURN 0;  -- not even a statement on `machine`, which would wake the edges
    END IF;
    UPDATE machine m SET registration_number = v.registration_number, machine_type = v.machine_type,
        registration_type = v.registration_type, emission_stage = v.emission_stage, power_kw = v.power_kw,
        energy = v.energy, smoke_class = v.smoke_class, owner_name = v.owner_name, project = v.project,
        purpose = v.purpose, district = v.district, status = v.status, updated_at = now()
    FROM (
        SELECT DISTINCT ON (machine) * FROM machine_version
        WHERE machine = ANY (moved) AND valid_from <= clock_timestamp() ORDER BY machine, valid_from DESC
    ) v WHERE m.id = v.machine;
    RETURN cardinality(moved);
END $$;

-- Whoever writes `machine` itself writes what counts from now on, and of a new machine from ever.
CREATE FUNCTION record_new_machines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO machine_version (machine, valid_from, registration_number, machine_type, registration_type,
        emission_stage, power_kw, energy, smoke_class, owner_name, project, purpose, district, status, source, recorded_by)
    SELECT id, '-infinity', registration_number, machine_type, registration_type,
        emission_stage, power_kw, energy, smoke_class, owner_name, project, purpose, district, status,
        recorded_source(), recorder()
    FROM added;
    RETURN NULL;
END $$;

CREATE FUNCTION record_changed_machines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM record_machine(a.id, (
        SELECT jsonb_object_agg(n.key, n.value)
        FROM jsonb_each(to_jsonb(a)) n JOIN jsonb_each(to_jsonb(b)) o ON o.key = n.key AND o.value <> n.value
    ))
    FROM before b JOIN after a USING (id) CROSS JOIN LATERAL (
        SELECT * FROM machine_version WHERE machine = a.id AND valid_from <= clock_timestamp()
        ORDER BY valid_from DESC LIMIT 1
    ) v
    WHERE (a.registration_number, a.machine_type, a.registration_type, a.emission_stage, a.power_kw, a.energy,
           a.smoke_class, a.owner_name, a.project, a.purpose, a.district, a.status)
        IS DISTINCT FROM
          (b.registration_number, b.machine_type, b.registration_type, b.emission_stage, b.power_kw, b.energy,
           b.smoke_class, b.owner_name, b.project, b.purpose, b.district, b.status)
      -- What is settled is what the version in force says already.
      AND (a.registration_number, a.machine_type, a.registration_type, a.emission_stage, a.power_kw, a.energy,
           a.smoke_class, a.owner_name, a.project, a.purpose, a.district, a.status)
        IS DISTINCT FROM
          (v.registration_number, v.machine_type, v.registration_type, v.emission_stage, v.power_kw, v.energy,
           v.smoke_class, v.owner_name, v.project, v.purpose, v.district, v.status);
    RETURN NULL;
END $$;

CREATE TRIGGER machine_added AFTER INSERT ON machine REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION record_new_machines();
CREATE TRIGGER machine_changed AFTER UPDATE ON machine REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION record_changed_machines();

-- ---- exemptions --------------------------------------------------------------------------------------------------

-- Whom a zone's rules spare, from when to when. Added to and revoked, never edited: a verdict names the one it is from.
CREATE TABLE exemption (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('machine', 'owner', 'project', 'purpose')),
    machine    bigint REFERENCES machine,
    owner      text,
    project    text,
    purpose    text,
    zone       bigint REFERENCES zone,         -- null: every zone
    during     tstzrange NOT NULL CHECK (NOT isempty(during) AND lower_inc(during) AND NOT upper_inc(during)),
    approver   text NOT NULL CHECK (approver <> ''),
    reason     text NOT NULL CHECK (reason <> ''),
    doc_no     text,
    created_by text NOT NULL CHECK (created_by <> approver),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_by text,
    revoked_at timestamptz,                    -- it ends here, where it had not ended before
    revocation text,                           -- why
    changed    bigint NOT NULL DEFAULT 0,
    CHECK (num_nonnulls(machine, owner, project, purpose) = 1
           AND CASE kind WHEN 'machine' THEN machine IS NOT NULL WHEN 'owner' THEN owner <> ''
                         WHEN 'project' THEN project <> '' ELSE purpose <> '' END),
    CHECK (num_nonnulls(revoked_by, revoked_at, revocation) IN (0, 3))
);
CREATE INDEX exemption_changed ON exemption (changed);
CREATE INDEX exemption_zone ON exemption (zone);

-- ---- marks -------------------------------------------------------------------------------------------------------

ALTER TABLE zone_version
    ADD COLUMN changed bigint NOT NULL DEFAULT 0,  -- epoch of its last change
    ADD COLUMN drawn bigint NOT NULL DEFAULT 0;    -- epoch that made it law
ALTER TABLE binding ADD COLUMN changed bigint NOT NULL DEFAULT 0;
CREATE INDEX zone_version_changed ON zone_version (changed);
CREATE INDEX binding_changed ON binding (changed);

DROP TRIGGER zone_version_epoch ON zone_version;
DROP TRIGGER machine_epoch ON machine;             -- its versions speak for it; a new brand is no news for a verdict
DROP TRIGGER binding_epoch ON binding;
DROP FUNCTION bump_epoch();

CREATE TRIGGER zone_version_epoch BEFORE INSERT OR UPDATE OR DELETE ON zone_version FOR EACH STATEMENT EXECUTE FUNCTION begin_epoch();
CREATE TRIGGER machine_version_epoch BEFORE INSERT OR UPDATE OR DELETE ON machine_version FOR EACH STATEMENT EXECUTE FUNCTION begin_epoch();
CREATE TRIGGER binding_epoch BEFORE INSERT OR UPDATE OR DELETE ON binding FOR EACH STATEMENT EXECUTE FUNCTION begin_epoch();
CREATE TRIGGER exemption_epoch BEFORE INSERT OR UPDATE OR DELETE ON exemption FOR EACH STATEMENT EXECUTE FUNCTION begin_epoch();

-- Named to run after zone_version_guard, which may publish.
CREATE TRIGGER zone_version_mark BEFORE INSERT OR UPDATE ON zone_version FOR EACH ROW EXECUTE FUNCTION mark_zone_version();
CREATE TRIGGER machine_version_mark BEFORE INSERT OR UPDATE ON machine_version FOR EACH ROW EXECUTE FUNCTION mark_changed();
CREATE TRIGGER binding_mark BEFORE INSERT OR UPDATE ON binding FOR EACH ROW EXECUTE FUNCTION mark_changed();
CREATE TRIGGER exemption_mark BEFORE INSERT OR UPDATE ON exemption FOR EACH ROW EXECUTE FUNCTION mark_changed();

CREATE TRIGGER machine_version_gone AFTER DELETE ON machine_version REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_marks();
CREATE TRIGGER binding_gone AFTER DELETE ON binding REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_marks();
CREATE TRIGGER exemption_gone AFTER DELETE ON exemption REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_marks();

-- Only who may edit the registry may date what it says; the api and the worker are granted theirs in grants.sql.
REVOKE EXECUTE ON FUNCTION put_machine_version(machine_version) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION record_machine(bigint, jsonb, timestamptz, boolean) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION settle_machines(bigint[]) FROM PUBLIC;
