// The map as an object: give it zones and machines, tell it where to look. It knows nothing of alarms or the API.
import { Map as GlobeMap, ScaleControl } from 'maplibre-gl';
import { EMPTY, IDEOGRAPHS, style } from './mapstyle.mjs';
import { boundsOf, graticule, namePoints } from './shapes.mjs';

const LIAOCHENG = [115.985, 36.457]; // where to look while no zone is known
const NEAR = 13.2;
const FINGER_PX = 8; // how far from a dot a click still hits it

const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

export class CityMap {
  /** `onPick(phone or null)` is called for every click. Throws where WebGL is missing. */
  constructor(container, { onPick }) {
    this.map = new GlobeMap({
      container,
      style,
      center: LIAOCHENG,
      zoom: 10.5,
      minZoom: 5,
      maxZoom: 19,
      attributionControl: false,
      localIdeographFontFamily: IDEOGRAPHS,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      fadeDuration: 0,
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    this.map.addControl(new ScaleControl({ maxWidth: 120, unit: 'metric' }), 'bottom-right');
    this.padding = { top: 0, right: 0, bottom: 0, left: 0 };
    this.fitted = false;
    this.waiting = new Map(); // source -> data, until the style is there
    this.loaded = false;
    this.map.on('load', () => {
      this.loaded = true;
      for (const [source, data] of this.waiting) this.put(source, data);
      this.waiting.clear();
      this.drawGraticule();
    });
    this.map.on('moveend', () => this.drawGraticule());
    this.map.on('resize', () => this.drawGraticule());
    this.map.on('click', ({ point: { x, y } }) => {
      const box = [[x - FINGER_PX, y - FINGER_PX], [x + FINGER_PX, y + FINGER_PX]];
      const hits = this.map.queryRenderedFeatures(box, { layers: ['ring', 'suspect', 'machine'] });
      onPick(hits[0]?.properties.phone ?? null);
    });
    for (const [type, cursor] of [['mouseenter', 'pointer'], ['mouseleave', '']]) {
      this.map.on(type, 'machine', () => {
        this.map.getCanvas().style.cursor = cursor;
      });
    }
  }

  name(label) {
    this.map.getCanvas().setAttribute('aria-label', label);
  }

  put(source, data) {
    if (this.loaded) this.map.getSource(source).setData(data);
    else this.waiting.set(source, data);
  }

  drawGraticule() {
    this.put('graticule', graticule(this.map.getBounds().toArray().flat()));
  }

  setZones(zones) {
    this.zones = zones;
    this.put('zones', { type: 'FeatureCollection', features: zones });
    this.put('names', namePoints(zones));
    if (!this.fitted && zones.length) {
      this.fitted = true;
      this.fit(false);
    }
  }

  setMachines(all, rings, suspects) {
    this.put('machines', all);
    this.put('rings', rings);
    this.put('suspects', suspects);
  }

  /** A circle around one place, or none. */
  setPicked(place) {
    this.put('picked', place ? { type: 'Feature', properties: {}, geometry: { type: 'Point', coordinates: place } } : EMPTY);
  }

  setTrack(coordinates) {
    const line = coordinates.length > 1;
    this.put('track', line ? { type: 'Feature', properties: {}, geometry: { type: 'LineString', coordinates } } : EMPTY);
  }

  /** How much of the map something else covers, so that what we look at is in the middle of the rest. */
  setCovered({ right = 0, bottom = 0 }) {
    this.padding = { ...this.padding, right, bottom };
  }

  fit(animated = true) {
    const box = boundsOf(this.zones ?? []);
    if (box) this.map.fitBounds(box, { padding: this.margin(48), maxZoom: NEAR, animate: animated && !still() });
  }

  margin(all) {
    const { top, right, bottom, left } = this.padding;
    return { top: top + all, right: right + all, bottom: bottom + all, left: left + all };
  }

  flyTo(longitude, latitude) {
    const target = {
      center: [longitude, latitude],
      zoom: Math.max(this.map.getZoom(), NEAR),
      offset: [-this.padding.right / 2, -this.padding.bottom / 2],
    };
    if (still()) this.map.jumpTo(target);
    else this.map.easeTo({ ...target, duration: 700 });
  }

  zoomBy(steps) {
    this.map.zoomTo(this.map.getZoom() + steps, { duration: still() ? 0 : 250 });
  }

  remove() {
    this.map.remove();
  }
}
