-- Nothing changes an entry, and only retention drops some: up to the id that it has
-- written down in its transaction.
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit is never changed');
END;
CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'the audit is never changed');
END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
    WHEN NOT EXISTS (SELECT 1 FROM settings WHERE key = 'audit_drop' AND CAST(value AS INTEGER) >= OLD.id) BEGIN
    SELECT RAISE(ABORT, 'the audit is kept');
END;
