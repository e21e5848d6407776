"""Look-up: in which of many polygons is each point, by table; `geofence.fence` is its door."""
