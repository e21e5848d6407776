-- Verified backups: workers may keep the log down to what the newest one of their log needs (LEZGATE_TRIM_AFTER=backup).

CREATE TABLE backup (
    id          text PRIMARY KEY,              -- of its manifest
    stream      text NOT NULL,                 -- the log that its sequences count in
    needs       jsonb NOT NULL,                -- partition -> first sequence that the log must keep for a restore
    taken_at    timestamptz NOT NULL,          -- all that was acknowledged before is in it
    verified_at timestamptz NOT NULL DEFAULT now(),
    bytes       bigint NOT NULL,
    place       text NOT NULL,                 -- host:directory
    actor       text NOT NULL
);
CREATE INDEX backup_taken ON backup (stream, taken_at DESC);
