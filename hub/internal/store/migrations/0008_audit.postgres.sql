-- Nothing changes an entry, and only retention drops some: up to the id that it has
-- written down in its transaction.
CREATE OR REPLACE FUNCTION audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (SELECT 1 FROM settings WHERE key = 'audit_drop' AND value::bigint >= OLD.id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit is never changed';
END $$;
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_guard();
CREATE TRIGGER audit_stays_whole BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_guard();
