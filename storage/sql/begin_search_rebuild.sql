-- begin_search_rebuild: number the generation that is filled from now on, beside the one in use; an unfinished one is given up.
UPDATE search_index SET building = last + 1, last = last + 1 RETURNING building
