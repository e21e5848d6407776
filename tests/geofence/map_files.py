"""Files as survey offices hand them over. pyshp writes the Shapefiles: it shares no code with what reads them."""

import io
import zipfile

import pyproj
import shapefile

RULES = [{"any_of": [{"stage_below": "3"}]}]
FIELDS = ("名称", "辖区", "级别")
VALUES = ("东昌府核心区", "371502", "核心")


def square(x, y, size, *, clockwise=True):
    ring = [[x, y], [x, y + size], [x + size, y + size], [x + size, y], [x, y]]
    return ring if clockwise else ring[::-1]


def esri(code):
    """The .prj that ArcGIS writes."""
    return pyproj.CRS.from_epsg(code).to_wkt("WKT1_ESRI")


def shp_parts(records, fields=FIELDS, *, encoding="utf-8", kind=shapefile.POLYGON):
    """(.shp, .dbf) of records (rings, values)."""
    shp, dbf = io.BytesIO(), io.BytesIO()
    with shapefile.Writer(shp=shp, shx=io.BytesIO(), dbf=dbf, shapeType=kind, encoding=encoding) as writer:
        for name in fields:
            writer.field(name, "C", 60)
        for rings, values in records:
            if rings is None:
                writer.null()
            elif kind == shapefile.POLYGON:
                writer.poly(rings)
            elif kind == shapefile.POLYGONZ:
                writer.polyz([[[*point, 31.5] for point in ring] for ring in rings])
            elif kind == shapefile.POLYGONM:
                writer.polym([[[*point, 7.0] for point in ring] for ring in rings])
            else:
                writer.line(rings)
            writer.record(*values)
    return shp.getvalue(), dbf.getvalue()


def packed(members, **how):
    """A zip of name to bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **{"compression": zipfile.ZIP_DEFLATED, **how}) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def zipped(records, *, prj=None, cpg=None, stem="禁用区", **how):
    shp, dbf = shp_parts(records, **how)
    members = {f"{stem}.shp": shp, f"{stem}.dbf": dbf, f"{stem}.prj": prj, f"{stem}.cpg": cpg}
    return packed({name: data for name, data in members.items() if data is not None})


def ring_kml(ring):
    return "<LinearRing><coordinates>" + " ".join(f"{x},{y},12.5" for x, y in ring) + "</coordinates></LinearRing>"


def polygon_kml(outer, *holes):
    inner = "".join(f"<innerBoundaryIs>{ring_kml(hole)}</innerBoundaryIs>" for hole in holes)
    return f"<Polygon><outerBoundaryIs>{ring_kml(outer)}</outerBoundaryIs>{inner}</Polygon>"


def placemark(name, shape, **data):
    told = "".join(f'<Data name="{key}"><value>{value}</value></Data>' for key, value in data.items())
    return f"<Placemark><name>{name}</name><ExtendedData>{told}</ExtendedData>{shape}</Placemark>"


def kml(*placemarks, declared="UTF-8", namespace="http://www.opengis.net/kml/2.2"):
    text = f'<?xml version="1.0" encoding="{declared}"?>\n<kml xmlns="{namespace}"><Document><Folder>'
    return (text + "".join(placemarks) + "</Folder></Document></kml>").encode(declared)
