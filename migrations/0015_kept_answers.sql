-- Whom a kept answer is about: the shopper who asked, or what the operator's address names. Who is erased takes them along.
ALTER TABLE idempotency_keys ADD COLUMN about TEXT NOT NULL DEFAULT '';
CREATE INDEX idempotency_keys_by_subject ON idempotency_keys (about);
