-- The ten hosts that are furthest from others of their kind: their third largest distance, in units of the usual one
WITH each AS MATERIALIZED (
    SELECT * FROM hosts
),
away AS (
    SELECT *, abs(ln(ratio) - middle) AS distance
    FROM each
    JOIN (
        SELECT hardware, baseline, scenario, metric, environment, median(ln(ratio)) AS middle
        FROM each
        GROUP BY ALL
    ) AS middles USING (hardware, baseline, scenario, metric, environment)
),
usual AS (
    SELECT hardware, baseline, scenario, metric, environment, greatest(1.4826 * median(distance), 0.005) AS usual
    FROM away
    GROUP BY ALL
)
SELECT hardware, baseline, host, max(distance / usual, 3)[3] AS oddness
FROM away
JOIN usual USING (hardware, baseline, scenario, metric, environment)
GROUP BY ALL
ORDER BY oddness DESC NULLS LAST
LIMIT 10;
