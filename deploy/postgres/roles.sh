#!/bin/sh
# Run once, by the image, in an empty database: an owner that migrates, and a worker and an api that may do their work.
# What each may do is granted by `lezgate db migrate` (storage/migrations/grants.sql).
set -eu
psql --set ON_ERROR_STOP=1 --username postgres --dbname lezgate \
  --set owner="$OWNER_PASSWORD" --set worker="$WORKER_PASSWORD" --set api="$API_PASSWORD" <<'SQL'
SET password_encryption = 'scram-sha-256';
CREATE ROLE lezgate_owner LOGIN PASSWORD :'owner';
CREATE ROLE lezgate_worker LOGIN PASSWORD :'worker';
CREATE ROLE lezgate_api LOGIN PASSWORD :'api';
ALTER DATABASE lezgate OWNER TO lezgate_owner;
ALTER SCHEMA public OWNER TO lezgate_owner;
REVOKE ALL ON DATABASE lezgate FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE lezgate TO lezgate_worker, lezgate_api;
SQL
