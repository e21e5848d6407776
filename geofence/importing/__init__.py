"""Files of zones, as survey offices and map programs hand them over: bytes in, GeoJSON Features and faults out.

`reading.read` is the door. Nothing here writes a file, follows a link or repairs a shape.
"""
