-- use_search_rebuild: search generation $1 from now on, if it is still the one being filled.
UPDATE search_index SET current = building, building = NULL WHERE building = $1 RETURNING current
