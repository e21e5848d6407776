// Geometry the map needs and GeoJSON does not carry: where a zone's name goes, what lies inside the view, a graticule.

const polygonsOf = ({ type, coordinates }) => (type === 'Polygon' ? [coordinates] : type === 'MultiPolygon' ? coordinates : []);

/** Area (signed) and centroid of a ring. */
function ringCentre(ring) {
  let area = 0;
  let x = 0;
  let y = 0;
  const [ox, oy] = ring[0];
  for (let i = 0; i + 1 < ring.length; i += 1) {
    const [ax, ay] = [ring[i][0] - ox, ring[i][1] - oy];
    const [bx, by] = [ring[i + 1][0] - ox, ring[i + 1][1] - oy];
    const cross = ax * by - bx * ay;
    area += cross / 2;
    x += ((ax + bx) * cross) / 6;
    y += ((ay + by) * cross) / 6;
  }
  return area ? { area: Math.abs(area), centre: [ox + x / area, oy + y / area] } : { area: 0, centre: ring[0] };
}

const northOf = (ring) => ring.reduce((best, point) => (point[1] > best[1] ? point : best));

/**
 * Two places for each zone's name, both of its largest part: on its northern tip, for a view of many zones (a name in
 * the middle would hide the machines there), and in its middle, for a view from near.
 */
export function namePoints(zones) {
  const features = [];
  for (const { geometry, properties: { name, tier } } of zones) {
    const parts = polygonsOf(geometry).map(([outer]) => ({ outer, ...ringCentre(outer) })).sort((a, b) => b.area - a.area);
    if (!parts.length) continue;
    const [{ outer, centre }] = parts;
    for (const [place, coordinates] of [['far', northOf(outer)], ['near', centre]]) {
      features.push({ type: 'Feature', properties: { name, tier, place }, geometry: { type: 'Point', coordinates } });
    }
  }
  return { type: 'FeatureCollection', features };
}

/** [west, south, east, north] of all the zones, or null where there are none. */
export function boundsOf(zones) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const zone of zones) {
    for (const [outer] of polygonsOf(zone.geometry)) {
      for (const [lon, lat] of outer) {
        box[0] = Math.min(box[0], lon);
        box[1] = Math.min(box[1], lat);
        box[2] = Math.max(box[2], lon);
        box[3] = Math.max(box[3], lat);
      }
    }
  }
  return Number.isFinite(box[0]) ? box : null;
}

const STEPS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];
const LINES = 6; // about so many across the view
const BOTTOM = 0.12;

/** Lines and edge labels of the meridians and parallels in [west, south, east, north]. */
export function graticule([west, south, east, north]) {
  const step = STEPS.find((each) => (east - west) / each <= LINES) ?? 60;
  const digits = step < 0.01 ? 3 : step < 0.1 ? 2 : step < 1 ? 1 : 0;
  const features = [];
  const line = (from, to) => features.push({ type: 'Feature', properties: {}, geometry: { type: 'LineString', coordinates: [from, to] } });
  const label = (at, text, anchor) => features.push({
    type: 'Feature', properties: { label: text, anchor }, geometry: { type: 'Point', coordinates: at },
  });
  for (let i = Math.ceil(west / step); i * step <= east; i += 1) {
    const lon = i * step;
    line([lon, south], [lon, north]);
    label([lon, north], `${Math.abs(lon).toFixed(digits)}°${lon < 0 ? 'W' : 'E'}`, 'top-left');
  }
  for (let i = Math.ceil(south / step); i * step <= north; i += 1) {
    const lat = i * step;
    line([west, lat], [east, lat]);
    const inScale = lat - south < (north - south) * BOTTOM; // the scale bar stands there
    if (!inScale) label([east, lat], `${Math.abs(lat).toFixed(digits)}°${lat < 0 ? 'S' : 'N'}`, 'top-right');
  }
  return { type: 'FeatureCollection', features };
}
