-- Every request that changes something, with what came of it. Entries are chained:
-- the hash of each covers the one before, so that it shows when one was changed or is
-- missing. Those of before are as they were, and the chain begins behind them.
ALTER TABLE audit ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN remote TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN request_id TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN method TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN path TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN status BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN code TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN hash TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_who ON audit (who, id);
CREATE INDEX audit_action ON audit (action, id);
CREATE INDEX audit_printer ON audit (printer_id, id) WHERE printer_id > 0;
CREATE INDEX audit_site ON audit (site_id, id) WHERE site_id > 0;

INSERT INTO counters (name, value) SELECT 'audit', COALESCE(MAX(id), 0) FROM audit WHERE TRUE
    ON CONFLICT (name) DO UPDATE SET value = excluded.value;
-- The last entry that is not chained, or that retention has dropped: its id and hash.
INSERT INTO settings (key, value) SELECT 'audit_anchor', COALESCE(MAX(id), 0) || ' ' FROM audit WHERE TRUE
    ON CONFLICT (key) DO UPDATE SET value = excluded.value;
