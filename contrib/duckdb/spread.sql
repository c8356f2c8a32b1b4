-- The distribution of each cost over hosts of one kind
SELECT
    hardware, baseline, scenario, metric, environment,
    count(*) AS hosts,
    exp(median(ln(ratio))) AS median,
    exp(quantile_cont(ln(ratio), 0.25)) AS q25,
    exp(quantile_cont(ln(ratio), 0.75)) AS q75,
    min(ratio) AS least, arg_min(host, ratio) AS least_host,
    max(ratio) AS most, arg_max(host, ratio) AS most_host
FROM hosts
GROUP BY ALL
ORDER BY ALL;
