-- What the worker and the api may do; nobody edits what is append-only. Applied at every migration, where the roles
-- exist (a server of the user's own may have one role for everything).
DO $grants$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'lezgate_worker') THEN
        GRANT USAGE ON SCHEMA public TO lezgate_worker;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO lezgate_worker;
        REVOKE SELECT ON account, token, audit FROM lezgate_worker;
        GRANT INSERT, UPDATE ON log_offset, worker_snapshot, terminal_last, visit, alarm, terminal_refused
            TO lezgate_worker;
        GRANT INSERT, UPDATE, DELETE ON worker_track, presence TO lezgate_worker;
        GRANT INSERT, UPDATE, DELETE ON evidence, evidence_span TO lezgate_worker;
        GRANT INSERT, DELETE ON evidence_fix TO lezgate_worker;
        GRANT INSERT ON position, dead_letter, media, terminal_message, event, alarm_action TO lezgate_worker;
        GRANT INSERT, UPDATE (edition, maker, model, terminal_id, quarantined_until) ON terminal TO lezgate_worker;
        GRANT DELETE ON terminal_refused, terminal_message TO lezgate_worker;
        GRANT UPDATE ON enrolment_queue, terminal_day_state TO lezgate_worker;
        GRANT INSERT, UPDATE ON terminal_day TO lezgate_worker;
        GRANT INSERT, DELETE ON terminal_day_due TO lezgate_worker;
        GRANT EXECUTE ON FUNCTION drop_tracks, drop_old_rows TO lezgate_worker;
        GRANT EXECUTE ON FUNCTION settle_machines TO lezgate_worker;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'lezgate_api') THEN
        GRANT USAGE ON SCHEMA public TO lezgate_api;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO lezgate_api;
        GRANT INSERT, UPDATE ON district, machine, terminal, binding, zone, zone_version, account, token TO lezgate_api;
        GRANT UPDATE (state, grade, district) ON alarm TO lezgate_api;
        GRANT INSERT ON alarm_action, audit, event TO lezgate_api;
        GRANT DELETE ON token, terminal_refused TO lezgate_api;
        GRANT UPDATE (dismissed_at) ON terminal_refused TO lezgate_api;
        GRANT INSERT, UPDATE ON maker_trust TO lezgate_api;
        GRANT INSERT, UPDATE (revoked_by, revoked_at, revocation) ON exemption TO lezgate_api;
        GRANT EXECUTE ON FUNCTION record_machine, settle_machines TO lezgate_api;
    END IF;
END $grants$;
