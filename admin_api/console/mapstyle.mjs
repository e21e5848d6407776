// How the map looks: a plain sheet with a graticule, zones, and machines as dots. No tiles, no fonts, no other server.

// Dirty to clean runs from dark orange to dark blue, a scale that colour-blind people tell apart; the three stages that
// are no step of it are hollow, so colour is never the only sign.
export const STAGES = ['pre', '1', '2', '3', '4', 'x', 'electric', 'unknown'];
export const STAGE_COLOURS = {
  pre: '#6b2d05', 1: '#b34e06', 2: '#f08a24', 3: '#6ba5d7', 4: '#1d5fa8', x: '#8a3a08', electric: '#0d7f73', unknown: '#5c6670',
};
export const HOLLOW = ['x', 'electric', 'unknown'];

const ZONE = '#5a3d8c';
const ALARM = '#c01625';
const INK = '#26323e';
const SANS = '"Noto Sans CJK SC", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", "Hiragino Sans GB", sans-serif';
export const IDEOGRAPHS = SANS;

export const EMPTY = { type: 'FeatureCollection', features: [] };
const geojson = () => ({ type: 'geojson', data: EMPTY });

const isCore = ['==', ['get', 'tier'], 'core'];
const stage = ['get', 'stage'];
const colour = ['match', stage, ...Object.entries(STAGE_COLOURS).flat(), STAGE_COLOURS.unknown];
const isHollow = ['in', stage, ['literal', HOLLOW]];
const dim = ['case', ['==', ['get', 'online'], 1], 1, 0.35];
const byZoom = (far, near) => ['interpolate', ['linear'], ['zoom'], 9, far, 15, near];

const CLOSE_ZOOM = 13; // from here a zone fills the view
const isFar = ['==', ['get', 'place'], 'far'];
const nameLayer = (id, filter, zooms, anchor) => ({
  id, type: 'symbol', source: 'names', filter, ...zooms,
  layout: { 'text-field': ['get', 'name'], 'text-size': 12, 'text-max-width': 12, 'text-padding': 5, 'text-anchor': anchor, 'text-offset': [0, anchor === 'bottom' ? -0.3 : 0] },
  paint: { 'text-color': '#43306b', 'text-halo-color': 'rgba(250,250,248,0.92)', 'text-halo-width': 1.6 },
});

export const style = {
  version: 8,
  sources: {
    graticule: geojson(), zones: geojson(), names: geojson(), track: geojson(),
    machines: geojson(), rings: geojson(), suspects: geojson(), picked: geojson(),
  },
  layers: [
    { id: 'sheet', type: 'background', paint: { 'background-color': '#f3f4f1' } },
    {
      id: 'graticule', type: 'line', source: 'graticule', filter: ['==', ['geometry-type'], 'LineString'],
      paint: { 'line-color': '#d9ddd6', 'line-width': 1 },
    },
    {
      id: 'zone-fill', type: 'fill', source: 'zones',
      paint: { 'fill-color': ZONE, 'fill-opacity': ['case', isCore, 0.17, 0.07] },
    },
    {
      id: 'zone-core', type: 'line', source: 'zones', filter: isCore,
      paint: { 'line-color': ZONE, 'line-width': 2 },
    },
    {
      id: 'zone-general-far', type: 'line', source: 'zones', filter: ['!', isCore], maxzoom: 11, // too small for dashes
      paint: { 'line-color': ZONE, 'line-width': 1, 'line-opacity': 0.8 },
    },
    {
      id: 'zone-general', type: 'line', source: 'zones', filter: ['!', isCore], minzoom: 11,
      paint: { 'line-color': ZONE, 'line-width': 1.5, 'line-dasharray': [4, 2.5] },
    },
    {
      id: 'degrees', type: 'symbol', source: 'graticule', filter: ['==', ['geometry-type'], 'Point'],
      layout: { 'text-field': ['get', 'label'], 'text-size': 10.5, 'text-anchor': ['get', 'anchor'], 'text-offset': ['match', ['get', 'anchor'], 'top-right', ['literal', [-0.4, 0.2]], ['literal', [0.4, 0.2]]] },
      paint: { 'text-color': '#6d7770', 'text-halo-color': '#f3f4f1', 'text-halo-width': 1 },
    },
    {
      id: 'track', type: 'line', source: 'track', layout: { 'line-join': 'round', 'line-cap': 'round' },
      paint: { 'line-color': INK, 'line-width': 2, 'line-opacity': 0.75 },
    },
    {
      id: 'machine', type: 'circle', source: 'machines',
      paint: {
        'circle-radius': byZoom(3.2, 7),
        'circle-color': ['case', isHollow, '#ffffff', colour],
        'circle-stroke-color': ['case', isHollow, colour, '#ffffff'],
        'circle-stroke-width': ['case', isHollow, 2, 1],
        'circle-opacity': dim, 'circle-stroke-opacity': dim,
      },
    },
    {
      id: 'suspect', type: 'circle', source: 'suspects',
      paint: { 'circle-radius': byZoom(7, 11), 'circle-color': 'rgba(0,0,0,0)', 'circle-stroke-color': '#8a6100', 'circle-stroke-width': 1.5 },
    },
    {
      id: 'ring', type: 'circle', source: 'rings',
      paint: { 'circle-radius': byZoom(7, 12), 'circle-color': 'rgba(0,0,0,0)', 'circle-stroke-color': ALARM, 'circle-stroke-width': 2.5 },
    },
    {
      id: 'picked', type: 'circle', source: 'picked',
      paint: { 'circle-radius': byZoom(12, 18), 'circle-color': 'rgba(0,0,0,0)', 'circle-stroke-color': INK, 'circle-stroke-width': 1.5 },
    },
    nameLayer('zone-name-core', ['all', isFar, isCore], { maxzoom: CLOSE_ZOOM }, 'bottom'),
    nameLayer('zone-name-general', ['all', isFar, ['!', isCore]], { minzoom: 10.5, maxzoom: CLOSE_ZOOM }, 'bottom'),
    nameLayer('zone-name', ['!', isFar], { minzoom: CLOSE_ZOOM }, 'center'),
    {
      id: 'number', type: 'symbol', source: 'rings', minzoom: 11,
      layout: { 'text-field': ['get', 'label'], 'text-size': 11, 'text-offset': [0, 1.3], 'text-anchor': 'top' },
      paint: { 'text-color': '#8f0f1b', 'text-halo-color': 'rgba(255,255,255,0.95)', 'text-halo-width': 1.5 },
    },
  ],
};
