-- drop_search_rebuild: give up filling generation $1.
UPDATE search_index SET building = NULL WHERE building = $1
