// Where every machine is now: filled by the latest positions, kept by the stream's one frame a second.
// Plain objects outside the page's state; the map and the counts read them once a second.

// A terminal reports every 10 to 60 s, a sleeping one every few minutes: longer silence is offline.
const OFFLINE_AFTER_MS = 10 * 60_000;
// A frame's short column names and the fields they are everywhere else.
const FIELDS = { lon: 'longitude', lat: 'latitude', speed: 'speed_kmh', course: 'course_deg', stage: 'emission_stage', type: 'machine_type' };

export class Machines {
  constructor() {
    this.byPhone = new Map();
    this.changed = false;
  }

  clear() {
    this.byPhone.clear();
    this.changed = true;
  }

  put(row) {
    if (typeof row.longitude !== 'number' || typeof row.latitude !== 'number') return;
    const known = this.byPhone.get(row.phone);
    if (known && known.time > row.time) return; // an older fix than the one shown
    this.byPhone.set(row.phone, known ? { ...known, ...row } : row);
    this.changed = true;
  }

  /** The answer of GET /positions/latest. */
  latest(items) {
    for (const item of items) this.put({ online: true, ...item, time: Date.parse(item.time) });
  }

  /** One frame of the stream: a column for each field, row i of each is one terminal. */
  frame({ phones, time, ...columns }) {
    const fields = Object.entries(columns).map(([column, values]) => [FIELDS[column] ?? column, values]);
    phones.forEach((phone, i) => {
      const row = { phone, time: Date.parse(time[i]), online: true };
      for (const [field, values] of fields) row[field] = values[i];
      this.put(row);
    });
  }

  counts(now = Date.now()) {
    const stages = {};
    let online = 0;
    for (const machine of this.byPhone.values()) {
      if (!isOnline(machine, now)) continue;
      online += 1;
      const stage = machine.emission_stage ?? 'unknown';
      stages[stage] = (stages[stage] ?? 0) + 1;
    }
    return { online, stages };
  }

  collection(now = Date.now()) {
    const features = [];
    for (const machine of this.byPhone.values()) features.push(feature(machine, now));
    return { type: 'FeatureCollection', features };
  }

  /** The dots of some machines only (those with a ring). */
  subset(phones) {
    const features = [];
    for (const phone of phones) {
      const machine = this.byPhone.get(phone);
      if (machine) features.push(feature(machine, Date.now()));
    }
    return { type: 'FeatureCollection', features };
  }

  find(text) {
    const wanted = text.trim().toUpperCase();
    if (!wanted) return null;
    for (const machine of this.byPhone.values()) {
      const number = (machine.registration_number ?? '').toUpperCase();
      if (number.includes(wanted) || machine.phone === wanted) return machine;
    }
    return null;
  }
}

export function isOnline(machine, now = Date.now()) {
  return machine.online !== false && now - machine.time < OFFLINE_AFTER_MS;
}

function feature(machine, now) {
  return {
    type: 'Feature',
    properties: {
      phone: machine.phone,
      stage: machine.emission_stage ?? 'unknown',
      online: isOnline(machine, now) ? 1 : 0,
      label: machine.registration_number ?? '',
    },
    geometry: { type: 'Point', coordinates: [machine.longitude, machine.latitude] },
  };
}
