-- One host: each of its costs in its newest month, against all months before
SET VARIABLE place = (SELECT max(host_group) FROM nights WHERE host = getvariable('host'));
SET VARIABLE newest = (SELECT max(month) FROM nights WHERE host = getvariable('host'));

SELECT
    scenario, metric, environment,
    median(ratio) FILTER (month = getvariable('newest')) AS now,
    median(ratio) FILTER (month < getvariable('newest')) AS before
FROM costs
WHERE host_group = getvariable('place') AND host = getvariable('host')
GROUP BY ALL
ORDER BY abs(ln(now / before)) DESC NULLS LAST;
