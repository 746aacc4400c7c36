"""Everything that trains with torch; the only room that imports it."""
