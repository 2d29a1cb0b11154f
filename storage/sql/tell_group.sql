-- tell_group: wake the members of a group ($1), so that they share its partitions out anew.
SELECT pg_notify('holdfast_groups', $1)
