-- delete_datetimeslots: before a vendor's ($1) services are written anew.
DELETE FROM vendor_datetimeslot WHERE vendor_id = $1
