-- From draft to law: who drew, submitted and reviewed a zone's version, and what can never be changed in one.

ALTER TABLE zone_version
    ADD COLUMN submitted_by text,
    ADD COLUMN submitted_at timestamptz,
    ADD COLUMN reviewed_by  text,              -- who approved or rejected it: a second person
    ADD COLUMN reviewed_at  timestamptz,
    ADD COLUMN review_note  text,
    ADD COLUMN published_at timestamptz,       -- from here on it is law, from valid_from to valid_to
    ADD COLUMN merge_s      real NOT NULL DEFAULT 600 CHECK (merge_s BETWEEN 0 AND 2592000),
    ADD COLUMN lost_s       real NOT NULL DEFAULT 1800 CHECK (lost_s BETWEEN 0 AND 2592000),
    ADD COLUMN lost_merge_s real NOT NULL DEFAULT 43200 CHECK (lost_merge_s BETWEEN 0 AND 2592000),
    ADD COLUMN slow_terminals text NOT NULL DEFAULT 'ask' CHECK (slow_terminals IN ('ask', 'one_fix', 'wait')),
    -- A draft whose notice names no date has none: it begins on the day on which it is published.
    ALTER COLUMN valid_from DROP NOT NULL;

-- So far one person drew and published. When was not kept beside the version, but when it was drawn.
UPDATE zone_version SET published_at = created_at
WHERE state = 'active' OR (state = 'retired' AND (valid_to > valid_from OR valid_to IS NULL));

ALTER TABLE zone_version
    -- Published at once: nobody reviewed it.
    ADD COLUMN direct boolean GENERATED ALWAYS AS (published_at IS NOT NULL AND reviewed_by IS NULL) STORED,
    DROP CONSTRAINT zone_version_state_check,
    ADD CONSTRAINT zone_version_state_check
        CHECK (state IN ('draft', 'in_review', 'rejected', 'approved', 'active', 'retired')),
    ADD CONSTRAINT zone_version_published CHECK (published_at IS NOT NULL OR state NOT IN ('approved', 'active')),
    ADD CONSTRAINT zone_version_doc_no CHECK (published_at IS NULL OR coalesce(doc_no, '') <> ''),
    ADD CONSTRAINT zone_version_valid_from CHECK (published_at IS NULL OR valid_from IS NOT NULL),
    ADD CONSTRAINT zone_version_submitted CHECK (submitted_by IS NOT NULL OR (state <> 'in_review' AND reviewed_by IS NULL)),
    ADD CONSTRAINT zone_version_second_person CHECK (reviewed_by <> author AND reviewed_by <> submitted_by),
    ADD CONSTRAINT zone_version_rejected
        CHECK (state <> 'rejected' OR (reviewed_by IS NOT NULL AND coalesce(review_note, '') <> '')),
    -- At no time are two versions of a zone the law; the unique index it replaces was about the stored word.
    ADD CONSTRAINT zone_version_one_law EXCLUDE USING gist
        (int8range(zone, zone, '[]') WITH &&, tstzrange(valid_from, valid_to) WITH &&) WHERE (published_at IS NOT NULL);

DROP INDEX zone_version_active;

-- What a version is at a time. Nothing has to run when a day comes: a published version is what its dates say. The
-- stored word is as of the last change; it alone says that a version was ended where no date does.
CREATE FUNCTION zone_state(v zone_version, at timestamptz DEFAULT statement_timestamp()) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN v.published_at IS NULL THEN v.state
        WHEN v.valid_to <= greatest(v.valid_from, at) OR (v.valid_to IS NULL AND v.state = 'retired') THEN 'retired'
        WHEN v.valid_from > at THEN 'approved'
        ELSE 'active'
    END
$$;

-- An edit is a new version: no version's content ever changes. A published one keeps its papers and its beginning too,
-- and its end only comes nearer, never into the past, where machines were judged by it.
CREATE FUNCTION guard_zone_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    allowed CONSTANT jsonb := '{
        "draft": ["in_review", "approved", "active", "retired"],
        "in_review": ["draft", "rejected", "approved", "active", "retired"],
        "rejected": ["retired"],
        "approved": ["active", "retired"],
        "active": ["retired"],
        "retired": []}';
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.published_at IS NOT NULL THEN
            RAISE 'a published version of a zone is never deleted' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN OLD;
    END IF;
    -- Who publishes without saying when (release N - 1, the demonstration) does it now.
    IF NEW.state IN ('approved', 'active') AND NEW.published_at IS NULL THEN
        NEW.published_at := statement_timestamp();
        NEW.valid_from := coalesce(NEW.valid_from, date_trunc('day', statement_timestamp(), 'Asia/Shanghai'));
    END IF;
    IF TG_OP = 'INSERT' THEN
        RETURN NEW;
    END IF;
    IF NEW.state <> OLD.state AND NOT allowed -> OLD.state ? NEW.state THEN
        RAISE 'a version that is % does not become %', OLD.state, NEW.state
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.state = 'in_review' AND NEW.published_at IS NOT NULL AND NEW.reviewed_by IS NULL THEN
        RAISE 'a version in review is published by who reviewed it' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (NEW.zone, NEW.version, NEW.name, NEW.district, NEW.tier, NEW.doc_no, NEW.crs, NEW.source, NEW.geometry,
        NEW.rules, NEW.guard_m, NEW.halo_m, NEW.unknown_policy, NEW.merge_s, NEW.lost_s, NEW.lost_merge_s,
        NEW.slow_terminals, NEW.author, NEW.created_at)
        IS DISTINCT FROM
       (OLD.zone, OLD.version, OLD.name, OLD.district, OLD.tier, OLD.doc_no, OLD.crs, OLD.source, OLD.geometry,
        OLD.rules, OLD.guard_m, OLD.halo_m, OLD.unknown_policy, OLD.merge_s, OLD.lost_s, OLD.lost_merge_s,
        OLD.slow_terminals, OLD.author, OLD.created_at)
    THEN
        RAISE 'a version''s content never changes: add a new version' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (OLD.published_at IS NOT NULL OR OLD.state IN ('rejected', 'retired'))
        AND (NEW.published_at, NEW.valid_from, NEW.submitted_by, NEW.submitted_at, NEW.reviewed_by, NEW.reviewed_at,
             NEW.review_note)
            IS DISTINCT FROM
            (OLD.published_at, OLD.valid_from, OLD.submitted_by, OLD.submitted_at, OLD.reviewed_by, OLD.reviewed_at,
             OLD.review_note)
    THEN
        RAISE 'a published or ended version keeps its papers and its beginning'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.published_at IS NOT NULL AND NEW.valid_to IS DISTINCT FROM OLD.valid_to
        AND (NEW.valid_to IS NULL OR NEW.valid_to >= OLD.valid_to OR NEW.valid_to < greatest(OLD.valid_from, now()))
    THEN
        RAISE 'a published version''s end only comes nearer, and not into the past'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER zone_version_guard BEFORE INSERT OR UPDATE OR DELETE ON zone_version
    FOR EACH ROW EXECUTE FUNCTION guard_zone_version();

-- A version's papers are its rows in the audit.
CREATE INDEX audit_object ON audit (object, id);
