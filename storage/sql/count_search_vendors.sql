-- count_search_vendors: how many vendors the generation in use has.
SELECT count(*) FROM search_vendor WHERE generation = (SELECT current FROM search_index)
