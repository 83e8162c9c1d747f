-- What pages ask for beside many runs and a long audit log, without counting or sorting all of it.

-- +goose Up
-- Sums beside the counts: month 0, no stack or no phase stands for all of them.
INSERT INTO run_counts (month, stack, phase, n) SELECT month, stack, '', sum(n) FROM run_counts WHERE month <> 0 AND stack <> '' AND phase <> '' GROUP BY month, stack;
INSERT INTO run_counts (month, stack, phase, n) SELECT month, '', phase, sum(n) FROM run_counts WHERE month <> 0 AND stack <> '' AND phase <> '' GROUP BY month, phase;
INSERT INTO run_counts (month, stack, phase, n) SELECT 0, stack, phase, sum(n) FROM run_counts WHERE month <> 0 AND stack <> '' AND phase <> '' GROUP BY stack, phase;
INSERT INTO run_counts (month, stack, phase, n) SELECT month, '', '', sum(n) FROM run_counts WHERE month <> 0 AND stack <> '' AND phase <> '' GROUP BY month;
INSERT INTO run_counts (month, stack, phase, n) SELECT 0, stack, '', sum(n) FROM run_counts WHERE month <> 0 AND stack <> '' AND phase <> '' GROUP BY stack;
INSERT INTO run_counts (month, stack, phase, n) SELECT 0, '', phase, sum(n) FROM run_counts WHERE month <> 0 AND stack <> '' AND phase <> '' GROUP BY phase;
CREATE INDEX run_counts_months ON run_counts (stack, phase, month);

-- Nearly every entry is done: the others are what is looked for.
CREATE INDEX audit_result ON audit (result, seq) WHERE result <> 'done';
CREATE INDEX audit_at ON audit (at, seq);
