"""Pure functions over tables: table in, table out. No paths, no state, no network."""
