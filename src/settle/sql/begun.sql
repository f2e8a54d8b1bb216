-- A run has begun: from here on no earlier one writes what others read (see NOT_OVERTAKEN in statements.rs). A row that is none of a conversion's: step and time keep it out
-- of every other statement.
INSERT INTO settle_rows (version, step) VALUES ({version:UInt64}, 'before')
