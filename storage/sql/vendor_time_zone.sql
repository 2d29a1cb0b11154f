-- vendor_time_zone: the zone in which a vendor's ($1) dates are meant.
SELECT time_zone FROM vendor WHERE vendor_id = $1
