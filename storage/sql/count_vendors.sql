-- count_vendors: how many vendors there are.
SELECT count(*) FROM vendor
