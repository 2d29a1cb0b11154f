-- leave_group: a member ($2) leaves a group ($1), gives its partitions back and wakes the others to take them over.
WITH left_behind AS (UPDATE event_claim SET member = NULL WHERE group_name = $1 AND member = $2 RETURNING 1),
gone AS (DELETE FROM event_member WHERE group_name = $1 AND member = $2 RETURNING 1)
SELECT pg_notify('holdfast_groups', $1), (SELECT count(*) FROM left_behind), (SELECT count(*) FROM gone)
