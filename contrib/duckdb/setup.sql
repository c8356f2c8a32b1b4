-- Runs and costs of all groups and months
CREATE OR REPLACE VIEW nights AS
SELECT * FROM read_parquet('history/*/*/nights.parquet', hive_types_autocast = false);

CREATE OR REPLACE VIEW costs AS
SELECT * FROM read_parquet('history/*/*/costs.parquet', hive_types_autocast = false);

-- The newest five runs of each host with the hardware, software and baseline that it has now
CREATE OR REPLACE TEMP TABLE recent AS
SELECT run, started, hardware, baseline
FROM nights
JOIN (
    SELECT host, hardware, arg_max(software, started) AS software, arg_max(baseline, started) AS baseline
    FROM nights
    GROUP BY host, hardware
) AS now USING (host, hardware, software, baseline)
QUALIFY row_number() OVER (PARTITION BY host, hardware ORDER BY started DESC) <= 5;

-- Months and nights before these need not be read
SET VARIABLE since = (SELECT min(started) FROM recent);

-- Each host's ratio of each cost: the median of these runs
CREATE OR REPLACE VIEW hosts AS
SELECT hardware, baseline, host, scenario, metric, environment, exp(median(ln(ratio))) AS ratio
FROM costs
JOIN (SELECT run, hardware, baseline FROM recent) AS recent USING (run)
WHERE month >= strftime(getvariable('since'), '%Y-%m') AND started >= getvariable('since') AND ratio > 0
GROUP BY ALL;
