-- What was told last of an agent's coming and going, so that a restarted hub
-- neither tells it again nor misses that the agent is gone. Until now this was
-- guessed from its printers.
ALTER TABLE agents ADD COLUMN online BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE agents SET online = TRUE
    WHERE id IN (SELECT p.agent_id FROM printers p JOIN printer_states s ON s.printer_id = p.id WHERE s.connected);
