-- keep_member: a member ($2) of a group ($1) says that it lives, and is believed for $3 seconds.
INSERT INTO event_member (group_name, member, alive_until)
VALUES ($1, $2, now() + make_interval(secs => $3))
ON CONFLICT (group_name, member) DO UPDATE SET alive_until = excluded.alive_until
