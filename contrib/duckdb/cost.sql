-- One cost on all hosts, night by night
SELECT
    started::DATE AS night,
    count(*) AS hosts,
    median(ratio) AS median,
    quantile_cont(ratio, 0.05) AS q05,
    quantile_cont(ratio, 0.95) AS q95
FROM costs
WHERE scenario = getvariable('scenario') AND metric = getvariable('metric') AND environment = getvariable('environment')
GROUP BY night
ORDER BY night;
